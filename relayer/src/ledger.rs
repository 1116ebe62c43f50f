//! The ledger: every charge, the voucher that covers it, and how it was settled.
//!
//! What is written is a [`command`], as data. One writer thread takes whatever commands wait, has the store carry them out in
//! one transaction and answers them after the commit: a group commit without a timer, so a lone charge waits for one
//! `fdatasync` and a thousand wait for the same one. Reads are named queries of a reading store and never block it. The store
//! is one SQLite file ([`sqlite`]).

mod agreements;
mod allow_lists;
pub mod audit;
mod backlog;
mod batches;
mod board;
mod charges;
mod command;
mod earnings;
mod groups;
mod health;
pub mod incidents;
mod prune;
pub mod reconcile;
mod record;
pub mod recovery;
mod sealing;
mod sponsored;
mod sqlite;
mod tables;
mod usage;
mod voucher;
mod writer;

pub use agreements::{Agreement, MAX_AGREEMENT_SLOTS};
pub use allow_lists::Kept;
pub use batches::{Attempt, Batch, BatchId, DayOfSettlements, FinishBatch};
pub use board::{BOARD_SPANS, BoardRow};
pub(crate) use charges::{Authorization, Charge};
pub use charges::{ChargeId, GenerationRow, Loaded, LoadedKey, LoadedVault, Proof, ReceiptRow, RecentRequest};
pub use earnings::{Paid, PaidPage};
pub use groups::{GroupState, OpenVault, Pending, SealedGroup, SealedLine, Totals};
pub use health::Trouble;
pub use incidents::{Blocks, Cause, Fault, Incident, IncidentReport, Touches};
pub use record::PackedDecision;
pub use sponsored::{Cap, Counted, SPONSORED_DAY_MS, SponsorCaps, SponsoredOpening, SponsoredSums};
pub use sqlite::{Offline, Reader, back_up, free_bytes, in_use, inspect, resolve, restore};
pub use tables::TableRow;
pub use usage::{OfferUsage, Order, ReceiptPage, StatedReceipt, UsageTotal, Whose};
pub use voucher::StoredVoucher;
pub use writer::Turns;

use command::Write;
use sqlite::{Readers, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why the ledger could not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A full or failing disk, or a violated constraint.
    #[error("the ledger's database failed: {0}")]
    Database(#[from] sqlite::Error),
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
    /// A file beside the database cannot be written, moved or removed.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A copy would be written over a file.
    #[error("{path} is there already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// SQLite's own check of a copy failed.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// The first fault.
        problem: String,
    },
    /// The system starts no thread.
    #[error("cannot start a thread of the ledger's: {0}")]
    Thread(std::io::Error),
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
    /// Whether readers read at once, on the caller's thread.
    reads_in_turn: bool,
    /// Held as long as the ledger is open.
    _lock: Arc<std::fs::File>,
}

impl Ledger {
    /// Opens or creates the ledger at `path` for one relayer on one deployment. Blocks on the disk.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] if the file is another deployment's, [`LedgerError::Database`] if it cannot be used.
    pub fn open(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Self, LedgerError> {
        let lock = Arc::new(sqlite::lock(path)?);
        let writer = writer::Writer::start(Store::open(path, domain, relayer)?)?;
        Ok(Self { writer, readers: Arc::new(Readers::new(path)), reads_in_turn: false, _lock: lock })
    }

    /// The same ledger without threads of its own: nothing is written but in the [`Turns`] the caller takes, and reads
    /// happen at once. For a simulation, where one seed must give one order.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in_turns(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<(Self, Turns), LedgerError> {
        let lock = Arc::new(sqlite::lock(path)?);
        let (writer, turns) = writer::Writer::new(Store::open(path, domain, relayer)?);
        Ok((Self { writer, readers: Arc::new(Readers::new(path)), reads_in_turn: true, _lock: lock }, turns))
    }

    /// Carries out `write` in the writer's next transaction and returns what came of it once that is durable.
    async fn write<W: Write>(&self, write: W) -> Result<W::Output, LedgerError> {
        self.enqueue(write)?.await.map_err(|_| LedgerError::Closed)?
    }

    /// Queues `write` at once, so that commands are carried out in the order of the calls; the result arrives when it is
    /// durable.
    pub(crate) fn enqueue<W: Write>(
        &self,
        write: W,
    ) -> Result<oneshot::Receiver<Result<W::Output, LedgerError>>, LedgerError> {
        self.writer.enqueue(write)
    }

    /// Asks a reading store, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let readers = self.readers.clone();
        if self.reads_in_turn {
            return readers.with(query);
        }
        tokio::task::spawn_blocking(move || readers.with(query)).await.map_err(|_| LedgerError::Closed)?
    }

    /// Runs anything at all in the writer's next transaction.
    #[cfg(test)]
    pub(crate) async fn write_raw(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<(), LedgerError> + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (reply, result) = oneshot::channel();
        self.writer.enqueue_raw(Box::new(work), reply)?;
        result.await.map_err(|_| LedgerError::Closed)?
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

#[cfg(test)]
mod tests;
