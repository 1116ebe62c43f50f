//! `steam admin suspend-provider`, `config`, `transfer` and `accept`.

use super::{Settings, check, delay};
use crate::chain::Pubkey;
use crate::cli::amount::span;
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse::address;
use crate::cli::sending::Sending;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::cli::wallet::Wallet;
use crate::cli::wallet::sent::Sent;
use crate::instructions;
use anchor_lang::solana_program::instruction::Instruction;
use serde::Serialize;
use std::io::{self, Write};
use steam_router::state::{ConfigUpdate, Delays, Provider};

/// Suspend a provider
#[derive(Debug, clap::Args)]
#[command(after_help = "It is still paid for what it served, and keeps what it earned.")]
pub struct Suspension {
    /// The provider's address
    #[arg(value_name = "PROVIDER", value_parser = address)]
    pub provider: Pubkey,
    /// End the suspension
    #[arg(long)]
    pub lift: bool,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Offer the admin's place
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub struct Offered {
    /// Who may accept it, with `steam admin accept`; replaces an earlier offer
    #[arg(value_name = "ADDRESS", value_parser = address, group = "what")]
    pub admin: Option<Pubkey>,
    /// Take the offer back
    #[arg(long, group = "what")]
    pub cancel: bool,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Accept the admin's place
#[derive(Debug, clap::Args)]
pub struct Acceptance {
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Change settings
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
#[command(after_help = "What is left out stays as it is, and so does what began before.")]
pub struct Change {
    /// Who may pause and suspend
    #[arg(long, value_name = "ADDRESS", value_parser = address, group = "what")]
    pub guardian: Option<Pubkey>,
    /// How often relayers settle
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub settle_interval: Option<u32>,
    /// How long a pause lasts
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub max_pause: Option<u32>,
    /// How long a replaced price or fee still settles
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub price_grace: Option<u32>,
    /// How long a revoked or expired key still settles
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub revoke_grace: Option<u32>,
    /// From the request of a withdrawal to its execution
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub withdraw_delay: Option<u32>,
    /// From the posting of a higher price to its effect
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub price_notice: Option<u32>,
    /// From the posting of a higher fee to its effect
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, group = "what")]
    pub fee_notice: Option<u32>,
    /// Length of a slot by which the delays given are also counted in slots, in milliseconds; not shorter than a slot takes
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=10_000), allow_negative_numbers = true, default_value_t = 400)]
    pub slot_ms: u32,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

impl Change {
    /// The delays from now on.
    fn delays(&self, before: Delays) -> Delays {
        let or = |given: Option<u32>, before| given.map_or(before, |seconds| delay(seconds, self.slot_ms));
        Delays {
            settle_interval: or(self.settle_interval, before.settle_interval),
            max_pause: or(self.max_pause, before.max_pause),
            price_grace: or(self.price_grace, before.price_grace),
            revoke_grace: or(self.revoke_grace, before.revoke_grace),
            withdraw_delay: or(self.withdraw_delay, before.withdraw_delay),
            price_notice: or(self.price_notice, before.price_notice),
            fee_notice: or(self.fee_notice, before.fee_notice),
        }
    }

    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let before = session.config.delays;
        let delays = self.delays(before);
        check(&delays, &session.config.floors)
            .map_err(|error| error.next("see what holds with `steam admin status`"))?;
        let update = ConfigUpdate { guardian: self.guardian, delays: (delays != before).then_some(delays) };
        let wallet = self.sending.wallet(global)?;
        let change = instructions::set_config(&wallet.address(), update);
        send(&session, &wallet, global, change).await
    }
}

impl Offered {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let to = self.admin.unwrap_or_default();
        let offer = instructions::transfer_admin(&wallet.address(), &to);
        if wallet.print_without_node(std::slice::from_ref(&offer))? {
            return Ok(());
        }
        send(&Session::open(global).await?, &wallet, global, offer).await
    }
}

impl Acceptance {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let keypair = wallet.address();
        let accept = instructions::accept_admin(&keypair);
        if wallet.print_without_node(std::slice::from_ref(&accept))? {
            return Ok(());
        }
        let session = Session::open(global).await?;
        if session.config.pending_admin != keypair {
            return Err(CliError::new("NotPendingAdmin", format!("the admin's place was not offered to {keypair}"))
                .next("the admin offers it with `steam admin transfer ADDRESS`"));
        }
        send(&session, &wallet, global, accept).await
    }
}

/// Sends it and shows the settings after.
pub(super) async fn send(session: &Session, wallet: &Wallet, global: &Global, instruction: Instruction) -> Result<()> {
    let Some(signature) = wallet.send(&session.rpc, &[instruction], None).await? else { return Ok(()) };
    let session = Session::open(global).await?;
    global.output.print(&Settings::read(&session, Some(signature)).await?)
}

#[derive(Serialize)]
struct Suspended {
    provider: String,
    name: String,
    suspended: bool,
    #[serde(flatten)]
    signature: Sent,
}

impl Report for Suspended {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let now = if self.suspended { "suspended" } else { "active again" };
        writeln!(out, "The provider {} is {now}.", self.name)?;
        line(out, "provider", &self.provider)?;
        line(out, "transaction", &self.signature)
    }
}

impl Suspension {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let suspended = !self.lift;
        let suspend = [instructions::suspend_provider(&wallet.address(), &self.provider, suspended)];
        if wallet.print_without_node(&suspend)? {
            return Ok(());
        }
        let session = Session::open(global).await?;
        let provider: Provider = session.need(&self.provider, "provider").await?;
        let Some(signature) = wallet.send(&session.rpc, &suspend, None).await? else { return Ok(()) };
        global.output.print(&Suspended {
            provider: self.provider.to_string(),
            name: provider.name,
            suspended,
            signature,
        })
    }
}
