//! `steam provider recover`: USDC that were sent to the associated account of the earnings' token account.

use crate::addresses;
use crate::cli::amount::Usdc;
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::sending::Sending;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::cli::wallet::sent::{Sent, or_null};
use crate::instructions;
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::MicroUsdc;
use steam_router::state::Provider;

/// Recover what was sent to the earnings by mistake
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Who takes the address of the earnings' token account for a wallet sends USDC to the associated account of that address.\nWithout the flag it shows what is there; with it, that joins the earnings."
)]
pub struct Recover {
    /// Move it to the earnings
    #[arg(long)]
    pub nested: bool,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

#[derive(Serialize)]
struct Recovered {
    status: &'static str,
    provider: String,
    /// Where the USDC were sent.
    nested: String,
    amount: Usdc,
    #[serde(flatten, serialize_with = "or_null")]
    signature: Option<Sent>,
}

impl Recover {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let address = addresses::provider(&authority);
        let provider: Provider = session.need(&address, "provider").await?;
        let mint = session.config.mint;
        let nested = addresses::ata(&provider.token, &mint);
        let found = session.balance(&nested).await?.unwrap_or_default();
        if self.nested && found == MicroUsdc(0) {
            return Err(CliError::new("nothing_to_recover", format!("nothing is at {nested} that could be recovered"))
                .next("`steam provider earnings` shows what was earned"));
        }
        let signature = if self.nested {
            let recover = instructions::recover_nested_earnings(&authority, &mint);
            let Some(signature) = wallet.send(&session.rpc, &[recover], None).await? else { return Ok(()) };
            Some(signature)
        } else {
            None
        };
        global.output.print(&Recovered {
            status: match &signature {
                Some(_) => "recovered",
                None if found == MicroUsdc(0) => "nothing",
                None => "found",
            },
            provider: address.to_string(),
            nested: nested.to_string(),
            amount: found.into(),
            signature,
        })
    }
}

impl Report for Recovered {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.signature {
            Some(_) => writeln!(out, "{} USDC joined the earnings.", self.amount)?,
            None if self.amount.0 == 0 => writeln!(out, "There is nothing to recover.")?,
            None => writeln!(out, "{} USDC can be recovered (`--nested`).", self.amount)?,
        }
        line(out, "provider", &self.provider)?;
        line(out, "from", &self.nested)?;
        match &self.signature {
            Some(signature) => line(out, "transaction", signature),
            None => Ok(()),
        }
    }
}
