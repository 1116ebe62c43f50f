//! `steam relayer`: put a relayer on the chain, and take its fees.

mod list;

pub use list::List;

use super::amount::{Usdc, fee_bps, show_span};
use super::error::{CliError, Result};
use super::output::{Report, line};
use super::parse::{address, endpoint};
use super::provider::{Earner, Part, Payout, Registered, Updated, standing};
use super::sending::Sending;
use super::session::{Session, until};
use super::solana::Global;
use super::wallet::sent::Sent;
use crate::chain::Pubkey;
use crate::{addresses, instructions};
use anchor_lang::prelude::Clock;
use serde::Serialize;
use std::io::{self, Write};
use steam_router::state::RelayerUpdate;

/// Operate a relayer
#[derive(Debug, clap::Subcommand)]
pub enum Relayer {
    /// Register the keypair as a relayer
    Register(Register),
    /// Change the relayer's settler, receipt key, endpoint or status
    Update(Update),
    /// Change the fee: a rise holds after its notice, a fall at once
    Fee(Fee),
    /// Move the relayer's fees to a token account
    WithdrawFees(Payout),
    /// List the relayers of the cluster
    List(List),
    /// Show a relayer and its fees
    Status(Status),
}

/// Register the keypair as a relayer
#[derive(Debug, clap::Args)]
pub struct Register {
    /// Address that signs and pays for settlements: chain.settler_keypair's
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub settler: Pubkey,
    /// Address that signs receipts: chain.receipt_keypair's
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub receipt_key: Pubkey,
    /// Fee on every charge, in basis points
    #[arg(long, value_name = "BPS", value_parser = fee_bps, allow_negative_numbers = true)]
    pub fee_bps: u16,
    /// Public base URL of the relayer's API, /v1 included
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub endpoint: String,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Change a relayer
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Update {
    /// Address that signs and pays for settlements from now on
    #[arg(long, value_name = "ADDRESS", value_parser = address, group = "what")]
    pub settler: Option<Pubkey>,
    /// Address that signs receipts from now on; the last four stay known
    #[arg(long, value_name = "ADDRESS", value_parser = address, group = "what")]
    pub receipt_key: Option<Pubkey>,
    /// Public base URL of the relayer's API, /v1 included
    #[arg(long, value_name = "URL", value_parser = endpoint, group = "what")]
    pub endpoint: Option<String>,
    /// Whether the relayer takes part
    #[arg(long, value_enum, value_name = "STATUS", group = "what")]
    pub status: Option<Part>,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Change the fee
#[derive(Debug, clap::Args)]
#[command(after_help = "Posting the fee that is in force cancels an announced one.")]
pub struct Fee {
    /// Fee on every charge, in basis points
    #[arg(value_name = "BPS", value_parser = fee_bps, allow_negative_numbers = true)]
    pub fee_bps: u16,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Show a relayer
#[derive(Debug, clap::Args)]
pub struct Status {
    /// The relayer's address [default: the keypair's]
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub relayer: Option<Pubkey>,
}

impl Relayer {
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Register(register) => register.run(global).await,
            Self::Update(update) => update.run(global).await,
            Self::Fee(fee) => fee.run(global).await,
            Self::WithdrawFees(payout) => payout.run(global, Earner::Relayer).await,
            Self::List(list) => list.run(global).await,
            Self::Status(status) => status.run(global).await,
        }
    }
}

impl Register {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let relayer = addresses::relayer(&authority);
        if session.find::<steam_router::state::Relayer>(&relayer).await?.is_some() {
            return Err(CliError::new("registered", format!("the keypair is registered already as relayer {relayer}"))
                .next("see `steam relayer status`"));
        }
        let mint = session.config.mint;
        let register = instructions::register_relayer(
            &authority,
            &wallet.payer(),
            &mint,
            &self.settler,
            &self.receipt_key,
            self.fee_bps,
            &self.endpoint,
        );
        let Some(signature) = wallet.send(&session.rpc, &[register], None).await? else { return Ok(()) };
        global.output.print(&Registered {
            role: "relayer",
            address: relayer.to_string(),
            token_account: addresses::ata(&relayer, &mint).to_string(),
            signature,
        })
    }
}

impl Update {
    async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let address = addresses::relayer(&authority);
        let update = RelayerUpdate {
            settler: self.settler,
            receipt_key: self.receipt_key.map(|key| key.to_bytes()),
            fee_bps: None,
            url: self.endpoint,
            retired: self.status.map(Part::is_retired),
        };
        let update = [instructions::update_relayer(&authority, update)];
        if wallet.print_without_node(&update)? {
            return Ok(());
        }
        let session = Session::open(global).await?;
        let _: steam_router::state::Relayer = session.need(&address, "relayer").await?;
        let Some(signature) = wallet.send(&session.rpc, &update, None).await? else { return Ok(()) };
        global.output.print(&Updated { role: "relayer", address: address.to_string(), signature })
    }
}

/// The fee in force and the one that was announced.
#[derive(Serialize)]
struct Fees {
    fee_bps: u16,
    next_fee_bps: Option<u16>,
    next_in_seconds: Option<i64>,
}

impl Fees {
    fn of(relayer: &steam_router::state::Relayer, clock: &Clock) -> Self {
        let fee = relayer.fee.rolled(clock);
        Self {
            fee_bps: fee.current,
            next_fee_bps: fee.has_next.then_some(fee.next),
            next_in_seconds: fee.has_next.then(|| until(&fee.next_from, clock)),
        }
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "fee", format!("{} bps", self.fee_bps))?;
        match (self.next_fee_bps, self.next_in_seconds) {
            (Some(next), Some(left)) => line(out, "next fee", format!("{next} bps in {}", show_span(left))),
            _ => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Posted {
    relayer: String,
    #[serde(flatten)]
    fee: Fees,
    #[serde(flatten)]
    signature: Sent,
}

impl Fee {
    async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let address = addresses::relayer(&authority);
        let update = RelayerUpdate { fee_bps: Some(self.fee_bps), ..RelayerUpdate::default() };
        let update = [instructions::update_relayer(&authority, update)];
        if wallet.print_without_node(&update)? {
            return Ok(());
        }
        let session = Session::open(global).await?;
        let _: steam_router::state::Relayer = session.need(&address, "relayer").await?;
        let Some(signature) = wallet.send(&session.rpc, &update, None).await? else { return Ok(()) };
        let relayer: steam_router::state::Relayer = session.need(&address, "relayer").await?;
        let clock = session.clock().await?;
        global.output.print(&Posted { relayer: address.to_string(), fee: Fees::of(&relayer, &clock), signature })
    }
}

impl Report for Posted {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "relayer", &self.relayer)?;
        self.fee.text(out)?;
        line(out, "transaction", &self.signature)
    }
}

#[derive(Serialize)]
struct Shown {
    relayer: String,
    authority: String,
    settler: String,
    receipt_key: String,
    receipt_key_id: u32,
    endpoint: String,
    status: &'static str,
    #[serde(flatten)]
    fee: Fees,
    token_account: String,
    fees: Usdc,
}

impl Status {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let address = match self.relayer {
            Some(relayer) => relayer,
            None => addresses::relayer(&global.address()?),
        };
        let relayer: steam_router::state::Relayer = session.need(&address, "relayer").await?;
        let clock = session.clock().await?;
        global.output.print(&Shown {
            relayer: address.to_string(),
            authority: relayer.authority.to_string(),
            settler: relayer.settler.to_string(),
            receipt_key: bs58::encode(relayer.receipt_key).into_string(),
            receipt_key_id: relayer.receipt_key_id,
            endpoint: relayer.url.clone(),
            status: standing(relayer.status),
            fee: Fees::of(&relayer, &clock),
            token_account: relayer.fee_token.to_string(),
            fees: session.balance(&relayer.fee_token).await?.unwrap_or_default().into(),
        })
    }
}

impl Report for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "relayer", &self.relayer)?;
        line(out, "endpoint", &self.endpoint)?;
        line(out, "status", self.status)?;
        self.fee.text(out)?;
        line(out, "settler", &self.settler)?;
        line(out, "receipt key", format!("{} (number {})", self.receipt_key, self.receipt_key_id))?;
        line(out, "fees", format!("{} USDC not withdrawn", self.fees))
    }
}
