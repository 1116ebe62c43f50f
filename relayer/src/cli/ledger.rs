//! `steam ledger`: the operator's side of the ledger. Check that it is sound and agrees with the chain, put right what does
//! not, decide about what cannot settle, and keep copies.

mod chain;
mod check;
mod copies;
mod move_to;
mod reconcile;
mod resolve;

pub use check::Check;
pub use copies::{Backup, Restore};
pub use move_to::Move;
pub use reconcile::Reconcile;
pub use resolve::Resolve;

use super::error::{CliError, Result};
use super::parse::{Given, ledger};
use super::solana::{Global, cluster_url};
use crate::ledger::{LedgerError, Location};
use std::path::{Path, PathBuf};

/// Check, repair and copy the relayer's ledger
#[derive(Debug, clap::Subcommand)]
pub enum Ledger {
    /// Prove that the ledger is sound, and with --rpc-url that it agrees with the chain
    Check(Check),
    /// Show what halts vaults, and with --apply put the ledger right; the relayer must be stopped
    Reconcile(Reconcile),
    /// List what cannot settle, or decide about it; also while the relayer runs
    Resolve(Resolve),
    /// Copy the ledger, also while the relayer runs
    Backup(Backup),
    /// Put a copy in the ledger's place; reconcile it before the relayer starts
    Restore(Restore),
    /// Move the ledger from a file to a PostgreSQL server or back; the relayer must be stopped
    Move(Move),
}

/// Which ledger.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The database file, or the postgres:// URL of the database on a server
    #[arg(long, value_name = "FILE|URL", value_parser = ledger, env = "STEAM_LEDGER", default_value = "steam.db")]
    pub ledger: Given,
    /// Which partition, of a ledger on a server that is divided among several processes (replicas.partitions)
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u16>,
    /// The server's password.
    #[command(flatten)]
    pub password: Password,
}

/// A server's password.
#[derive(Clone, Debug, clap::Args)]
pub struct Password {
    /// File with the server's password [default: the environment variable STEAM_LEDGER_PASSWORD]
    #[arg(long, value_name = "FILE", env = "STEAM_LEDGER_PASSWORD_FILE")]
    pub ledger_password_file: Option<PathBuf>,
}

/// Which chain.
#[derive(Clone, Debug, clap::Args)]
pub struct Nodes {
    /// RPC endpoint; may be repeated: all must agree
    #[arg(long, value_name = "URL", env = "STEAM_RPC_URLS", value_delimiter = ',', value_parser = cluster_url)]
    pub rpc_url: Vec<String>,
}

/// Who decides, and why.
#[derive(Clone, Debug, clap::Args)]
pub struct Signed {
    /// Who decides, for the record [default: the user's name]
    #[arg(long, value_name = "NAME", env = "USER")]
    pub by: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

impl Ledger {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it cannot be done; exit code 3 if something does not hold.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Check(check) => check.run(global).await,
            Self::Reconcile(reconcile) => reconcile.run(global).await,
            Self::Resolve(resolve) => resolve.run(global),
            Self::Backup(backup) => backup.run(global),
            Self::Restore(restore) => restore.run(global),
            Self::Move(moving) => moving.run(global),
        }
    }
}

impl Nodes {
    /// The endpoints, if any are named here or with `--url`.
    fn urls(&self, global: &Global) -> Vec<String> {
        if self.rpc_url.is_empty() { global.url.iter().cloned().collect() } else { self.rpc_url.clone() }
    }
}

impl Place {
    /// Where the ledger is, with the password that lets in.
    fn location(&self) -> Result<Location> {
        let place = self.password.of(&self.ledger)?;
        if self.partition.is_some() && matches!(place, Location::File(_)) {
            return Err(CliError::usage("a ledger in a file has no partitions: leave --partition out"));
        }
        Ok(place.in_partition(self.partition))
    }
}

impl Password {
    /// A place with the password that lets in.
    fn of(&self, place: &Given) -> Result<Location> {
        let place = place.place()?;
        let file = self.ledger_password_file.as_deref().unwrap_or(Path::new(""));
        let password = crate::ledger::password(file).map_err(|error| {
            CliError::new("password", format!("cannot read the password in {}: {error}", file.display()))
                .next("correct --ledger-password-file, or set STEAM_LEDGER_PASSWORD in its place")
        })?;
        Ok(place.with_password(password))
    }
}

/// What went wrong with the ledger at `place`, and what to do.
fn failed(place: &Location) -> impl Fn(LedgerError) -> CliError {
    move |error| {
        let next = match &error {
            LedgerError::InUse { .. } => "stop the relayer first: it numbers and settles from what it has in memory",
            LedgerError::Foreign { .. } => "name the right file or URL with --ledger",
            LedgerError::Missing { .. } => {
                "name the right database with --ledger; `steam serve` and `steam ledger move` make one"
            }
            LedgerError::Exists { .. } => "name a file that is not there yet",
            LedgerError::Damaged { .. } => "use another copy: this one cannot be trusted",
            LedgerError::Server { .. } => "check that the server runs, and that `psql` with the same URL gets in",
            LedgerError::OnServer => "use `pg_dump` and `pg_restore`, or `steam ledger move` it to a file",
            LedgerError::Unsound { .. } => "`steam ledger check` says what; nothing was moved",
            LedgerError::File { .. } | LedgerError::Lock { .. } => "check the rights and the free room of the folder",
            LedgerError::Database(_) if matches!(place, Location::File(path) if !path.exists()) => {
                "name the ledger with --ledger; the configuration has it as ledger.path"
            }
            _ => "run `steam ledger check`; a file that is damaged is replaced with `steam ledger restore`",
        };
        let said = error.to_string();
        // Most name the ledger themselves.
        let said = if said.contains(&place.to_string()) { said } else { format!("{place}: {said}") };
        CliError::new("ledger", said).next(next)
    }
}
