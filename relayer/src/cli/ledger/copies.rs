//! Copies of the ledger.

use super::{Place, Result, failed};
use crate::cli::output::{Report, line};
use crate::cli::parse::file;
use crate::cli::solana::Global;
use crate::clock::{Clock, SystemClock};
use crate::ledger;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

/// Copy the ledger, also while the relayer runs
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The copy, which must not be there yet
    #[arg(value_name = "FILE", value_parser = file)]
    pub copy: PathBuf,
    /// Which ledger.
    #[command(flatten)]
    pub place: Place,
}

/// Put a copy in the ledger's place
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The copy
    #[arg(value_name = "FILE", value_parser = file)]
    pub copy: PathBuf,
    /// Which ledger.
    #[command(flatten)]
    pub place: Place,
}

#[derive(Serialize)]
struct Copied {
    ledger: String,
    copy: String,
    bytes: u64,
    made_ms: i64,
}

#[derive(Serialize)]
struct Restored {
    ledger: String,
    from: String,
    replaced: Option<String>,
}

impl Backup {
    /// Makes the copy.
    ///
    /// # Errors
    /// Why there is none.
    pub fn run(self, global: &Global) -> Result<()> {
        let (place, made_ms) = (self.place.location()?, SystemClock.unix_ms());
        ledger::back_up(&place, &self.copy, made_ms).map_err(failed(&place))?;
        global.output.print(&Copied {
            ledger: place.to_string(),
            copy: self.copy.display().to_string(),
            bytes: std::fs::metadata(&self.copy).map_or(0, |file| file.len()),
            made_ms,
        })
    }
}

impl Restore {
    /// Puts the copy in place.
    ///
    /// # Errors
    /// Why it is not; the ledger is as it was then.
    pub fn run(self, global: &Global) -> Result<()> {
        let place = self.place.location()?;
        let replaced = ledger::restore(&self.copy, &place, SystemClock.unix_ms()).map_err(failed(&place))?;
        global.output.print(&Restored {
            ledger: place.to_string(),
            from: self.copy.display().to_string(),
            replaced: replaced.map(|kept| kept.display().to_string()),
        })
    }
}

impl Report for Copied {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "copy", format!("{} of {}", self.copy, self.ledger))?;
        line(out, "bytes", self.bytes)
    }
}

impl Report for Restored {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "restored", format!("{} from {}", self.ledger, self.from))?;
        line(out, "replaced", self.replaced.as_deref().unwrap_or("-"))?;
        line(out, "next", "steam ledger reconcile, then again with --apply: the relayer does not start before that")
    }
}
