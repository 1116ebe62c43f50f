//! What `--sign-only` prints.

use super::Signed;
use super::sent::PriorityFee;
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::io::{self, Write};

/// A transaction that was not sent.
#[derive(Serialize)]
pub(super) struct Unsent {
    blockhash: String,
    /// The transaction in base64, as nodes take it; an absent signature is zero.
    transaction: String,
    /// What is signed, in base64.
    message: String,
    /// Each `ADDRESS=SIGNATURE`, as `--signer` takes it.
    signers: Vec<String>,
    /// Who is still to sign.
    absent: Vec<String>,
    /// What it pays for its place before others.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_fee: Option<PriorityFee>,
}

impl Unsent {
    pub(super) fn of(signed: &Signed) -> Result<Self> {
        let Signed { transaction, absent, priority_fee } = signed;
        let bytes = bincode::serialize(transaction)
            .map_err(|error| CliError::new("sign", format!("the transaction cannot be written: {error}")))?;
        let addresses = transaction.message.static_account_keys().iter().zip(&transaction.signatures);
        let present = addresses.filter(|(address, _)| !absent.contains(address));
        Ok(Self {
            blockhash: transaction.message.recent_blockhash().to_string(),
            transaction: STANDARD.encode(bytes),
            message: STANDARD.encode(transaction.message.serialize()),
            signers: present.map(|(address, signature)| format!("{address}={signature}")).collect(),
            absent: absent.iter().map(ToString::to_string).collect(),
            priority_fee: priority_fee.clone(),
        })
    }
}

impl Report for Unsent {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n", self.transaction)?;
        writeln!(out, "This is the transaction, in base64. It was not sent.")?;
        line(out, "blockhash", &self.blockhash)?;
        for signer in &self.signers {
            line(out, "signed", signer)?;
        }
        for address in &self.absent {
            line(out, "to sign", address)?;
        }
        let signatures =
            self.signers.iter().cloned().chain(self.absent.iter().map(|address| format!("{address}=SIGNATURE")));
        let flags: Vec<String> = signatures.map(|signature| format!("--signer {signature}")).collect();
        writeln!(out, "Next, within 150 blocks: the same command, with these in place of --sign-only:")?;
        writeln!(out, "--blockhash {} {}", self.blockhash, flags.join(" "))
    }
}
