//! The flags of every command that sends a transaction: who pays, what a compute unit is worth, and signing elsewhere. They are
//! named and mean what they do in the Solana CLI.

use super::error::Result;
use super::signer::{Source, source};
use super::solana::Global;
use super::wallet::fee::{UNITS_EACH, priority_fee, sol};
use super::wallet::{Presigned, Wallet};
use solana_hash::Hash;

/// Most lamports that an instruction's price may come to: 0.01 SOL.
const MOST_LAMPORTS: u128 = 10_000_000;

/// How a transaction is paid for, signed and sent.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Sending {
    /// Who pays the fee, and rent where the program lets another than the owner pay it; named as --keypair names it
    /// [default: the keypair]
    #[arg(long, value_name = "KEYPAIR", value_parser = source, help_heading = "Transaction options")]
    pub fee_payer: Option<Source>,
    /// Price of a compute unit, in micro-lamports, for a place before others; at 10000 an instruction costs 0.000002 SOL
    /// more [default: none]
    #[arg(long, value_name = "MICROLAMPORTS", value_parser = unit_price, help_heading = "Transaction options")]
    pub with_compute_unit_price: Option<u64>,
    /// Send nothing: print the transaction, its signatures and who is still to sign
    #[arg(long, help_heading = "Transaction options")]
    pub sign_only: bool,
    /// The transaction's blockhash; it holds for 150 blocks [default: the newest]
    #[arg(long, value_name = "BLOCKHASH", value_parser = blockhash, help_heading = "Transaction options")]
    pub blockhash: Option<Hash>,
    /// A signature of the transaction that --sign-only printed, made elsewhere; may be repeated
    #[arg(long, value_name = "PUBKEY=SIGNATURE", value_parser = presigned, requires = "blockhash", help_heading = "Transaction options")]
    pub signer: Vec<Presigned>,
}

fn unit_price(text: &str) -> std::result::Result<u64, String> {
    let price: u64 = text.parse().map_err(|_| "expected a whole number of micro-lamports".to_owned())?;
    let lamports = priority_fee(price, UNITS_EACH);
    if lamports > MOST_LAMPORTS {
        let most = MOST_LAMPORTS * 1_000_000 / u128::from(UNITS_EACH);
        return Err(format!(
            "each instruction would cost {} SOL: expected at most {most}, which is {} SOL",
            sol(lamports),
            sol(MOST_LAMPORTS)
        ));
    }
    Ok(price)
}

fn blockhash(text: &str) -> std::result::Result<Hash, String> {
    text.parse().map_err(|_| "expected a blockhash: 32 bytes in base58".into())
}

fn presigned(text: &str) -> std::result::Result<Presigned, String> {
    let parts = text.split_once('=').and_then(|(address, signature)| {
        Some(Presigned { address: address.parse().ok()?, signature: signature.parse().ok()? })
    });
    parts.ok_or_else(|| "expected ADDRESS=SIGNATURE, both in base58".into())
}

impl Sending {
    /// Who signs for a command, and how.
    pub fn wallet(&self, global: &Global) -> Result<Wallet> {
        let signer = global.signer()?;
        let payer = match &self.fee_payer {
            Some(source) => source.open("--fee-payer")?,
            None => signer.clone(),
        };
        let wallet = Wallet::new(signer, global.output);
        Ok(Wallet {
            payer,
            unit_price: self.with_compute_unit_price,
            sign_only: self.sign_only,
            blockhash: self.blockhash,
            presigned: self.signer.clone(),
            ..wallet
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_nobody_means_is_refused_with_what_it_would_cost() {
        assert_eq!((unit_price("0"), unit_price("50000000")), (Ok(0), Ok(50_000_000)));
        let error = unit_price("5000000000").unwrap_err();
        assert_eq!(error, "each instruction would cost 1 SOL: expected at most 50000000, which is 0.01 SOL");
        for wrong in ["50000001", "18446744073709551615", "18446744073709551616", "-1", "0.5", ""] {
            assert!(unit_price(wrong).is_err(), "{wrong}");
        }
    }
}
