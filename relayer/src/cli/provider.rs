//! `steam provider`: offer models at posted prices, and take what was earned.

mod board;
mod check;
mod close;
mod offer;
mod price_file;
mod recover;
mod stated;
mod status;

pub use check::Check;
pub use close::{Close, CloseOffer};
pub use offer::Offer;
pub use recover::Recover;
pub use status::Status;
pub(super) use status::standing;

use super::amount::{Usdc, show, usdc_above_zero};
use super::error::{CliError, Result};
use super::output::{Report, line};
use super::parse::{address, endpoint};
use super::sending::Sending;
use super::session::Session;
use super::solana::Global;
use super::wallet::sent::Sent;
use crate::chain::Pubkey;
use crate::{addresses, instructions};
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::MicroUsdc;
use steam_router::state::ProviderUpdate;

/// Offer models and earn
#[derive(Debug, clap::Subcommand)]
pub enum Provider {
    /// Register the keypair as a provider
    Register(Register),
    /// Change the provider's name, endpoint or status
    Update(Update),
    /// Offer a model at a price, change it, or stop
    Offer(Box<Offer>),
    /// Close a retired offer: its rent comes back
    CloseOffer(CloseOffer),
    /// Show what was earned and not withdrawn
    Earnings(Earnings),
    /// Move earnings to a token account
    Withdraw(Payout),
    /// Take back what was sent to the earnings by mistake
    Recover(Recover),
    /// Close the provider: its rent comes back
    Close(Close),
    /// Show a provider and its offers
    Status(Status),
    /// Check an endpoint as relayers will see it
    Check(Check),
}

/// Register the keypair as a provider
#[derive(Debug, clap::Args)]
pub struct Register {
    /// Name shown to people, 1 to 32 bytes
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: String,
    /// Base URL of the OpenAI-compatible API, /v1 included
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub endpoint: String,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Change a provider
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Update {
    /// Name shown to people, 1 to 32 bytes
    #[arg(long, value_name = "NAME", value_parser = name, group = "what")]
    pub name: Option<String>,
    /// Base URL of the OpenAI-compatible API, /v1 included
    #[arg(long, value_name = "URL", value_parser = endpoint, group = "what")]
    pub endpoint: Option<String>,
    /// Whether the provider takes part
    #[arg(long, value_enum, value_name = "STATUS", group = "what")]
    pub status: Option<Part>,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// What a provider or relayer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// It takes part.
    Active,
    /// It has stopped.
    Retired,
}

impl Part {
    /// As the program has it.
    pub(super) fn is_retired(self) -> bool {
        self == Self::Retired
    }
}

/// Show what was earned
#[derive(Debug, clap::Args)]
pub struct Earnings {
    /// The provider's address [default: the keypair's]
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub provider: Option<Pubkey>,
}

/// Move what was earned
#[derive(Debug, clap::Args)]
pub struct Payout {
    /// USDC to move, like 12.5 [default: everything]
    #[arg(value_name = "AMOUNT", value_parser = usdc_above_zero, allow_negative_numbers = true)]
    pub amount: Option<MicroUsdc>,
    /// Owner of the token account it goes to [default: the keypair]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub to: Option<Pubkey>,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

pub(super) fn name(text: &str) -> std::result::Result<String, String> {
    let most = steam_router::state::MAX_NAME_BYTES;
    if !(1..=most).contains(&text.len()) {
        return Err(format!("expected a name of 1 to {most} bytes"));
    }
    if crate::words::label(text) != text {
        return Err("expected a name without line breaks, blanks at its ends and characters that show nothing".into());
    }
    Ok(text.to_owned())
}

impl Provider {
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Register(register) => register.run(global).await,
            Self::Update(update) => update.run(global).await,
            Self::Offer(offer) => offer.run(global).await,
            Self::CloseOffer(close) => close.run(global).await,
            Self::Earnings(earnings) => earnings.run(global).await,
            Self::Withdraw(payout) => payout.run(global, Earner::Provider).await,
            Self::Recover(recover) => recover.run(global).await,
            Self::Close(close) => close.run(global).await,
            Self::Status(status) => status.run(global).await,
            Self::Check(check) => check.run(global).await,
        }
    }
}

/// What a registration says.
#[derive(Serialize)]
pub(super) struct Registered {
    /// `provider` or `relayer`.
    pub role: &'static str,
    /// Its account.
    pub address: String,
    /// Where it is paid.
    pub token_account: String,
    /// The transaction.
    #[serde(flatten)]
    pub signature: Sent,
}

impl Report for Registered {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "The {} is registered.", self.role)?;
        line(out, "address", &self.address)?;
        line(out, "token account", &self.token_account)?;
        line(out, "transaction", &self.signature)?;
        match self.role {
            "provider" => {
                writeln!(
                    out,
                    "Next: `steam provider offer --model MODEL --price-input USD --price-output USD --context TOKENS` lists a model."
                )
            }
            _ => writeln!(out, "Next: set chain.relayer in the configuration to this address and run `steam serve`."),
        }
    }
}

/// What a change says.
#[derive(Serialize)]
pub(super) struct Updated {
    /// `provider` or `relayer`.
    pub role: &'static str,
    /// Its account.
    pub address: String,
    /// The transaction.
    #[serde(flatten)]
    pub signature: Sent,
}

impl Report for Updated {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "The {} is changed: see `steam {} status`.", self.role, self.role)?;
        line(out, "address", &self.address)?;
        line(out, "transaction", &self.signature)
    }
}

impl Update {
    async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let address = addresses::provider(&authority);
        let update = ProviderUpdate { name: self.name, url: self.endpoint, retired: self.status.map(Part::is_retired) };
        let update = [instructions::update_provider(&authority, update)];
        if wallet.print_without_node(&update)? {
            return Ok(());
        }
        let session = Session::open(global).await?;
        let _: steam_router::state::Provider = session.need(&address, "provider").await?;
        let Some(signature) = wallet.send(&session.rpc, &update, None).await? else { return Ok(()) };
        global.output.print(&Updated { role: "provider", address: address.to_string(), signature })
    }
}

impl Register {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let provider = addresses::provider(&authority);
        if session.find::<steam_router::state::Provider>(&provider).await?.is_some() {
            return Err(CliError::new(
                "registered",
                format!("the keypair is registered already as provider {provider}"),
            )
            .next("list models with `steam provider offer`"));
        }
        let mint = session.config.mint;
        let register = instructions::register_provider(&authority, &wallet.payer(), &mint, &self.name, &self.endpoint);
        let Some(signature) = wallet.send(&session.rpc, &[register], None).await? else { return Ok(()) };
        global.output.print(&Registered {
            role: "provider",
            address: provider.to_string(),
            token_account: addresses::ata(&provider, &mint).to_string(),
            signature,
        })
    }
}

/// Who is paid by settlements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earner {
    /// A provider.
    Provider,
    /// A relayer.
    Relayer,
}

impl Earner {
    /// The account of an authority.
    pub fn of(self, authority: &Pubkey) -> Pubkey {
        match self {
            Self::Provider => addresses::provider(authority),
            Self::Relayer => addresses::relayer(authority),
        }
    }

    /// Its name.
    pub fn role(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Relayer => "relayer",
        }
    }
}

#[derive(Serialize)]
struct Earned {
    provider: String,
    token_account: String,
    balance: Usdc,
}

impl Report for Earned {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "provider", &self.provider)?;
        line(out, "token account", &self.token_account)?;
        line(out, "earned", format!("{} USDC not withdrawn", self.balance))
    }
}

impl Earnings {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let address = match self.provider {
            Some(provider) => provider,
            None => addresses::provider(&global.address()?),
        };
        let provider: steam_router::state::Provider = session.need(&address, "provider").await?;
        let balance = session.balance(&provider.token).await?.unwrap_or_default();
        global.output.print(&Earned {
            provider: address.to_string(),
            token_account: provider.token.to_string(),
            balance: balance.into(),
        })
    }
}

#[derive(Serialize)]
struct Paid {
    amount: Usdc,
    destination: String,
    #[serde(flatten)]
    signature: Sent,
}

impl Report for Paid {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} USDC withdrawn.", self.amount)?;
        line(out, "to", &self.destination)?;
        line(out, "transaction", &self.signature)
    }
}

impl Payout {
    pub(super) async fn run(self, global: &Global, earner: Earner) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let (authority, mint) = (wallet.address(), session.config.mint);
        let address = earner.of(&authority);
        let Some(held) = session.balance(&addresses::ata(&address, &mint)).await? else {
            let role = earner.role();
            return Err(CliError::new(format!("no_{role}"), format!("the keypair is no registered {role}"))
                .next(format!("use the keypair that registered it with --keypair, or `steam {role} register`")));
        };
        let amount = self.amount.unwrap_or(held);
        if amount > held || held == MicroUsdc(0) {
            return Err(CliError::new("insufficient_funds", format!("{} USDC is there to withdraw", show(held.0)))
                .next("earnings arrive when a relayer settles; withdraw at most what is there"));
        }
        let owner = self.to.unwrap_or(authority);
        let destination = addresses::ata(&owner, &mint);
        let withdraw = match earner {
            Earner::Provider => instructions::withdraw_earnings(&authority, &mint, &destination, amount),
            Earner::Relayer => instructions::withdraw_fees(&authority, &mint, &destination, amount),
        };
        let steps = [instructions::create_ata(&wallet.payer(), &owner, &mint), withdraw];
        let Some(signature) = wallet.send(&session.rpc, &steps, None).await? else { return Ok(()) };
        global.output.print(&Paid { amount: amount.into(), destination: destination.to_string(), signature })
    }
}
