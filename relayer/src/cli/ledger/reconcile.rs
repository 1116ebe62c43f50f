//! What halts vaults, and how the ledger is put right: the chain decides what was settled.

use super::chain::Seen;
use super::{CliError, Nodes, Place, Result, Signed, failed, now_ms};
use crate::cli::amount::show_pico;
use crate::cli::output::{Report, line};
use crate::cli::solana::Global;
use crate::ledger::LedgerError;
use crate::ledger::incidents::{Decision, Resolution};
use crate::ledger::recovery::{self, Offline, Standing};
use crate::vaults::first_number;
use rusqlite::Transaction;
use serde::Serialize;
use std::io::{self, Write};
use steam_protocol::units::Pico;

/// Show what halts vaults, and with --apply put the ledger right
#[derive(Debug, clap::Args)]
pub struct Reconcile {
    /// Change the ledger; without it only what would change is shown
    #[arg(long)]
    pub apply: bool,
    /// Who and why.
    #[command(flatten)]
    pub signed: Signed,
    /// Which ledger.
    #[command(flatten)]
    pub place: Place,
    /// Which chain.
    #[command(flatten)]
    pub nodes: Nodes,
}

#[derive(Serialize)]
struct Reconciled {
    applied: bool,
    /// When the file was copied from a ledger, if it is a copy.
    copied_ms: Option<i64>,
    vaults: usize,
    first_number: u64,
    halted: Vec<Halted>,
    /// What cannot be put right here.
    unclear: Vec<String>,
}

/// A vault whose head on chain is none of the ledger's.
#[derive(Serialize)]
struct Halted {
    vault: String,
    generation: u64,
    chain_seq: u32,
    ledger_seq: u32,
    receipts_settled: u64,
    dropped: u64,
    dropped_pico: String,
    incident: i64,
}

impl Reconcile {
    /// Shows or applies.
    ///
    /// # Errors
    /// If a relayer has the ledger open, or the chain cannot be read; exit code 3 if something is left unclear.
    pub async fn run(self, global: &Global) -> Result<()> {
        let fail = failed(&self.place.ledger);
        let mut offline = Offline::open(&self.place.ledger).map_err(&fail)?;
        let deployment = recovery::deployment(offline.db()).map_err(&fail)?;
        let known: Vec<_> =
            recovery::vaults(offline.db()).map_err(&fail)?.into_iter().map(|(vault, ..)| vault).collect();
        let Some(seen) = self.nodes.look(global, deployment, &known).await? else {
            return Err(CliError::usage("the chain decides: name its endpoints with --rpc-url"));
        };
        let last_seen = recovery::last_seen_ms(offline.db()).map_err(&fail)?;
        let at_ms = now_ms().max(seen.unix_time.saturating_mul(1_000)).max(last_seen);
        let decision = Decision {
            resolution: Resolution::Dropped,
            by: self.signed.by.unwrap_or_else(|| "steam ledger reconcile".into()),
            note: self.signed.note.unwrap_or_else(|| "reconciled with the chain".into()),
            at_ms,
        };
        let done = offline.transact(self.apply, |tx| reconcile(tx, &seen, &decision, self.apply)).map_err(&fail)?;
        let unclear = done.unclear.len();
        global.output.print(&done)?;
        match unclear {
            0 => Ok(()),
            unclear => Err(CliError::invalid(
                "unclear",
                format!("{unclear} vaults could not be compared; nothing was changed for them"),
            )
            .next("wait until the endpoints agree, or name others with --rpc-url")),
        }
    }
}

fn reconcile(
    tx: &Transaction<'_>,
    seen: &Seen,
    decision: &Decision,
    applied: bool,
) -> std::result::Result<Reconciled, LedgerError> {
    let copied_ms = recovery::copied(tx)?;
    let first_number = first_number(decision.at_ms);
    let number = i64::try_from(first_number).map_err(|_| LedgerError::Refused("number beyond 2^63"))?;
    let heads = recovery::heads(tx)?;
    let mut unclear: Vec<String> =
        seen.unclear.iter().map(|vault| format!("vault {vault}: the endpoints do not agree on it")).collect();
    let mut halted = Vec::new();
    for vault in seen.vaults() {
        let place = (vault.address, vault.generation);
        let head = heads.get(&place).copied().unwrap_or_default();
        let on_chain = (vault.settle_seq, vault.settle_hash);
        match head.compare(on_chain) {
            Standing::Known => {}
            Standing::Behind => unclear.push(format!(
                "vault {}: the endpoints are at group {}, and group {} is final here: they are old, or of another chain",
                vault.address, vault.settle_seq, head.settled.0
            )),
            Standing::Contradicted => unclear.push(format!(
                "vault {}: group {} on chain is another than the one that is final here: the endpoints lie, or the chain was rolled back",
                vault.address, vault.settle_seq
            )),
            Standing::Foreign => {
                let adopted = recovery::adopt(tx, place, on_chain, number, decision)?;
                halted.push(Halted {
                    vault: vault.address.to_string(),
                    generation: vault.generation,
                    chain_seq: vault.settle_seq,
                    ledger_seq: head.settled.0,
                    receipts_settled: vault.receipts_settled,
                    dropped: adopted.dropped,
                    dropped_pico: adopted.total.0.to_string(),
                    incident: adopted.incident,
                });
            }
        }
    }
    if copied_ms.is_some() {
        // Whatever was receipted since the copy was made is not here, of any vault.
        recovery::number_from(tx, None, number)?;
        if unclear.is_empty() {
            recovery::is_no_copy(tx)?;
        }
    }
    Ok(Reconciled { applied, copied_ms, vaults: seen.reading.vaults.len(), first_number, halted, unclear })
}

impl Report for Reconciled {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "vaults", format!("{} compared with the chain", self.vaults))?;
        if let Some(made_ms) = self.copied_ms {
            line(
                out,
                "copy",
                format!("made at {made_ms} (Unix milliseconds); new receipts are numbered from {}", self.first_number),
            )?;
        }
        for vault in &self.halted {
            writeln!(
                out,
                "vault {}: the chain is at group {} ({} receipts), this ledger at {}: somebody settled with another state of it",
                vault.vault, vault.chain_seq, vault.receipts_settled, vault.ledger_seq
            )?;
            let total =
                vault.dropped_pico.parse().map_or_else(|_| vault.dropped_pico.clone(), |pico| show_pico(Pico(pico)));
            writeln!(
                out,
                "  {} unsettled charges, {total} USDC, {} never charged: the chain may have settled them",
                vault.dropped,
                if self.applied { "are" } else { "would be" }
            )?;
        }
        for problem in &self.unclear {
            writeln!(out, "{problem}")?;
        }
        match (self.halted.is_empty() && self.copied_ms.is_none(), self.applied) {
            (true, _) => writeln!(out, "nothing to put right"),
            (false, true) => writeln!(out, "done"),
            (false, false) => writeln!(out, "nothing was changed; run it again with --apply"),
        }
    }
}
