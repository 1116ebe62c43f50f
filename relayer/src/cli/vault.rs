//! `steam vault`: the escrow. Only its owner's keypair moves money out of it, without anybody's consent.

mod close;
mod deposit;
pub(in crate::cli) mod now;
mod recover;
mod withdraw;

pub use close::Close;
pub use deposit::Deposit;
pub use recover::Recover;
pub use withdraw::Withdraw;

use super::amount::{AskedUsdc, PicoUsdc, Usdc, show_span};
use super::error::{CliError, Result};
use super::output::{Report, counted, line};
use super::parse::address;
use super::sending::Sending;
use super::session::{Session, until};
use super::solana::Global;
use super::test_money;
use super::wallet::sent::{Sent, or_null};
use crate::chain::Pubkey;
use crate::{addresses, instructions};
use serde::Serialize;
use std::io::{self, Write};
use steam_router::state::{Relayer, VaultWithKeys as VaultAccount};

/// Where a vault keeps its owner: after the discriminator.
const OWNER_OFFSET: usize = 8;

/// The escrow that pays for requests
#[derive(Debug, clap::Subcommand)]
pub enum Vault {
    /// Open a vault at a relayer
    Open(Open),
    /// Show what a vault holds, owes and allows
    Show(Show),
    /// Show where to deposit, with a QR code; with AMOUNT, transfer it
    Deposit(Deposit),
    /// Take money out: request it, wait for the delay, execute
    Withdraw(Withdraw),
    /// Close a vault: its money and its rent come back
    Close(Close),
    /// Take back what was sent to a vault by mistake: other tokens, SOL, and USDC sent to its token account as to a wallet
    Recover(Recover),
}

/// Open a vault at a relayer
#[derive(Debug, clap::Args)]
pub struct Open {
    /// The relayer's address: who may charge what your keys sign
    #[arg(long, value_name = "ADDRESS", value_parser = address, env = "STEAM_RELAYER")]
    pub relayer: Pubkey,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Show a vault
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
}

/// Which vault a command is about.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The vault's address [default: the keypair's only vault]
    #[arg(long, value_name = "ADDRESS", value_parser = address, env = "STEAM_VAULT")]
    pub vault: Option<Pubkey>,
    /// The relayer whose vault of the keypair is meant
    #[arg(long, value_name = "ADDRESS", value_parser = address, env = "STEAM_RELAYER", conflicts_with = "vault")]
    pub relayer: Option<Pubkey>,
}

impl Which {
    /// Finds the vault.
    pub async fn find(&self, session: &Session, global: &Global) -> Result<(Pubkey, VaultAccount)> {
        let named = match (&self.vault, &self.relayer) {
            (Some(vault), _) => Some(*vault),
            (None, Some(relayer)) => Some(addresses::vault(&global.address()?, relayer)),
            (None, None) => None,
        };
        if let Some(vault) = named {
            let found = session.find_vault(&vault).await?;
            return found.map(|account| (vault, account)).ok_or_else(|| {
                CliError::new("no_vault", format!("there is no vault at {vault}"))
                    .next("open one with `steam vault open --relayer ADDRESS`")
            });
        }
        let owner = global.address()?;
        let mut vaults = session.list_vaults((OWNER_OFFSET, owner.as_ref())).await?;
        match (vaults.pop(), vaults.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(CliError::new("no_vault", format!("{owner} has no vault on this cluster"))
                .next("open one with `steam vault open --relayer ADDRESS`")),
            (Some(last), _) => {
                let all = vaults.iter().chain([&last]);
                let all: Vec<String> =
                    all.map(|(vault, account)| format!("{vault} (relayer {})", account.relayer)).collect();
                Err(CliError::new("which_vault", format!("{owner} has {} vaults: {}", all.len(), all.join(", ")))
                    .next("say which with --vault ADDRESS or --relayer ADDRESS"))
            }
        }
    }
}

/// Checks that the keypair is the vault's owner's.
pub(super) fn need_owner(vault: &VaultAccount, owner: &Pubkey) -> Result<()> {
    if vault.owner == *owner {
        return Ok(());
    }
    let owner = vault.owner;
    Err(CliError::new("not_owner", format!("only its owner {owner} can change this vault or take anything out of it"))
        .next("use the owner's keypair with --keypair"))
}

impl Vault {
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Open(open) => open.run(global).await,
            Self::Show(show) => show.run(global).await,
            Self::Deposit(deposit) => deposit.run(global).await,
            Self::Withdraw(withdraw) => withdraw.run(global).await,
            Self::Close(close) => close.run(global).await,
            Self::Recover(recover) => recover.run(global).await,
        }
    }
}

#[derive(Serialize)]
struct Opened {
    vault: String,
    token_account: String,
    relayer: String,
    #[serde(flatten, serialize_with = "or_null")]
    signature: Option<Sent>,
}

impl Open {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let owner = wallet.address();
        let Some(relayer) = session.find::<Relayer>(&self.relayer).await? else {
            return Err(CliError::new("no_relayer", format!("there is no relayer at {}", self.relayer))
                .next("ask its operator for the address `steam relayer status` shows"));
        };
        let vault = addresses::vault(&owner, &self.relayer);
        let signature = match session.find_vault(&vault).await? {
            Some(_) => None,
            None => {
                let open = instructions::open_vault(&owner, &wallet.payer(), &self.relayer, &session.config.mint);
                let sent = match wallet.send(&session.rpc, &[open], None).await {
                    Err(error) if error.code() == "no_sol" => {
                        let command = test_money::command(&relayer.url, &wallet.payer()).await;
                        let hint = command.map(|command| format!("this relayer gives test money: `{command}`"));
                        return Err(hint.into_iter().fold(error, CliError::next));
                    }
                    sent => sent?,
                };
                let Some(signature) = sent else { return Ok(()) };
                Some(signature)
            }
        };
        global.output.print(&Opened {
            vault: vault.to_string(),
            token_account: addresses::ata(&vault, &session.config.mint).to_string(),
            relayer: self.relayer.to_string(),
            signature,
        })
    }
}

impl Report for Opened {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}",
            if self.signature.is_some() { "The vault is open." } else { "The vault was open already." }
        )?;
        line(out, "vault", &self.vault)?;
        line(out, "relayer", &self.relayer)?;
        if let Some(signature) = &self.signature {
            line(out, "transaction", signature)?;
        }
        writeln!(out, "Next: `steam vault deposit` shows where to send USDC, `steam key create` makes an API key.")
    }
}

#[derive(Serialize)]
struct Shown {
    vault: String,
    owner: String,
    relayer: String,
    token_account: String,
    balance: Usdc,
    pending_withdrawal: Option<Pending>,
    settled_pico: PicoUsdc,
    fee_pico: PicoUsdc,
    receipts_settled: u64,
    settle_seq: u32,
    generation: u64,
    keys: usize,
}

/// A withdrawal that was requested.
#[derive(Serialize)]
struct Pending {
    amount: AskedUsdc,
    unlock_time: i64,
    unlock_slot: u64,
    unlocked: bool,
    seconds_left: i64,
}

impl Show {
    async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let clock = session.clock().await?;
        let balance = session.balance(&vault.token).await?.unwrap_or_default();
        let pending = (vault.pending_withdrawal > 0).then(|| Pending {
            amount: AskedUsdc(vault.pending_withdrawal),
            unlock_time: vault.unlock_at.time,
            unlock_slot: vault.unlock_at.slot,
            unlocked: vault.unlock_at.passed(&clock),
            seconds_left: until(&vault.unlock_at, &clock),
        });
        global.output.print(&Shown {
            vault: address.to_string(),
            owner: vault.owner.to_string(),
            relayer: vault.relayer.to_string(),
            token_account: vault.token.to_string(),
            balance: balance.into(),
            pending_withdrawal: pending,
            settled_pico: PicoUsdc(vault.settled_pico.pico()),
            fee_pico: PicoUsdc(vault.fee_pico.pico()),
            receipts_settled: vault.receipts_settled,
            settle_seq: vault.settle_seq,
            generation: vault.generation,
            keys: vault.keys.iter().filter(|key| key.is_used()).count(),
        })
    }
}

impl Report for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "vault", &self.vault)?;
        line(out, "owner", &self.owner)?;
        line(out, "relayer", &self.relayer)?;
        // No wallet pays into it: what is sent to it as to a wallet goes astray.
        line(out, "holds USDC in", format!("{} (send USDC to the vault, never to this)", self.token_account))?;
        line(out, "balance", format!("{} USDC", self.balance))?;
        if let Some(pending) = &self.pending_withdrawal {
            let when = if pending.unlocked {
                "unlocked: `steam vault withdraw --execute`".into()
            } else {
                format!("unlocks in about {}", show_span(pending.seconds_left.max(1)))
            };
            line(out, "withdrawal", format!("{}, {when}", pending.amount))?;
        }
        line(out, "settled", format!("{} USDC in {}", self.settled_pico, counted(self.receipts_settled, "receipt")))?;
        line(out, "fees", format!("{} USDC", self.fee_pico))?;
        line(out, "keys", format!("{} (`steam key list`)", self.keys))
    }
}
