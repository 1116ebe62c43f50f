//! The writer and its group commit.

use super::LedgerError;
use super::health::{Fuse, Health};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, TrySendError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Jobs run in one transaction at the most.
const MAX_JOBS: usize = 1_024;
/// Jobs that may wait; beyond it the ledger refuses more.
const MAX_QUEUE: usize = 65_536;
/// Pause between two looks at the disk.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Bytes that must go through before a ledger that could not write is trusted again: many charges' worth.
const PROOF: u32 = 1 << 20;

/// Told whether the transaction was committed, answers the caller.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;
type Job = Box<dyn FnOnce(&Transaction<'_>) -> Answer + Send>;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::SyncSender<Job>,
    health: Health,
}

/// The other end: the only writing connection, and what waits for it.
pub struct Turns {
    connection: Connection,
    jobs: mpsc::Receiver<Job>,
    health: Health,
    path: PathBuf,
}

impl Writer {
    pub(super) fn new(connection: Connection, path: &Path) -> (Self, Turns) {
        let (queue, jobs) = mpsc::sync_channel(MAX_QUEUE);
        let health = Health::new();
        (Self { queue, health: health.clone() }, Turns { connection, jobs, health, path: path.into() })
    }

    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, LedgerError> {
        let (writer, turns) = Self::new(connection, path);
        std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || turns.run())
            .map_err(|_| LedgerError::Closed)?;
        Ok(writer)
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn enqueue<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, LedgerError>>, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let health = self.health.clone();
        let job: Job = Box::new(move |transaction| {
            let fuse = Fuse(&health);
            let result = in_savepoint(transaction, job);
            drop(fuse);
            if let Err(LedgerError::Database(error)) = &result
                && is_of_the_disk(error)
            {
                health.fail(&error.to_string());
            }
            Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(problem) => result.and(Err(LedgerError::Commit(problem))),
                };
                // Nobody may be waiting any more; the work is durable all the same.
                drop(sender.send(result));
            })
        });
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => LedgerError::Busy,
            TrySendError::Disconnected(_) => LedgerError::Closed,
        })?;
        Ok(receiver)
    }
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

impl Turns {
    /// Commits what is waiting, in one transaction, and answers it; false if nothing was. For those who decide
    /// themselves when that happens.
    pub fn take(&mut self) -> bool {
        let first = self.jobs.try_recv();
        first.map(|first| self.commit(first)).is_ok()
    }

    /// The writing connection. For those who decide themselves when the disk is full or fails.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Commits what comes until nobody can send any more.
    fn run(mut self) {
        let _lifeline = self.health.lifeline();
        let mut checked = Instant::now();
        self.look_at_disk();
        loop {
            match self.jobs.recv_timeout(CHECK_EVERY.saturating_sub(checked.elapsed())) {
                Ok(first) => self.commit(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if checked.elapsed() >= CHECK_EVERY {
                self.look_at_disk();
                checked = Instant::now();
            }
        }
    }

    fn commit(&mut self, first: Job) {
        let batch = std::iter::once(first).chain(self.jobs.try_iter()).take(MAX_JOBS).collect();
        self.health.begin();
        commit(&mut self.connection, batch, &self.health);
        self.health.end();
    }

    /// Notes how much is free, and tries to write again after a failure.
    fn look_at_disk(&mut self) {
        if let Some(free) = free_bytes(&self.path) {
            self.health.set_free(free);
        }
        if self.health.is_failing() {
            self.health.begin();
            match prove(&mut self.connection) {
                Ok(()) => self.health.recover(),
                Err(error) => self.health.fail(&error.to_string()),
            }
            self.health.end();
        }
    }
}

fn commit(connection: &mut Connection, batch: Vec<Job>, health: &Health) {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            health.fail(&error.to_string());
            return; // dropping the jobs tells their callers that nothing was kept
        }
    };
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
    for job in batch {
        // A full or failing disk can end the whole transaction under a job. What ran after it would commit on its own and be
        // reported as lost: those jobs are dropped instead, which tells their callers that nothing was kept.
        if transaction.is_autocommit() {
            break;
        }
        answers.push(job(&transaction));
    }
    // The door is closed before anybody hears of the failure.
    let committed = transaction.commit().map_err(|error| {
        health.fail(&error.to_string());
        error.to_string()
    });
    for answer in answers {
        answer(committed.clone());
    }
}

/// Writes and takes back as much as many charges need.
fn prove(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO proof (bytes) VALUES (zeroblob(?1))", [PROOF])?;
    transaction.commit()?;
    connection.execute("DELETE FROM proof", []).map(drop)
}

/// Whether an error is the disk's or the file's, as opposed to one of what was to be written.
fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    use ErrorCode as E;
    let of_the_disk = [
        E::DiskFull,
        E::SystemIoFailure,
        E::CannotOpen,
        E::ReadOnly,
        E::DatabaseCorrupt,
        E::NotADatabase,
        E::OutOfMemory,
        E::PermissionDenied,
    ];
    error.sqlite_error_code().is_some_and(|code| of_the_disk.contains(&code))
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    // What ordinary users may still write, in units of the file system's own.
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// A job that fails takes nothing but its own writes with it.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
    let result = job(transaction);
    // A full disk ends the whole transaction, savepoints included: there is nothing left to go back to.
    if transaction.is_autocommit() {
        return result.and(Err(LedgerError::Refused("go on in a transaction that has ended")));
    }
    if result.is_err() {
        transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    transaction.prepare_cached("RELEASE job")?.execute([])?;
    result
}
