//! `steam vault close`: money and rent back, once the vault is empty, or everything was requested and is unlocked.

use super::Which;
use crate::cli::amount::{Usdc, show_span};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::sending::Sending;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::cli::wallet::sent::Sent;
use crate::{addresses, instructions};
use serde::Serialize;
use std::io::{self, Write};

/// Close a vault
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A vault that holds USDC closes after a request for everything that is unlocked:\n`steam vault withdraw --all`, wait, `steam vault close`. An empty one closes at once.\nThe money moves to the keypair's own token account."
)]
pub struct Close {
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

#[derive(Serialize)]
struct Closed {
    vault: String,
    /// µUSDC that were moved.
    amount: Usdc,
    destination: String,
    rent_payer: String,
    #[serde(flatten)]
    signature: Sent,
}

impl Close {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let wallet = self.sending.wallet(global)?;
        let owner = wallet.address();
        super::need_owner(&vault, &owner)?;
        let clock = session.clock().await?;
        let held = session.balance(&vault.token).await?.unwrap_or_default();
        let empty = held.0 == 0;
        if !empty && vault.pending_withdrawal != u64::MAX {
            return Err(CliError::new("CloseNeedsAll", "a vault closes only after a request for everything")
                .next("request it with `steam vault withdraw --all`, and close the vault once that is unlocked"));
        }
        if !empty && !vault.unlock_at.passed(&clock) {
            let left = show_span(until(&vault.unlock_at, &clock).max(1));
            return Err(CliError::new(
                "WithdrawalLocked",
                format!("the request for everything unlocks in about {left} (slot {})", vault.unlock_at.slot),
            )
            .next("run the same command then"));
        }
        let mint = session.config.mint;
        let destination = addresses::ata(&owner, &mint);
        let steps = [
            instructions::create_ata(&wallet.payer(), &owner, &mint),
            instructions::close_vault(&owner, &vault.relayer, &mint, &destination, &vault.rent_payer),
        ];
        let Some(signature) = wallet.send(&session.rpc, &steps, None).await? else { return Ok(()) };
        global.output.print(&Closed {
            vault: address.to_string(),
            amount: held.into(),
            destination: destination.to_string(),
            rent_payer: vault.rent_payer.to_string(),
            signature,
        })
    }
}

impl Report for Closed {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "The vault is closed; {} USDC left it.", self.amount)?;
        line(out, "to", &self.destination)?;
        line(out, "rent to", &self.rent_payer)?;
        line(out, "transaction", &self.signature)
    }
}
