//! `steam vault deposit`: any USDC transfer to the vault is a deposit, so this shows where to send it and can send it.

use super::Which;
use crate::cli::amount::{Usdc, show, usdc_above_zero};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::sending::Sending;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::{addresses, instructions};
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::MicroUsdc;

/// Show where to deposit, and deposit
#[derive(Debug, clap::Args)]
pub struct Deposit {
    /// USDC to transfer from the keypair's token account, like 12.5
    #[arg(value_name = "AMOUNT", value_parser = usdc_above_zero, allow_negative_numbers = true)]
    pub amount: Option<MicroUsdc>,
    /// Only show where to send AMOUNT, transfer nothing
    #[arg(long)]
    pub print_only: bool,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

#[derive(Serialize)]
struct Deposited {
    vault: String,
    token_account: String,
    mint: String,
    amount: Option<Usdc>,
    signature: Option<String>,
    balance: Usdc,
}

impl Deposit {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let mint = session.config.mint;
        let signature = match self.amount {
            Some(amount) if !self.print_only => {
                let wallet = self.sending.wallet(global)?;
                let owner = wallet.address();
                let source = addresses::ata(&owner, &mint);
                let held = session.balance(&source).await?.unwrap_or_default();
                if held < amount {
                    return Err(CliError::new(
                        "insufficient_funds",
                        format!("{owner} holds {} USDC, less than the {} to deposit", show(held.0), show(amount.0)),
                    )
                    .next("deposit less, or send USDC to the vault from another wallet: `steam vault deposit` shows where"));
                }
                let deposit = instructions::deposit(&wallet.payer(), &owner, &address, &mint, amount);
                let Some(signature) = wallet.send(&session.rpc, &deposit, None).await? else { return Ok(()) };
                Some(signature)
            }
            _ => None,
        };
        global.output.print(&Deposited {
            vault: address.to_string(),
            token_account: vault.token.to_string(),
            mint: mint.to_string(),
            amount: self.amount.map(Usdc::from),
            signature: signature.map(|signature| signature.to_string()),
            balance: session.balance(&vault.token).await?.unwrap_or_default().into(),
        })
    }
}

/// An address as a QR code of half blocks. It is no link of Solana Pay: that takes no address of a program.
fn qr(address: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(address, qrcode::EcLevel::L).ok()?;
    use qrcode::render::unicode::Dense1x2::{self, Dark, Light};
    // Terminals are dark: what is drawn is the light part, so that the code is not inverted.
    Some(code.render::<Dense1x2>().dark_color(Light).light_color(Dark).quiet_zone(true).build())
}

impl Report for Deposited {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match (&self.signature, &self.amount) {
            (Some(signature), Some(amount)) => {
                writeln!(out, "{} USDC deposited.", amount)?;
                line(out, "transaction", signature)?;
            }
            _ => {
                if let Some(qr) = qr(&self.vault) {
                    writeln!(out, "{qr}")?;
                }
                writeln!(
                    out,
                    "Send USDC, on the network Solana, to this one address from any wallet or exchange, or scan it:"
                )?;
            }
        }
        line(out, "vault", &self.vault)?;
        line(out, "USDC mint", &self.mint)?;
        line(out, "balance", format!("{} USDC", self.balance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Pubkey;

    #[test]
    fn where_to_send_names_one_address_and_draws_it() {
        let deposited = Deposited {
            vault: Pubkey::new_from_array([1; 32]).to_string(),
            token_account: Pubkey::new_from_array([2; 32]).to_string(),
            mint: Pubkey::new_from_array([3; 32]).to_string(),
            amount: None,
            signature: None,
            balance: Usdc(5),
        };
        let mut text = Vec::new();
        deposited.text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(&deposited.vault) && !text.contains(&deposited.token_account), "{text}");
        assert!(text.lines().filter(|line| line.contains('▀')).count() > 10, "{text}");
    }
}
