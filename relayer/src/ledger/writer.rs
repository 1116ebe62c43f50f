//! The writer and its group commit.

use super::LedgerError;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Jobs run in one transaction at the most.
const MAX_JOBS: usize = 1_024;
/// Jobs that may wait; beyond it the ledger refuses more.
const MAX_QUEUE: usize = 65_536;

/// Told whether the transaction was committed, answers the caller.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;
type Job = Box<dyn FnOnce(&Transaction<'_>) -> Answer + Send>;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::SyncSender<Job>,
}

/// The other end: the only writing connection, and what waits for it.
pub struct Turns {
    connection: Connection,
    jobs: mpsc::Receiver<Job>,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> (Self, Turns) {
        let (queue, jobs) = mpsc::sync_channel(MAX_QUEUE);
        (Self { queue }, Turns { connection, jobs })
    }

    pub(super) fn start(connection: Connection) -> Result<Self, LedgerError> {
        let (writer, mut turns) = Self::new(connection);
        std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                while let Ok(first) = turns.jobs.recv() {
                    turns.commit(first);
                }
            })
            .map_err(|_| LedgerError::Closed)?;
        Ok(writer)
    }

    pub(super) fn enqueue<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, LedgerError>>, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let result = in_savepoint(transaction, job);
            Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(problem) => result.and(Err(LedgerError::Commit(problem))),
                };
                // Nobody may be waiting any more; the work is durable all the same.
                drop(sender.send(result));
            })
        });
        self.queue.try_send(job).map_err(|_| LedgerError::Closed)?;
        Ok(receiver)
    }
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

impl Turns {
    /// Commits what is waiting, in one transaction, and answers it. For those who decide themselves when that happens.
    pub fn take(&mut self) {
        if let Ok(first) = self.jobs.try_recv() {
            self.commit(first);
        }
    }

    fn commit(&mut self, first: Job) {
        let batch = std::iter::once(first).chain(self.jobs.try_iter()).take(MAX_JOBS).collect();
        commit(&mut self.connection, batch);
    }
}

fn commit(connection: &mut Connection, batch: Vec<Job>) {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            tracing::error!(%error, "the ledger cannot begin a transaction");
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
    let committed = transaction.commit().map_err(|error| {
        tracing::error!(%error, "the ledger cannot commit");
        error.to_string()
    });
    for answer in answers {
        answer(committed.clone());
    }
}

/// A job that fails takes nothing but its own writes with it.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
    let result = job(transaction);
    if result.is_err() {
        transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    transaction.prepare_cached("RELEASE job")?.execute([])?;
    result
}
