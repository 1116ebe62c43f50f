//! `steam vault deposit`: any USDC transfer to the vault is a deposit, so this shows where to send it and can send it.

use super::Which;
use crate::chain::Pubkey;
use crate::cli::amount::{Usdc, show, usdc_above_zero};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::{addresses, instructions};
use serde::Serialize;
use solana_signer::Signer;
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
}

#[derive(Serialize)]
struct Deposited {
    vault: String,
    token_account: String,
    mint: String,
    amount: Option<Usdc>,
    link: String,
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
                let payer = global.signer()?;
                let source = addresses::ata(&payer.pubkey(), &mint);
                let held = session.balance(&source).await?.unwrap_or_default();
                if held < amount {
                    return Err(CliError::new(
                        "insufficient_funds",
                        format!("{} holds {} USDC, less than the {} to deposit", payer.pubkey(), show(held.0), show(amount.0)),
                    )
                    .next("deposit less, or send USDC to the vault from another wallet: `steam vault deposit` shows where"));
                }
                let deposit = instructions::deposit(&payer.pubkey(), &payer.pubkey(), &address, &mint, amount);
                Some(session.send(&payer, &deposit, &[]).await?)
            }
            _ => None,
        };
        global.output.print(&Deposited {
            vault: address.to_string(),
            token_account: vault.token.to_string(),
            mint: mint.to_string(),
            amount: self.amount.map(Usdc::from),
            link: pay_link(&address, &mint, self.amount),
            signature: signature.map(|signature| signature.to_string()),
            balance: session.balance(&vault.token).await?.unwrap_or_default().into(),
        })
    }
}

/// A Solana Pay transfer request. The recipient is the vault itself: the wallet derives the token account from it.
fn pay_link(vault: &Pubkey, mint: &Pubkey, amount: Option<MicroUsdc>) -> String {
    let amount = amount.map_or(String::new(), |amount| format!("amount={}&", show(amount.0)));
    format!("solana:{vault}?{amount}spl-token={mint}&label=Steam%20Router")
}

/// The link as a QR code of half blocks.
fn qr(link: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(link, qrcode::EcLevel::L).ok()?;
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
                if let Some(qr) = qr(&self.link) {
                    writeln!(out, "{qr}")?;
                }
                writeln!(out, "Send USDC to the vault from any wallet or exchange, or scan the code.")?;
            }
        }
        line(out, "vault", &self.vault)?;
        line(out, "token account", &self.token_account)?;
        line(out, "USDC mint", &self.mint)?;
        line(out, "link", &self.link)?;
        line(out, "balance", format!("{} USDC", self.balance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_solana_pay_transfer_request() {
        let (vault, mint) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        let link = pay_link(&vault, &mint, Some(MicroUsdc(12_500_000)));
        assert_eq!(link, format!("solana:{vault}?amount=12.50&spl-token={mint}&label=Steam%20Router"));
        assert!(!pay_link(&vault, &mint, None).contains("amount"));
        assert!(qr(&link).is_some_and(|code| code.lines().count() > 15));
    }
}
