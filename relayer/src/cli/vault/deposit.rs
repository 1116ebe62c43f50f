//! `steam vault deposit`: any USDC transfer to the vault is a deposit, so this shows where to send it and can send it.

use super::Which;
use crate::chain::Pubkey;
use crate::cli::amount::{Usdc, show, usdc_above_zero};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line, paragraph};
use crate::cli::sending::Sending;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::cli::test_money;
use crate::cli::wallet::sent::{Sent, or_null};
use crate::{addresses, instructions};
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Relayer, VaultWithKeys};

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
    /// The command by which the owner gets test money from the relayer, on a local network.
    test_money: Option<String>,
    vault: String,
    token_account: String,
    mint: String,
    amount: Option<Usdc>,
    #[serde(flatten, serialize_with = "or_null")]
    signature: Option<Sent>,
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
                    let (held, amount) = (show(held.0), show(amount.0));
                    let message = format!("{owner} holds {held} USDC, less than the {amount} to deposit");
                    let next = match test_money(&session, &vault, &owner).await? {
                        Some(command) => format!("this relayer gives test money: `{command}`"),
                        None => "deposit less, or send USDC to the vault from another wallet: `steam vault deposit` shows where".into(),
                    };
                    return Err(CliError::new("insufficient_funds", message).next(next));
                }
                let deposit = instructions::deposit(&wallet.payer(), &owner, &address, &mint, amount);
                let Some(signature) = wallet.send(&session.rpc, &deposit, None).await? else { return Ok(()) };
                Some(signature)
            }
            _ => None,
        };
        let test_money = match signature {
            Some(_) => None,
            None => test_money(&session, &vault, &vault.owner).await?,
        };
        global.output.print(&Deposited {
            test_money,
            vault: address.to_string(),
            token_account: vault.token.to_string(),
            mint: mint.to_string(),
            amount: self.amount.map(Usdc::from),
            signature,
            balance: session.balance(&vault.token).await?.unwrap_or_default().into(),
        })
    }
}

/// The command by which the relayer of `vault` gives `wallet` test money, if it does.
async fn test_money(session: &Session, vault: &VaultWithKeys, wallet: &Pubkey) -> Result<Option<String>> {
    let relayer: Option<Relayer> = session.find(&vault.relayer).await?;
    Ok(match relayer {
        Some(relayer) => test_money::command(&relayer.url, wallet).await,
        None => None,
    })
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
                let what = self.amount.map_or_else(|| "USDC".to_owned(), |amount| format!("{amount} USDC"));
                let how = "on the network Solana, to this one address from any wallet or exchange, or scan it:";
                paragraph(out, 0, &format!("Send {what}, {how}"))?;
            }
        }
        line(out, "vault", &self.vault)?;
        line(out, "USDC mint", &self.mint)?;
        line(out, "balance", format!("{} USDC", self.balance))?;
        match &self.test_money {
            Some(command) => writeln!(
                out,
                "This relayer gives test money to the owner, for `steam vault deposit AMOUNT`:\n{command}"
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_send_names_one_address_and_draws_it() {
        let deposited = Deposited {
            test_money: None,
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
        assert!(text.contains("Send USDC, on the network Solana"), "{text}");
        let mut asked = Vec::new();
        Deposited { amount: Some(Usdc(5_000_000)), ..deposited }.text(&mut asked).unwrap();
        assert!(String::from_utf8(asked).unwrap().contains("Send 5.00 USDC, on the network Solana"));
    }
}
