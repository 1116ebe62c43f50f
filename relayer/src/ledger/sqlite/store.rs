//! The only writing connection, and its group commit.

use super::charges::{self, Failure};
use super::checkpoint::{Checkpointer, checkpoint};
use super::schema;
use crate::ledger::charges::ChargeId;
use crate::ledger::command::{Command, Reply, authorize};
use crate::ledger::health::{Fuse, Health};
use crate::ledger::sql::apply::{Answer, Uncommitted, answer, apply, in_savepoint};
use crate::ledger::sql::charges::Places;
use crate::ledger::{Charge, LedgerError, store};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::cell::Cell;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use steam_protocol::receipt::SignedReceipt;

/// Bytes that must go through before a ledger that could not write is trusted again: many charges' worth.
const PROOF: u32 = 1 << 20;

/// Pages of 4 KiB in the write-ahead log before they are copied into the file: 4 MiB, few enough that the disk is soon free for
/// the next commit.
const LOG_PAGES: c_int = 1_024;
/// Pages in the log before the writer copies them itself: 64 MiB. Nothing else bounds it while nothing copies beside the writer.
const MOST_LOG_PAGES: c_int = 16_384;

thread_local! {
    /// Pages in the log after this thread's last commit.
    static LOGGED: Cell<c_int> = const { Cell::new(0) };
}

/// A ledger that is open for writing.
pub(in crate::ledger) struct Store {
    connection: Connection,
    path: PathBuf,
    places: Places,
    /// Copies the log; none where turns are taken one by one.
    checkpointer: Option<Checkpointer>,
}

impl Store {
    /// Opens or creates the ledger at `path`. Blocks on the disk.
    pub fn open(path: &Path, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Self, LedgerError> {
        let connection = schema::open(path, domain, relayer)?;
        // In the place of SQLite's own, which copies the log before the commit is answered.
        connection.wal_hook(Some(|_, pages| {
            LOGGED.set(pages);
            Ok(())
        }));
        Ok(Self { connection, path: path.into(), places: Places::default(), checkpointer: None })
    }

    /// The same with a thread beside it that copies the log.
    pub fn with_checkpointer(mut self) -> Result<Self, LedgerError> {
        self.checkpointer = Some(Checkpointer::start(&self.path).map_err(LedgerError::Thread)?);
        Ok(self)
    }

    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Copies the log into the file. What fails is tried again after the next commit; a disk that is full is found out by that.
    fn copy_log(&self) {
        LOGGED.set(0);
        if let Err(error) = checkpoint(&self.connection) {
            tracing::warn!(%error, "the ledger's log could not be copied into its file");
        }
    }
}

impl store::Store for Store {
    fn commit(&mut self, mut batch: Vec<Command>, health: &Health) {
        authorize(&mut batch);
        let transaction = match self.connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                health.fail(&error.to_string());
                return; // dropping the commands tells their callers that nothing was kept
            }
        };
        let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
        for command in batch {
            // A full or failing disk can end the whole transaction under a command. What ran after it would commit on its own
            // and be reported as lost: those commands are dropped instead, which tells their callers that nothing was kept.
            if transaction.is_autocommit() {
                break;
            }
            answers.push(match command {
                Command::Charge(it, reply) => charge(&transaction, (it, reply), &mut self.places, health),
                Command::Other(other) => apply(&*transaction, *other, health),
            });
        }
        // The ledger refuses further charges before any caller is told of the failure.
        let committed = transaction.commit().map_err(|error| {
            self.places.clear();
            health.fail(&error.to_string());
            Uncommitted::Lost(error.to_string())
        });
        for answer in answers {
            answer(committed.clone());
        }
    }

    /// Looks after the log: its bulk is copied beside the writer, and what is left over then here, so that it begins anew.
    /// Everything is copied here if there is nobody beside the writer.
    fn tidy(&mut self) {
        let pages = LOGGED.get();
        if pages < LOG_PAGES {
            return;
        }
        match &self.checkpointer {
            Some(beside) if pages < MOST_LOG_PAGES && !beside.take_copied() => beside.wake(),
            _ => self.copy_log(),
        }
    }

    /// Notes how much is free, and tries to write again after a failure: as much as many charges need.
    fn look(&mut self, health: &Health) {
        if let Some(free) = free_bytes(&self.path) {
            health.set_free(free);
        }
        if health.is_failing() {
            match prove(&mut self.connection) {
                Ok(()) => health.recover(),
                Err(error) => health.fail(&error.to_string()),
            }
        }
    }
}

/// Writes a charge, which appends to the tables and needs no savepoint: one that fails half-way, as a disk may have it, ends
/// the transaction with all that shares it.
fn charge(
    tx: &Transaction<'_>,
    (charge, reply): (Box<Charge>, Reply<(SignedReceipt, ChargeId)>),
    places: &mut Places,
    health: &Health,
) -> Answer {
    let fuse = Fuse(health);
    let result = if charge.idempotent {
        in_savepoint(&**tx, || {
            charges::insert(tx, charge, places).map_err(|(Failure::Whole(error) | Failure::Partial(error))| {
                places.clear();
                error
            })
        })
    } else {
        charges::insert(tx, charge, places).map_err(|failure| match failure {
            Failure::Whole(error) => error,
            Failure::Partial(error) => {
                places.clear();
                end(tx, health);
                error
            }
        })
    };
    drop(fuse);
    answer(health, reply, result)
}

/// Takes back the whole transaction, unless the disk has ended it already.
fn end(tx: &Transaction<'_>, health: &Health) {
    if !tx.is_autocommit()
        && let Err(error) = tx.execute_batch("ROLLBACK")
    {
        health.fail(&error.to_string());
    }
}

fn prove(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO proof (bytes) VALUES (zeroblob(?1))", [PROOF])?;
    transaction.commit()?;
    connection.execute("DELETE FROM proof", []).map(drop)
}

/// What ordinary users may still write to the disk of `path`, in bytes, where the system tells.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    // In units of the file system's own.
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What ordinary users may still write to the disk of `path`: it is not known here.
#[cfg(not(unix))]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}
