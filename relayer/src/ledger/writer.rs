//! The writer: takes whatever commands wait, hands them to the store together, and has it look after itself.

use super::LedgerError;
use super::command::{Command, Write};
use super::health::Health;
use super::sqlite;
use super::store::Store;
use std::sync::mpsc::{self, RecvTimeoutError, TrySendError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Commands carried out in one transaction at the most.
const MAX_COMMANDS: usize = 1_024;
/// Commands that may wait; beyond it the ledger refuses more.
const MAX_QUEUE: usize = 65_536;
/// Pause between two looks at the disk or the server.
const CHECK_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::SyncSender<Command>,
    health: Health,
}

/// The other end: the only store that writes, and what waits for it.
struct Loop<S> {
    store: S,
    commands: mpsc::Receiver<Command>,
    health: Health,
}

/// A writer without a thread: it commits when it is told to.
pub struct Turns(Loop<sqlite::Store>);

impl Writer {
    fn new<S: Store>(store: S) -> (Self, Loop<S>) {
        let (queue, commands) = mpsc::sync_channel(MAX_QUEUE);
        let health = Health::new();
        (Self { queue, health: health.clone() }, Loop { store, commands, health })
    }

    pub(super) fn in_turns(store: sqlite::Store) -> (Self, Turns) {
        let (writer, turns) = Self::new(store);
        (writer, Turns(turns))
    }

    pub(super) fn start(store: impl Store + 'static) -> Result<Self, LedgerError> {
        let (writer, turns) = Self::new(store);
        std::thread::Builder::new().name("ledger".into()).spawn(move || turns.run()).map_err(LedgerError::Thread)?;
        Ok(writer)
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn enqueue<W: Write>(
        &self,
        write: W,
    ) -> Result<oneshot::Receiver<Result<W::Output, LedgerError>>, LedgerError> {
        let (reply, result) = oneshot::channel();
        self.queue.try_send(write.into_command(reply)).map_err(|refused| match refused {
            TrySendError::Full(_) => LedgerError::Busy,
            TrySendError::Disconnected(_) => LedgerError::Closed,
        })?;
        Ok(result)
    }
}

#[cfg(test)]
impl Writer {
    /// Queues anything at all.
    pub(super) fn enqueue_raw(
        &self,
        work: super::command::Raw,
        reply: super::command::Reply<()>,
    ) -> Result<(), LedgerError> {
        self.queue
            .try_send(Command::Other(Box::new(super::command::Other::Raw(work, reply))))
            .map_err(|_| LedgerError::Closed)
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
        let first = self.0.commands.try_recv();
        first.map(|first| self.0.commit(first)).is_ok()
    }

    /// The writing connection. For those who decide themselves when the disk is full or fails.
    #[must_use]
    pub const fn connection(&self) -> &sqlite::Connection {
        self.0.store.connection()
    }
}

impl<S: Store> Loop<S> {
    /// Commits what comes until nobody can send any more.
    fn run(mut self) {
        let _lifeline = self.health.lifeline();
        let mut checked = Instant::now();
        self.look();
        loop {
            match self.commands.recv_timeout(CHECK_EVERY.saturating_sub(checked.elapsed())) {
                Ok(first) => self.commit(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if checked.elapsed() >= CHECK_EVERY {
                self.look();
                checked = Instant::now();
            }
        }
    }

    fn commit(&mut self, first: Command) {
        let batch = std::iter::once(first).chain(self.commands.try_iter()).take(MAX_COMMANDS).collect();
        self.health.begin();
        self.store.commit(batch, &self.health);
        self.health.end();
        self.store.tidy();
    }

    fn look(&mut self) {
        self.health.begin();
        self.store.look(&self.health);
        self.health.end();
    }
}
