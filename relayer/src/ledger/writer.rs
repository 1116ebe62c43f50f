//! The writer: takes whatever commands wait, hands them to the store together, and has it look after itself.

use super::LedgerError;
use super::command::{Command, Write};
use super::health::{Health, Lifeline};
use super::store::Store;
use super::{postgres, sqlite};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError, TrySendError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Commands carried out in one transaction at the most.
const MAX_COMMANDS: usize = 1_024;
/// Commands that may wait; beyond it the ledger refuses more.
const MAX_QUEUE: usize = 65_536;
/// Pause between two looks at the disk or the server.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// What waits for the writer.
enum Message {
    /// To be carried out.
    Command(Command),
    /// Whatever came before it is carried out, and nothing after it.
    Close(oneshot::Sender<()>),
}

#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::SyncSender<Message>,
    health: Health,
}

/// The other end: the only store that writes, and what waits for it.
struct Loop<S> {
    store: S,
    messages: mpsc::Receiver<Message>,
    health: Health,
    /// Who is told of the end, once it was asked for.
    closing: Option<oneshot::Sender<()>>,
}

/// A writer without a thread: it commits when it is told to.
pub struct Turns {
    turns: Loop<InTurns>,
    /// Whether nobody can send any more.
    left: bool,
}

/// A store of either kind, for a writer without a thread.
pub(super) enum InTurns {
    File(sqlite::Store),
    Server(postgres::Store),
}

impl Writer {
    fn new<S: Store>(store: S) -> (Self, Loop<S>) {
        let (queue, messages) = mpsc::sync_channel(MAX_QUEUE);
        let health = Health::new();
        (Self { queue, health: health.clone() }, Loop { store, messages, health, closing: None })
    }

    pub(super) fn in_turns(store: InTurns) -> (Self, Turns) {
        let (writer, turns) = Self::new(store);
        (writer, Turns { turns, left: false })
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
        self.send(Message::Command(write.into_command(reply)))?;
        Ok(result)
    }

    /// Has the writer end once everything that waits was carried out. The receiver ends when it has ended.
    pub(super) fn close(&self) -> Result<oneshot::Receiver<()>, LedgerError> {
        let (reply, ended) = oneshot::channel();
        self.send(Message::Close(reply))?;
        Ok(ended)
    }

    fn send(&self, message: Message) -> Result<(), LedgerError> {
        self.queue.try_send(message).map_err(|refused| match refused {
            TrySendError::Full(_) => LedgerError::Busy,
            TrySendError::Disconnected(_) => LedgerError::Closed,
        })
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
        self.send(Message::Command(Command::Other(Box::new(super::command::Other::Raw(work, reply)))))
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
        match self.turns.messages.try_recv() {
            Ok(Message::Command(first)) => self.turns.commit(first),
            Ok(Message::Close(reply)) => self.turns.closing = Some(reply),
            Err(error) => {
                self.left = error == TryRecvError::Disconnected;
                return false;
            }
        }
        true
    }

    /// Looks whether commits would go through, as the writer's thread does once a second.
    pub fn look(&mut self) {
        self.turns.look();
    }

    /// The same again, unless the ledger was closed or nobody has it any more: then the database is let go, as the writer's thread does.
    #[must_use]
    pub fn unless_over(mut self) -> Option<Self> {
        let closing = self.turns.closing.take();
        if closing.is_none() && !self.left {
            return Some(self);
        }
        let lifeline = self.turns.health.lifeline();
        if let Some(reply) = closing {
            self.turns.end(reply, lifeline);
        }
        None
    }

    /// The writing connection to a file. For those who decide themselves when the disk is full or fails.
    #[must_use]
    pub const fn connection(&self) -> Option<&sqlite::Connection> {
        match &self.turns.store {
            InTurns::File(store) => Some(store.connection()),
            InTurns::Server(_) => None,
        }
    }
}

impl Store for InTurns {
    fn commit(&mut self, batch: Vec<Command>, health: &Health) {
        match self {
            Self::File(store) => store.commit(batch, health),
            Self::Server(store) => store.commit(batch, health),
        }
    }

    fn tidy(&mut self) {
        match self {
            Self::File(store) => store.tidy(),
            Self::Server(store) => store.tidy(),
        }
    }

    fn look(&mut self, health: &Health) {
        match self {
            Self::File(store) => store.look(health),
            Self::Server(store) => store.look(health),
        }
    }
}

impl<S: Store> Loop<S> {
    /// Commits what comes until nobody can send any more.
    fn run(mut self) {
        let lifeline = self.health.lifeline();
        let mut checked = Instant::now();
        self.look();
        loop {
            match self.messages.recv_timeout(CHECK_EVERY.saturating_sub(checked.elapsed())) {
                Ok(Message::Command(first)) => self.commit(first),
                Ok(Message::Close(reply)) => self.closing = Some(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(reply) = self.closing.take() {
                return self.end(reply, lifeline);
            }
            if checked.elapsed() >= CHECK_EVERY {
                self.look();
                checked = Instant::now();
            }
        }
    }

    fn commit(&mut self, first: Command) {
        let mut batch = vec![first];
        while batch.len() < MAX_COMMANDS
            && let Ok(message) = self.messages.try_recv()
        {
            match message {
                Message::Command(command) => batch.push(command),
                Message::Close(reply) => {
                    self.closing = Some(reply);
                    break;
                }
            }
        }
        self.health.begin();
        self.store.commit(batch, &self.health);
        self.health.end();
        self.store.tidy();
    }

    /// Ends: the database is let go, and nothing is sold any more, before anybody is told.
    fn end(self, reply: oneshot::Sender<()>, lifeline: Lifeline) {
        let Self { store, messages, .. } = self;
        drop((store, messages, lifeline));
        let _ = reply.send(()); // whoever asked may have gone
    }

    fn look(&mut self) {
        self.health.begin();
        self.store.look(&self.health);
        self.health.end();
    }
}
