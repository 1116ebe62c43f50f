//! `steam ledger`: the operator's side of the ledger. Check that it is sound and agrees with the chain, put right what does
//! not, decide about what cannot settle, and keep copies.

mod chain;
mod check;
mod copies;
mod reconcile;
mod resolve;

pub use check::Check;
pub use copies::{Backup, Restore};
pub use reconcile::Reconcile;
pub use resolve::Resolve;

use super::error::{CliError, Result};
use super::parse::{address, file};
use super::solana::{Global, cluster_url};
use crate::chain::Pubkey;
use crate::ledger::LedgerError;
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
}

/// Which ledger.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The database file
    #[arg(long, value_name = "FILE", value_parser = file, env = "STEAM_LEDGER", default_value = "steam.db")]
    pub ledger: PathBuf,
}

/// Which chain.
#[derive(Clone, Debug, clap::Args)]
pub struct Nodes {
    /// RPC endpoint; may be repeated: all must agree
    #[arg(long, value_name = "URL", env = "STEAM_RPC_URLS", value_delimiter = ',', value_parser = cluster_url)]
    pub rpc_url: Vec<String>,
    /// The program [default: the one this binary was built with]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub program: Option<Pubkey>,
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
        }
    }
}

impl Nodes {
    /// The endpoints, if any are named here or with `--url`.
    fn urls(&self, global: &Global) -> Vec<String> {
        if self.rpc_url.is_empty() { global.url.iter().cloned().collect() } else { self.rpc_url.clone() }
    }
}

/// What went wrong with the file at `path`, and what to do.
fn failed(path: &Path) -> impl Fn(LedgerError) -> CliError {
    move |error| {
        let next = match &error {
            LedgerError::InUse { .. } => "stop the relayer first: it numbers and settles from what it has in memory",
            LedgerError::Foreign { .. } => "name the right file with --ledger",
            LedgerError::Exists { .. } => "name a file that is not there yet",
            LedgerError::Damaged { .. } => "use another copy: this one cannot be trusted",
            LedgerError::File { .. } | LedgerError::Lock { .. } => "check the rights and the free room of the folder",
            LedgerError::Database(_) if !path.exists() => {
                "name the ledger with --ledger; the configuration has it as ledger.path"
            }
            _ => "run `steam ledger check`; a file that is damaged is replaced with `steam ledger restore`",
        };
        CliError::new("ledger", format!("{}: {error}", path.display())).next(next)
    }
}
