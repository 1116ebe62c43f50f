//! The ledger: every charge, the voucher that covers it, and how it was settled.
//!
//! What is written is a [`command`], as data. One writer thread takes whatever commands wait, has the store carry them out in
//! one transaction and answers them after the commit: a group commit without a timer, so a lone charge waits for one
//! `fdatasync` and a thousand wait for the same one. Reads are named queries of a reading store and never block it. What is
//! done is written once, in SQL ([`sql`]); a store is a SQLite file ([`sqlite`]) or a database on a server ([`postgres`]).

mod agreements;
mod allow_lists;
pub mod audit;
mod backlog;
mod batches;
mod board;
mod charges;
mod command;
mod earnings;
mod failure;
mod groups;
mod health;
pub mod incidents;
mod location;
mod offline;
pub mod partitions;
mod postgres;
mod prune;
pub mod reconcile;
mod record;
pub mod recovery;
mod sealing;
#[cfg(feature = "simulation")]
pub mod simulated;
mod sponsored;
mod sql;
mod sqlite;
mod store;
mod tables;
mod unsettled;
mod usage;
mod version;
mod voucher;
mod writer;

pub use agreements::{Agreement, MAX_AGREEMENT_SLOTS};
pub use allow_lists::Kept;
pub use batches::{Attempt, Batch, BatchId, DayOfSettlements, FinishBatch};
pub use board::{BOARD_SPANS, BoardRow};
pub(crate) use charges::{Authorization, Charge};
pub use charges::{ChargeId, GenerationRow, Loaded, LoadedKey, LoadedVault, Proof, ReceiptRow, RecentRequest};
pub use earnings::{Paid, PaidPage};
pub use failure::{DatabaseError, ServerError};
pub use groups::{GroupState, OpenVault, Pending, SealedGroup, SealedLine};
pub use health::Trouble;
pub use incidents::{Blocks, Cause, Fault, Incident, IncidentReport, Touches};
pub use location::{Location, PASSWORD_VARIABLE, Server, password};
pub use offline::{Moved, Offline, back_up, in_use, inspect, move_to, resolve, restore, usable};
pub use record::PackedDecision;
pub use sponsored::{Cap, Counted, SPONSORED_DAY_MS, SponsorCaps, SponsoredOpening, SponsoredSums};
pub use sql::Reader;
pub use sqlite::free_bytes;
pub use tables::TableRow;
pub(crate) use unsettled::saturating_sum;
pub use unsettled::{Totals, Unsettled};
pub use usage::{OfferUsage, Order, ReceiptPage, StatedReceipt, UsageTotal, Whose};
pub use voucher::StoredVoucher;
pub use writer::Turns;

use command::Write;
use sql::Readers;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::oneshot;
use writer::InTurns;

/// Why the ledger could not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A full or failing disk, a server that is away, or a violated constraint.
    #[error("the ledger's database failed: {0}")]
    Database(#[from] DatabaseError),
    /// The server cannot be reached, lets nobody in, or does not keep what a ledger needs.
    #[error("{server}: {problem}")]
    Server {
        /// Which one.
        server: String,
        /// What it said.
        problem: ServerError,
    },
    /// The transaction this was part of could not be committed.
    #[error("the ledger could not commit: {0}")]
    Commit(String),
    /// Nobody knows whether the transaction this was part of was committed.
    #[error("whether the ledger has it is not known: {0}")]
    Unknown(String),
    /// Another process has it open: both would number receipts from memory.
    #[error("{ledger} is in use by another process: stop that one first")]
    InUse {
        /// The database.
        ledger: String,
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
    /// A copy or a ledger would be written over another.
    #[error("{ledger} is there already")]
    Exists {
        /// The one that is there.
        ledger: String,
    },
    /// Something in it does not hold.
    #[error("{findings} things in {ledger} do not hold; the first: {problem}")]
    Unsound {
        /// The ledger.
        ledger: String,
        /// How many.
        findings: usize,
        /// The first of them.
        problem: String,
    },
    /// What is asked for is made of files.
    #[error("a ledger on a PostgreSQL server is copied and put back with the server's own tools")]
    OnServer,
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
    #[error("too many writes are waiting for the ledger's database")]
    Busy,
    /// It belongs to another relayer, program or cluster, or to a newer version.
    #[error("{ledger} cannot be used: {problem}")]
    Foreign {
        /// The database.
        ledger: String,
        /// What does not fit.
        problem: String,
    },
    /// Nobody has made a ledger in this database.
    #[error("there is no ledger in {ledger}")]
    Missing {
        /// The database.
        ledger: String,
    },
    /// It is a copy, which may be older than the chain.
    #[error(
        "{ledger} is a copy made at {made_ms} (Unix milliseconds) that was not compared with the chain since: run `steam ledger \
         reconcile --apply`"
    )]
    Copy {
        /// The database.
        ledger: String,
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
    /// Those of every partition, in order, this one included; of a ledger in one piece its own alone.
    all: Arc<[Arc<Readers>]>,
    /// Whether readers read at once, on the caller's thread.
    reads_in_turn: bool,
    /// Charges that are given their group's seq in one transaction.
    marked_at_once: usize,
    /// Whether some sealed group may lack charges.
    half_sealed: Arc<AtomicBool>,
    /// Held as long as the ledger is open. A server holds its lock for the writer's connection.
    _lock: Option<Arc<std::fs::File>>,
}

/// Charges that are given their group's seq in one transaction: others wait for that about a millisecond.
const MARKED_AT_ONCE: usize = 256;
/// The same where somebody else takes the turns: few, so that much may happen in between.
const MARKED_IN_TURN: usize = 2;
/// Readers of a file at once at the most: as many as there are threads that wait.
const FILE_READERS: usize = 512;
/// Connections to a server for reading at the most.
const SERVER_READERS: usize = 8;
/// The same for what is read of another partition.
const SIBLING_READERS: usize = 2;

impl Ledger {
    /// Opens or creates a ledger for one relayer on one deployment. Waits for the disk or the server.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] if it is another deployment's, [`LedgerError::Database`] or [`LedgerError::Server`] if it
    /// cannot be used.
    pub fn open(at: impl Into<Location>, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Self, LedgerError> {
        match at.into() {
            Location::File(path) => {
                let lock = Some(Arc::new(sqlite::lock(&path)?));
                let store = sqlite::Store::open(&path, domain, relayer)?.with_checkpointer()?;
                Ok(Self::new(writer::Writer::start(store)?, file_readers(&path), lock))
            }
            Location::Server(server) => {
                let io = postgres::Io::start(&server)?;
                let writer = writer::Writer::start(postgres::Store::open(&server, &io, domain, relayer)?)?;
                Ok(Self::new(writer, server_readers(SERVER_READERS, server, io), None))
            }
        }
    }

    fn new(writer: writer::Writer, readers: Arc<Readers>, lock: Option<Arc<std::fs::File>>) -> Self {
        let all = [readers.clone()].into();
        let half_sealed = Arc::new(AtomicBool::new(true)); // a crash may have left one
        Self { writer, readers, all, reads_in_turn: false, marked_at_once: MARKED_AT_ONCE, half_sealed, _lock: lock }
    }

    /// The same as the partition `own` of `siblings`: what concerns no vault is read of all of them.
    #[must_use]
    pub fn beside(self, siblings: &Siblings, own: u16) -> Self {
        let of = |(number, sibling): (usize, &Arc<Readers>)| {
            if number == usize::from(own) { self.readers.clone() } else { sibling.clone() }
        };
        let all = siblings.0.iter().enumerate().map(of).collect();
        Self { all, ..self }
    }

    /// The ledger without threads of its own: nothing is written but in the [`Turns`] the caller takes, and reads
    /// happen at once. For a simulation, where one seed must give one order.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in_turns(
        at: impl Into<Location>,
        domain: &[u8; 32],
        relayer: &[u8; 32],
    ) -> Result<(Self, Turns), LedgerError> {
        let (store, readers, lock) = match at.into() {
            Location::File(path) => {
                let lock = Some(Arc::new(sqlite::lock(&path)?));
                (InTurns::File(sqlite::Store::open(&path, domain, relayer)?), file_readers(&path), lock)
            }
            Location::Server(server) => {
                let io = postgres::Io::start(&server)?;
                let store = postgres::Store::open(&server, &io, domain, relayer)?;
                (InTurns::Server(store), server_readers(SERVER_READERS, server, io), None)
            }
        };
        let (writer, turns) = writer::Writer::in_turns(store);
        Ok((Self { reads_in_turn: true, marked_at_once: MARKED_IN_TURN, ..Self::new(writer, readers, lock) }, turns))
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
        self.read_of(self.readers.clone(), query).await
    }

    /// The same of another partition.
    async fn read_of<T: Send + 'static>(
        &self,
        readers: Arc<Readers>,
        query: impl FnOnce(&Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        if self.reads_in_turn {
            return readers.with(query);
        }
        tokio::task::spawn_blocking(move || readers.with(query)).await.map_err(|_| LedgerError::Closed)?
    }

    /// The same for what may read very much: few of them at once, so that readers are left for settlement and for requests.
    async fn scan<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let _turn = self.readers.scans.acquire().await.map_err(|_| LedgerError::Closed)?;
        self.read(query).await
    }

    /// Runs anything at all in the writer's next transaction.
    #[cfg(test)]
    async fn write_raw(
        &self,
        work: impl FnOnce(&dyn sql::Database) -> Result<(), LedgerError> + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (reply, result) = oneshot::channel();
        self.writer.enqueue_raw(command::Raw(Box::new(work)), reply)?;
        result.await.map_err(|_| LedgerError::Closed)?
    }

    /// Runs anything at all that SQLite's own library can in the writer's next transaction.
    #[cfg(test)]
    pub(crate) async fn write_sqlite(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), LedgerError> {
        self.write_raw(|db| Ok(work(db.sqlite().expect("a ledger in a file"))?)).await
    }

    /// Ends the writer once everything that waits was written, and lets go of the database, so that another process may open it. What is
    /// written to it after that is refused.
    ///
    /// # Errors
    /// [`LedgerError::Closed`] if it has ended already.
    pub async fn close(&self) -> Result<(), LedgerError> {
        let ended = self.writer.close()?;
        ended.await.map_err(|_| LedgerError::Closed)
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

/// The partitions of a ledger on a server, to be read of by all of them that one process holds: connections are made once they are needed.
#[derive(Clone)]
pub struct Siblings(Arc<[Arc<Readers>]>);

impl Siblings {
    /// Of the partitions at `places`.
    ///
    /// # Errors
    /// [`LedgerError::Thread`].
    pub fn new(places: &[Location]) -> Result<Self, LedgerError> {
        let mut io = None;
        let mut of = |place: &Location| match place {
            Location::Server(server) => {
                let io = match &io {
                    Some(io) => Arc::clone(io),
                    None => io.insert(postgres::Io::start(server)?).clone(),
                };
                Ok(server_readers(SIBLING_READERS, server.clone(), io))
            }
            Location::File(path) => Ok(file_readers(path)),
        };
        Ok(Self(places.iter().map(&mut of).collect::<Result<_, LedgerError>>()?))
    }
}

fn server_readers(most: usize, server: Server, io: Arc<postgres::Io>) -> Arc<Readers> {
    Arc::new(Readers::new(most, move || postgres::open_reader(&server, &io).map(Reader::new)))
}

fn file_readers(path: &Path) -> Arc<Readers> {
    let path = path.to_path_buf();
    Arc::new(Readers::new(FILE_READERS, move || sqlite::open_reader(&path).map(Reader::new)))
}

#[cfg(test)]
mod tests;
