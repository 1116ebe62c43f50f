//! What cannot settle by itself, and what a person decides about it.

use super::{CliError, Place, Result, Signed, failed};
use crate::cli::amount::show_pico;
use crate::cli::output::Report;
use crate::cli::solana::Global;
use crate::clock::{Clock, SystemClock};
use crate::ledger::incidents::{Decision, Resolution, ResolveError};
use crate::ledger::{self, LedgerError, Reader};
use serde::Serialize;
use std::io::{self, Write};

/// List what cannot settle, or decide about it
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("decision").args(["retry", "write_off"]).requires("id"))]
pub struct Resolve {
    /// Incidents, by the number they are listed with
    #[arg(value_name = "ID", requires = "decision")]
    pub id: Vec<i64>,
    /// Settle their charges again, line by line: the cause is gone
    #[arg(long)]
    pub retry: bool,
    /// Never charge them: the vault has its money back, the providers go without
    #[arg(long)]
    pub write_off: bool,
    /// List those that were resolved too
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// Who and why.
    #[command(flatten)]
    pub signed: Signed,
    /// Which ledger.
    #[command(flatten)]
    pub place: Place,
}

#[derive(Serialize)]
struct Listed {
    incidents: Vec<Incident>,
    waiting: Vec<Waiting>,
}

#[derive(Serialize)]
struct Incident {
    id: i64,
    vault: String,
    generation: u64,
    key_epoch: Option<u32>,
    provider: Option<String>,
    offer: Option<String>,
    blocks: &'static str,
    reason: String,
    opened_ms: i64,
    receipts: u64,
    total_pico: String,
    resolution: Option<String>,
    resolved_by: Option<String>,
    note: Option<String>,
    resolved_ms: Option<i64>,
}

#[derive(Serialize)]
struct Waiting {
    vault: String,
    seq: u32,
    receipts: u32,
    reason: String,
}

#[derive(Serialize)]
struct Resolved {
    resolved: Vec<i64>,
    resolution: Resolution,
    by: String,
    note: String,
}

impl Resolve {
    /// Lists or decides.
    ///
    /// # Errors
    /// Why a decision cannot be made; none of them is then.
    pub fn run(self, global: &Global) -> Result<()> {
        if self.id.is_empty() {
            return self.list(global);
        }
        let (Some(by), Some(note)) = (self.signed.by, self.signed.note.filter(|note| !note.trim().is_empty())) else {
            return Err(CliError::usage("a decision needs --note, and --by if no user's name is known")
                .next("say why with --note, for whoever reads the record"));
        };
        let resolution = if self.retry { Resolution::Retried } else { Resolution::WrittenOff };
        let decision = Decision { resolution, by: by.clone(), note: note.clone(), at_ms: SystemClock.unix_ms() };
        let place = self.place.location()?;
        let fail = failed(&place);
        ledger::resolve(&place, &self.id, &decision).map_err(|error| match error {
            ResolveError::Ledger(error) => fail(error),
            other => {
                CliError::new("incident", other.to_string()).next("`steam ledger resolve` lists those that are open")
            }
        })?;
        global.output.print(&Resolved { resolved: self.id, resolution, by, note })
    }

    fn list(self, global: &Global) -> Result<()> {
        let place = self.place.location()?;
        let ledger = ledger::inspect(&place).map_err(failed(&place))?;
        let listed = listed(&ledger, self.all).map_err(failed(&place))?;
        global.output.print(&listed)
    }
}

fn listed(ledger: &Reader, all: bool) -> std::result::Result<Listed, LedgerError> {
    let incidents = ledger.incidents(all)?.into_iter().map(|incident| Incident {
        id: incident.id,
        vault: incident.vault.to_string(),
        generation: incident.generation,
        key_epoch: incident.epoch,
        provider: incident.provider.map(|at| at.to_string()),
        offer: incident.offer.map(|at| at.to_string()),
        blocks: incident.touches.name(),
        reason: incident.reason,
        opened_ms: incident.opened_ms,
        receipts: incident.receipts,
        total_pico: incident.total.0.to_string(),
        resolved_ms: incident.resolved.as_ref().map(|resolved| resolved.at_ms),
        resolution: incident.resolved.as_ref().map(|resolved| resolved.resolution.clone()),
        resolved_by: incident.resolved.as_ref().map(|resolved| resolved.by.clone()),
        note: incident.resolved.map(|resolved| resolved.note),
    });
    let waiting = ledger.waiting()?.into_iter().map(|(group, reason)| Waiting {
        vault: group.vault.to_string(),
        seq: group.seq,
        receipts: group.receipts,
        reason,
    });
    Ok(Listed { incidents: incidents.collect(), waiting: waiting.collect() })
}

impl Report for Listed {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.incidents.is_empty() && self.waiting.is_empty() {
            return writeln!(out, "nothing waits for a decision");
        }
        for incident in &self.incidents {
            let total = incident
                .total_pico
                .parse()
                .map_or_else(|_| incident.total_pico.clone(), |pico| show_pico(steam_protocol::units::Pico(pico)));
            writeln!(
                out,
                "incident {}: {} charges, {total} USDC, of vault {}",
                incident.id, incident.receipts, incident.vault
            )?;
            writeln!(out, "  why: {}", incident.reason)?;
            let what = match incident.blocks {
                "offer" => incident.offer.as_deref(),
                "provider" => incident.provider.as_deref(),
                _ => None,
            };
            match (&incident.resolution, &incident.resolved_by, &incident.note) {
                (Some(resolution), Some(by), Some(note)) => writeln!(out, "  {resolution} by {by}: {note}")?,
                _ => writeln!(
                    out,
                    "  until resolved nothing new is held on the {} {}",
                    incident.blocks,
                    what.unwrap_or("")
                )?,
            }
        }
        for group in &self.waiting {
            writeln!(
                out,
                "vault {} group {}: {} charges wait: {}",
                group.vault, group.seq, group.receipts, group.reason
            )?;
        }
        Ok(())
    }
}

impl Report for Resolved {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let numbers: Vec<String> = self.resolved.iter().map(ToString::to_string).collect();
        let done = match self.resolution {
            Resolution::Retried => "settled again with the relayer's next settlement",
            Resolution::WrittenOff | Resolution::Dropped => "written off",
        };
        writeln!(out, "incident {}: {done}, by {}: {}", numbers.join(", "), self.by, self.note)
    }
}
