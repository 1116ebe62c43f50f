//! The ledger's way from a file to a server, and back.

use super::{Password, Result, failed};
use crate::cli::error::CliError;
use crate::cli::output::{Report, line};
use crate::cli::parse::{Given, ledger};
use crate::cli::solana::Global;
use crate::clock::{Clock, SystemClock};
use crate::ledger::{self, Location, Moved};
use serde::Serialize;
use std::io::{self, Write};

/// Move the ledger from a file to a PostgreSQL server or back
#[derive(Debug, clap::Args)]
pub struct Move {
    /// The database file or the postgres:// URL of the ledger, which is a copy afterwards
    #[arg(long, value_name = "FILE|URL", value_parser = ledger)]
    pub from: Given,
    /// The database file, which must not be there yet, or the postgres:// URL of a database without a ledger
    #[arg(long, value_name = "FILE|URL", value_parser = ledger)]
    pub to: Given,
    /// The server's password.
    #[command(flatten)]
    pub password: Password,
}

#[derive(Serialize)]
struct Shown {
    from: String,
    to: String,
    #[serde(flatten)]
    moved: Moved,
}

impl Move {
    /// Moves.
    ///
    /// # Errors
    /// Why nothing was moved.
    pub fn run(self, global: &Global) -> Result<()> {
        let (from, to) = (self.password.of(&self.from)?, self.password.of(&self.to)?);
        if let (Location::Server(_), Location::Server(_)) = (&from, &to) {
            return Err(CliError::usage("a ledger is not moved from one server to another in one step")
                .next("move it to a file, and from the file to the other server"));
        }
        let moved = ledger::move_to(&from, &to, SystemClock.unix_ms()).map_err(failed(&from))?;
        global.output.print(&Shown { from: from.to_string(), to: to.to_string(), moved })
    }
}

impl Report for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "moved", format!("{} to {}", self.from, self.to))?;
        line(out, "rows", self.moved.rows)?;
        line(out, "charges", self.moved.charges)?;
        line(out, "next", "name the new place in the configuration, and start the relayer: it refuses the old one")
    }
}
