//! The ledger: every charge, the voucher that covers it, and how it was settled, in one SQLite file.
//!
//! One writer thread owns the only writing connection. It takes whatever jobs are waiting, runs them in one
//! transaction and answers them after the commit: a group commit without a timer, so a lone charge waits for one
//! `fdatasync` and a thousand wait for the same one. Reads use connections of their own and never block it.

mod agreements;
mod allow_lists;
pub mod audit;
mod backlog;
mod batches;
mod board;
mod charges;
mod groups;
mod health;
pub mod incidents;
mod prune;
pub mod reconcile;
mod record;
pub mod recovery;
mod schema;
mod tables;
mod writer;

pub use agreements::Agreement;
pub use allow_lists::Kept;
pub use batches::{Attempt, Batch, BatchId};
pub use board::BoardRow;
pub use charges::{ChargeRow, GenerationRow, Loaded, LoadedKey, LoadedVault, Proof, ReceiptRow};
pub use groups::{GroupState, Pending, SealedGroup, SealedLine, StoredVoucher, Totals, stuck};
pub use record::PackedDecision;
pub use tables::TableRow;

pub use health::Trouble;
pub use incidents::{Blocks, Fault, Incident, Standing, Touches};
pub use writer::Turns;

use rusqlite::{Connection, Transaction};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Why the ledger could not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite said no: a full or failing disk, or a violated constraint.
    #[error("the ledger's database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The transaction this was part of could not be committed.
    #[error("the ledger could not commit: {0}")]
    Commit(String),
    /// Another process has it open: both would number receipts from memory.
    #[error("{path} is in use by another process: stop that one first")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The lock file beside the database cannot be made.
    #[error("cannot lock {path}: {source}")]
    Lock {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The writer thread is gone.
    #[error("the ledger is closed")]
    Closed,
    /// More writes are waiting than are let in.
    #[error("too many writes are waiting for the ledger's disk")]
    Busy,
    /// The file belongs to another relayer, program or cluster, or to a newer version.
    #[error("{path} cannot be used: {problem}")]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// It is a copy, which may be older than the chain.
    #[error(
        "{path} is a copy made at {made_ms} (Unix milliseconds) that was not compared with the chain since: run `steam ledger \
         reconcile --apply`"
    )]
    Copy {
        /// The database.
        path: PathBuf,
        /// When it was made.
        made_ms: i64,
    },
    /// A row does not have the form it was written in.
    #[error("the ledger holds a malformed {0}: restore it from a backup")]
    Malformed(&'static str),
    /// A rule of the ledger would be broken.
    #[error("the ledger refused to {0}")]
    Refused(&'static str),
}

/// A handle on the ledger; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    writer: writer::Writer,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Readers {
    /// Held as long as the ledger is open.
    _lock: std::fs::File,
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Whether readers read at once, on the caller's thread.
    in_turn: bool,
}

/// Reading connections kept for the next reader.
const IDLE_READERS: usize = 4;

impl Ledger {
    /// Opens or creates the ledger at `path` for one relayer on one deployment. Blocks on the disk.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] if the file is another deployment's, [`LedgerError::Database`] if it cannot be used.
    pub fn open(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Self, LedgerError> {
        let (connection, readers) = Readers::open(path, domain, relayer)?;
        Ok(Self { writer: writer::Writer::start(connection, path)?, readers: Arc::new(readers) })
    }

    /// The same ledger without threads of its own: nothing is written but in the [`Turns`] the caller takes, and reads
    /// happen at once. For a simulation, where one seed must give one order.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in_turns(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<(Self, Turns), LedgerError> {
        let (connection, mut readers) = Readers::open(path, domain, relayer)?;
        readers.in_turn = true;
        let (writer, turns) = writer::Writer::new(connection, path);
        Ok((Self { writer, readers: Arc::new(readers) }, turns))
    }

    /// Runs `job` in the writer's next transaction and returns its result once that is durable.
    ///
    /// # Errors
    /// What `job` returned (nothing of it is kept then), or [`LedgerError::Commit`].
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.enqueue(job)?.await.map_err(|_| LedgerError::Closed)?
    }

    /// Queues `job` at once, so that jobs run in the order of the calls; the result arrives when it is durable.
    ///
    /// # Errors
    /// [`LedgerError::Closed`].
    pub fn enqueue<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<tokio::sync::oneshot::Receiver<Result<T, LedgerError>>, LedgerError> {
        self.writer.enqueue(job)
    }

    /// Runs `job` on a reading connection, off the async threads.
    ///
    /// # Errors
    /// What `job` returned.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let readers = self.readers.clone();
        if readers.in_turn {
            return readers.with(job);
        }
        tokio::task::spawn_blocking(move || readers.with(job)).await.map_err(|_| LedgerError::Closed)?
    }

    /// Why nothing may be sold now: what is served could not be charged.
    pub fn trouble(&self) -> Option<Trouble> {
        self.writer.health().trouble()
    }

    /// Writes that failed since the ledger was opened.
    pub fn failures(&self) -> u64 {
        self.writer.health().failures()
    }

    /// Bytes that were left on the ledger's disk when it was last looked at, about a second ago.
    pub fn free_bytes(&self) -> Option<u64> {
        self.writer.health().free()
    }

    /// Says how many bytes must be left on the disk for anything to be sold: enough for what is under way then.
    pub fn want_free(&self, bytes: u64) {
        self.writer.health().want_free(bytes);
    }
}

impl Readers {
    fn open(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<(Connection, Self), LedgerError> {
        let lock = schema::lock(path)?;
        let connection = schema::open(path, domain, relayer)?;
        Ok((connection, Self { path: path.into(), idle: Mutex::default(), in_turn: false, _lock: lock }))
    }

    fn with<T>(&self, job: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.path)?,
        };
        let result = job(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }
}

#[cfg(test)]
mod tests;
