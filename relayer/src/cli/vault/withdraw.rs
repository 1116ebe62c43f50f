//! `steam vault withdraw`: request, wait for the delay, execute, without anybody's consent.

use super::Which;
use super::now::Parties;
use crate::chain::Pubkey;
use crate::cli::amount::{AskedUsdc, EVERYTHING, show, show_span, usdc_or_all};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse;
use crate::cli::relayer_api::RelayerApi;
use crate::cli::sending::Sending;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::cli::wallet::Wallet;
use crate::cli::wallet::sent::Sent;
use crate::{addresses, instructions};
use anchor_lang::solana_program::instruction::Instruction;
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Relayer, Vault, VaultWithKeys};

/// Take money out of a vault
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
#[command(group = clap::ArgGroup::new("moves").args(["execute", "wait", "now"]).multiple(true))]
#[command(
    after_help = "`steam vault withdraw 5` requests 5 USDC and says when they unlock; then\n`steam vault withdraw --execute` moves them to the keypair's own token account, or with --to to another one's.\nWith --wait, one command does both. With --now they are moved at once, if the relayer agrees\nthat what remains is enough for what is charged."
)]
pub struct Withdraw {
    /// USDC to request, in place of an earlier request, like 12.5; or `all`
    #[arg(value_name = "AMOUNT", value_parser = usdc_or_all, allow_negative_numbers = true, group = "what")]
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
    #[arg(long, conflicts_with_all = ["sign_only", "signer"])]
    pub wait: bool,
    /// Move it at once, with the relayer's consent
    #[arg(long, conflicts_with_all = ["execute", "cancel", "wait", "sign_only", "signer"])]
    pub now: bool,
    /// Owner of the token account it goes to, with --execute, --wait or --now [default: the keypair]
    #[arg(long, value_name = "ADDRESS", value_parser = parse::address, requires = "moves")]
    pub to: Option<Pubkey>,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
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
    #[serde(flatten)]
    signature: Sent,
}

impl Withdraw {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        if let Some(step) = self.without_node(&wallet.address())
            && wallet.print_without_node(&[step])?
        {
            return Ok(());
        }
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        super::need_owner(&vault, &wallet.address())?;
        self.affordable(&session, &vault).await?;
        let done = if self.cancel {
            cancel(&session, &wallet, &address, &vault).await?
        } else if self.now {
            Some(self.now(&session, &wallet, &address, &vault).await?)
        } else if self.execute {
            self.execute(&session, &wallet, &address).await?
        } else {
            let Some(requested) = request(&session, &wallet, &address, self.amount()).await? else { return Ok(()) };
            if self.wait {
                global.output.progress(&format!("requested; unlocks in about {}", show_span(requested.seconds_left)));
                self.execute(&session, &wallet, &address).await?
            } else {
                Some(requested)
            }
        };
        done.map_or(Ok(()), |done| global.output.print(&done))
    }

    fn amount(&self) -> MicroUsdc {
        self.amount.unwrap_or(EVERYTHING)
    }

    /// Checks that the vault holds what is asked for. The program takes a request of any amount, and would move less.
    async fn affordable(&self, session: &Session, vault: &VaultWithKeys) -> Result<()> {
        let asked = self.amount();
        if self.cancel || self.execute || asked == EVERYTHING {
            return Ok(());
        }
        let held = session.balance(&vault.token).await?.unwrap_or_default();
        if asked <= held {
            return Ok(());
        }
        let message = format!("the vault holds {} USDC, less than the {} to withdraw", show(held.0), show(asked.0));
        Err(CliError::new("insufficient_funds", message)
            .next("withdraw at most what is there, or all of it with `steam vault withdraw --all`"))
    }

    /// A request or its end, where owner and relayer say all there is to know.
    fn without_node(&self, owner: &Pubkey) -> Option<Instruction> {
        let relayer = self.vault.relayer.as_ref().filter(|_| !self.execute && !self.now)?;
        Some(match self.cancel {
            true => instructions::cancel_withdraw(owner, relayer),
            false => instructions::request_withdraw(owner, relayer, self.amount()),
        })
    }

    async fn execute(&self, session: &Session, wallet: &Wallet, address: &Pubkey) -> Result<Option<Withdrawn>> {
        let vault = self.unlocked(session, address).await?;
        let held = session.balance(&vault.token).await?.unwrap_or_default();
        let mint = session.config.mint;
        let owner = wallet.address();
        let to = self.to.unwrap_or(owner);
        let destination = addresses::ata(&to, &mint);
        let steps = [
            instructions::create_ata(&wallet.payer(), &to, &mint),
            instructions::execute_withdraw(&owner, &vault.relayer, &mint, &destination),
        ];
        let sent = wallet.send(&session.rpc, &steps, None).await?;
        let amount = held.0.min(vault.pending_withdrawal);
        Ok(sent.map(|signature| Withdrawn {
            destination: Some(destination.to_string()),
            ..report("executed", address, amount, signature)
        }))
    }

    /// The vault once its request is unlocked.
    async fn unlocked(&self, session: &Session, address: &Pubkey) -> Result<Vault> {
        loop {
            let vault = read(session, address).await?;
            if vault.pending_withdrawal == 0 {
                return Err(CliError::new("NoWithdrawal", "no withdrawal is requested")
                    .next("request one with `steam vault withdraw AMOUNT`"));
            }
            let clock = session.clock().await?;
            if vault.unlock_at.passed(&clock) {
                return Ok(vault);
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
        }
    }

    /// Moves money with the relayer's consent.
    async fn now(&self, session: &Session, wallet: &Wallet, address: &Pubkey, vault: &Vault) -> Result<Withdrawn> {
        let relayer: Relayer = session.need(&vault.relayer, "relayer").await?;
        let mint = session.config.mint;
        let to = self.to.unwrap_or(wallet.address());
        let destination = addresses::ata(&to, &mint);
        let held = async || -> Result<u64> { Ok(session.balance(&destination).await?.unwrap_or_default().0) };
        let before = held().await?;
        let api = RelayerApi::new(&relayer.url)?;
        let parties = Parties { api: &api, relayer: vault.relayer, settler: relayer.settler, mint, wallet, to };
        let progress = |text: &str| wallet.output.progress(text);
        let signature = super::now::withdraw(&session.rpc, &parties, self.amount(), progress).await?;
        let moved = held().await?.saturating_sub(before);
        Ok(Withdrawn { destination: Some(destination.to_string()), ..report("executed", address, moved, signature) })
    }
}

async fn cancel(session: &Session, wallet: &Wallet, address: &Pubkey, vault: &Vault) -> Result<Option<Withdrawn>> {
    let cancel = instructions::cancel_withdraw(&vault.owner, &vault.relayer);
    let sent = wallet.send(&session.rpc, &[cancel], None).await?;
    Ok(sent.map(|signature| report("cancelled", address, vault.pending_withdrawal, signature)))
}

async fn request(session: &Session, wallet: &Wallet, address: &Pubkey, amount: MicroUsdc) -> Result<Option<Withdrawn>> {
    let vault = read(session, address).await?;
    let request = instructions::request_withdraw(&vault.owner, &vault.relayer, amount);
    let Some(signature) = wallet.send(&session.rpc, &[request], None).await? else { return Ok(None) };
    let vault = read(session, address).await?;
    let clock = session.clock().await?;
    Ok(Some(Withdrawn {
        unlock_time: Some(vault.unlock_at.time),
        unlock_slot: Some(vault.unlock_at.slot),
        seconds_left: until(&vault.unlock_at, &clock),
        ..report("requested", address, amount.0, signature)
    }))
}

async fn read(session: &Session, address: &Pubkey) -> Result<Vault> {
    let vault = session.find_pod(address).await?;
    vault.ok_or_else(|| CliError::new("no_vault", format!("there is no vault at {address}")))
}

fn report(status: &'static str, vault: &Pubkey, amount: u64, signature: Sent) -> Withdrawn {
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
            "requested" => {
                let left = show_span(self.seconds_left);
                writeln!(out, "Requested: {amount}; unlocks in about {left}.")?;
                writeln!(out, "Then: `steam vault withdraw --execute`.")?;
            }
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
