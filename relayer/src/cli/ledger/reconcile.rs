//! What halts vaults, and how the ledger is put right: the chain decides what was settled.

use super::{CliError, Nodes, Place, Result, Signed, failed};
use crate::cli::amount::show_pico;
use crate::cli::output::{Report, line};
use crate::cli::solana::Global;
use crate::clock::{Clock, SystemClock};
use crate::ledger::Offline;
use crate::ledger::incidents::{Decision, Resolution};
use crate::ledger::reconcile::Reconciled;
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
struct Shown {
    applied: bool,
    #[serde(flatten)]
    reconciled: Reconciled,
}

impl Reconcile {
    /// Shows or applies.
    ///
    /// # Errors
    /// If a relayer has the ledger open, or the chain cannot be read; exit code 3 if something is left unclear.
    pub async fn run(self, global: &Global) -> Result<()> {
        let place = self.place.location()?;
        let fail = failed(&place);
        let mut offline = Offline::open(&place).map_err(&fail)?;
        let deployment = offline.reader().deployment().map_err(&fail)?;
        let known = offline.reader().vaults().map_err(&fail)?;
        let share = offline.reader().share(self.place.partition).map_err(&fail)?;
        let Some(seen) = self.nodes.look(global, deployment, (&known, share)).await? else {
            return Err(CliError::usage("the chain decides: name its endpoints with --rpc-url"));
        };
        let last_seen = offline.reader().last_seen_ms().map_err(&fail)?;
        let at_ms = SystemClock.unix_ms().max(seen.unix_time.saturating_mul(1_000)).max(last_seen);
        let decision = Decision {
            resolution: Resolution::Dropped,
            by: self.signed.by.unwrap_or_else(|| "steam ledger reconcile".into()),
            note: self.signed.note.unwrap_or_else(|| "reconciled with the chain".into()),
            at_ms,
        };
        let reconciled = offline.reconcile(self.apply, &seen.on_chain(), &decision).map_err(&fail)?;
        let unclear = reconciled.unclear.len();
        global.output.print(&Shown { applied: self.apply, reconciled })?;
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

impl Report for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let done = &self.reconciled;
        line(out, "vaults", format!("{} compared with the chain", done.vaults))?;
        if let Some(made_ms) = done.copied_ms {
            line(
                out,
                "copy",
                format!("made at {made_ms} (Unix milliseconds); new receipts are numbered from {}", done.first_number),
            )?;
        }
        for vault in &done.halted {
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
        if done.paused > 0 {
            let vaults = done.paused;
            writeln!(
                out,
                "{vaults} vaults take no requests for three minutes, in which owners may carry out withdrawals this ledger has not heard of"
            )?;
        }
        for problem in &done.unclear {
            writeln!(out, "{problem}")?;
        }
        match (done.halted.is_empty() && done.copied_ms.is_none(), self.applied) {
            (true, _) => writeln!(out, "nothing to put right"),
            (false, true) => writeln!(out, "done"),
            (false, false) => writeln!(out, "nothing was changed; run it again with --apply"),
        }
    }
}
