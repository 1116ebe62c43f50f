//! `steam vault withdraw`: request, wait for the delay, execute, without anybody's consent.

use super::Which;
use super::now::Parties;
use crate::chain::Pubkey;
use crate::cli::amount::{AskedUsdc, show_span, usdc_above_zero};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse;
use crate::cli::relayer_api::RelayerApi;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::{addresses, instructions};
use serde::Serialize;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Relayer, Vault};

/// Take money out of a vault
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
#[command(group = clap::ArgGroup::new("moves").args(["execute", "wait", "now"]).multiple(true))]
#[command(
    after_help = "`steam vault withdraw 5` requests 5 USDC and says when they unlock; then\n`steam vault withdraw --execute` moves them to the keypair's own token account, or with --to to another one's.\nWith --wait, one command does both. With --now they are moved at once, if the relayer agrees\nthat what remains is enough for what is charged."
)]
pub struct Withdraw {
    /// USDC to request, in place of an earlier request, like 12.5
    #[arg(value_name = "AMOUNT", value_parser = usdc_above_zero, allow_negative_numbers = true, group = "what")]
    pub amount: Option<MicroUsdc>,
    /// Request everything
    #[arg(long, group = "what")]
    pub all: bool,
    /// Complete the request once it is unlocked
    #[arg(long, group = "what")]
    pub execute: bool,
    /// Take the request back
    #[arg(long, group = "what", conflicts_with = "wait")]
    pub cancel: bool,
    /// Wait until the request is unlocked, and complete it
    #[arg(long)]
    pub wait: bool,
    /// Move it at once, with the relayer's consent
    #[arg(long, conflicts_with_all = ["execute", "cancel", "wait"])]
    pub now: bool,
    /// Owner of the token account it goes to, with --execute, --wait or --now [default: the keypair]
    #[arg(long, value_name = "ADDRESS", value_parser = parse::address, requires = "moves")]
    pub to: Option<Pubkey>,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
}

#[derive(Serialize)]
struct Withdrawn {
    status: &'static str,
    vault: String,
    /// Asked for, or moved.
    amount: AskedUsdc,
    destination: Option<String>,
    unlock_time: Option<i64>,
    unlock_slot: Option<u64>,
    seconds_left: i64,
    signature: String,
}

impl Withdraw {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let payer = global.signer()?;
        super::need_owner(&vault, &payer.pubkey())?;
        let report = if self.cancel {
            let cancel = instructions::cancel_withdraw(&vault.owner, &vault.relayer);
            let signature = session.send(&payer, &[cancel], &[]).await?;
            report("cancelled", &address, vault.pending_withdrawal, signature.to_string())
        } else if self.now {
            self.now(&session, &payer, &address, &vault, global).await?
        } else if self.execute {
            self.execute(&session, &payer, &address).await?
        } else {
            let amount = self.amount.unwrap_or(MicroUsdc(u64::MAX));
            let requested = request(&session, &payer, &address, amount).await?;
            if self.wait {
                global.output.progress(&format!("requested; unlocks in about {}", show_span(requested.seconds_left)));
                self.execute(&session, &payer, &address).await?
            } else {
                requested
            }
        };
        global.output.print(&report)
    }

    async fn execute(&self, session: &Session, payer: &Arc<Keypair>, address: &Pubkey) -> Result<Withdrawn> {
        let vault = loop {
            let vault = read(session, address).await?;
            if vault.pending_withdrawal == 0 {
                return Err(CliError::new("NoWithdrawal", "no withdrawal is requested")
                    .next("request one with `steam vault withdraw AMOUNT`"));
            }
            let clock = session.clock().await?;
            if vault.unlock_at.passed(&clock) {
                break vault;
            }
            let left = until(&vault.unlock_at, &clock).max(1);
            if !self.wait {
                return Err(CliError::new(
                    "WithdrawalLocked",
                    format!("the withdrawal unlocks in about {} (slot {})", show_span(left), vault.unlock_at.slot),
                )
                .next("run the same command then, or with --wait"));
            }
            tokio::time::sleep(Duration::from_secs(left.unsigned_abs().clamp(1, 60))).await;
        };
        let held = session.balance(&vault.token).await?.unwrap_or_default();
        let mint = session.config.mint;
        let owner = payer.pubkey();
        let to = self.to.unwrap_or(owner);
        let destination = addresses::ata(&to, &mint);
        let steps = [
            instructions::create_ata(&owner, &to, &mint),
            instructions::execute_withdraw(&owner, &vault.relayer, &mint, &destination),
        ];
        let signature = session.send(payer, &steps, &[]).await?;
        let amount = held.0.min(vault.pending_withdrawal);
        Ok(Withdrawn {
            destination: Some(destination.to_string()),
            ..report("executed", address, amount, signature.to_string())
        })
    }

    /// Moves money with the relayer's consent.
    async fn now(
        &self,
        session: &Session,
        payer: &Arc<Keypair>,
        address: &Pubkey,
        vault: &Vault,
        global: &Global,
    ) -> Result<Withdrawn> {
        let relayer: Relayer = session.need(&vault.relayer, "relayer").await?;
        let (mint, amount) = (session.config.mint, self.amount.unwrap_or(MicroUsdc(u64::MAX)));
        let to = self.to.unwrap_or(payer.pubkey());
        let destination = addresses::ata(&to, &mint);
        let held = async || -> Result<u64> { Ok(session.balance(&destination).await?.unwrap_or_default().0) };
        let before = held().await?;
        let api = RelayerApi::new(&relayer.url)?;
        let parties = Parties { api: &api, relayer: vault.relayer, settler: relayer.settler, mint, owner: payer, to };
        let progress = |text: &str| global.output.progress(text);
        let signature = super::now::withdraw(&session.rpc, &parties, amount, progress).await?;
        let moved = held().await?.saturating_sub(before);
        Ok(Withdrawn {
            destination: Some(destination.to_string()),
            ..report("executed", address, moved, signature.to_string())
        })
    }
}

async fn request(session: &Session, payer: &Arc<Keypair>, address: &Pubkey, amount: MicroUsdc) -> Result<Withdrawn> {
    let vault = read(session, address).await?;
    let request = instructions::request_withdraw(&vault.owner, &vault.relayer, amount);
    let signature = session.send(payer, &[request], &[]).await?;
    let vault = read(session, address).await?;
    let clock = session.clock().await?;
    Ok(Withdrawn {
        unlock_time: Some(vault.unlock_at.time),
        unlock_slot: Some(vault.unlock_at.slot),
        seconds_left: until(&vault.unlock_at, &clock),
        ..report("requested", address, amount.0, signature.to_string())
    })
}

async fn read(session: &Session, address: &Pubkey) -> Result<Vault> {
    let vault = session.find_pod(address).await?;
    vault.ok_or_else(|| CliError::new("no_vault", format!("there is no vault at {address}")))
}

fn report(status: &'static str, vault: &Pubkey, amount: u64, signature: String) -> Withdrawn {
    Withdrawn {
        status,
        vault: vault.to_string(),
        amount: AskedUsdc(amount),
        destination: None,
        unlock_time: None,
        unlock_slot: None,
        seconds_left: 0,
        signature,
    }
}

impl Report for Withdrawn {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let amount = self.amount;
        match self.status {
            "requested" => writeln!(
                out,
                "Requested: {amount}; unlocks in about {}. Then: `steam vault withdraw --execute`.",
                show_span(self.seconds_left)
            )?,
            "cancelled" => writeln!(out, "Taken back: the request of {amount}.")?,
            _ => writeln!(out, "Withdrawn: {amount}.")?,
        }
        if let Some(destination) = &self.destination {
            line(out, "to", destination)?;
        }
        line(out, "vault", &self.vault)?;
        line(out, "transaction", &self.signature)
    }
}
