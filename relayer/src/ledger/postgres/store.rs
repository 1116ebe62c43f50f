//! The only writing connection, its group commit, and what becomes of both while the server is away.
//!
//! A transaction compares the writer's epoch and turn as it begins, and counts its turn as it ends. So a commit of which
//! nothing was heard is looked up once the server is back, and its callers are told what became of it; a ledger that
//! somebody else has opened meanwhile is not written to; and a server that has forgotten what it had committed is found out.

use super::charges::{self, Waiting};
use super::io::Io;
use super::schema;
use super::session::{Backend, Session, Turn};
use super::wire::server_error;
use crate::ledger::LedgerError;
use crate::ledger::command::{Command, authorize};
use crate::ledger::health::Health;
use crate::ledger::location::Server;
use crate::ledger::sql::apply::{Answer, Uncommitted, apply};
use crate::ledger::sql::charges::Places;
use crate::ledger::sql::{Database, values};
use crate::ledger::store;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that must go through before a server that could not write is trusted again: many charges' worth.
const PROOF: usize = 1 << 20;
/// Time that what is to be written waits for a server that is away, before its callers are told that nothing was kept: a
/// restart's.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// A ledger that is open for writing.
pub(in crate::ledger) struct Store {
    server: Server,
    io: Arc<Io>,
    /// None while the server is away.
    session: Option<Session>,
    /// Who the last session was to the server, which may not know yet that it has ended.
    backend: Backend,
    /// The last transaction known to be committed.
    turn: Turn,
    /// The callers of the transaction after it, if nobody knows whether it was committed.
    doubt: Option<Vec<Answer>>,
    places: Places,
    /// Why nothing is ever written again.
    over: Option<String>,
}

impl Store {
    /// Opens or creates the ledger on `server`. Waits for it.
    pub fn open(server: &Server, io: &Arc<Io>, domain: &[u8; 32], relayer: &[u8; 32]) -> Result<Self, LedgerError> {
        let (session, turn) = schema::open(server, io, domain, relayer)?;
        let session = session.impatient();
        let backend = session.backend()?;
        Ok(Self {
            server: server.clone(),
            io: io.clone(),
            session: Some(session),
            backend,
            turn,
            doubt: None,
            places: Places::default(),
            over: None,
        })
    }

    /// The connection.
    fn session(&self) -> Result<&Session, LedgerError> {
        self.session.as_ref().ok_or_else(|| server_error("the server is away"))
    }

    /// Connects anew if the connection was lost, and finds out what became of the last transaction.
    fn connect(&mut self) -> Result<(), LedgerError> {
        if let Some(problem) = &self.over {
            return Err(server_error(problem));
        }
        if self.session.as_ref().is_none_or(Session::is_lost) {
            self.session = None;
            self.places.clear();
            let session = Session::connect(&self.server, &self.io)?.impatient();
            schema::require_server(&session, &self.server)?;
            session.end(&self.backend)?;
            schema::lock(&session, &self.server)?;
            self.backend = session.backend()?;
            self.compare(Turn::read(&session)?)?;
            self.session = Some(session);
        }
        Ok(())
    }

    /// Compares what the server has with what was written, and answers those who did not know.
    fn compare(&mut self, found: Turn) -> Result<(), LedgerError> {
        let next = Turn { turn: self.turn.turn + 1, ..self.turn };
        let committed = if found == next && self.doubt.is_some() {
            self.turn = next;
            Ok(())
        } else if found == self.turn {
            Err(Uncommitted::Lost("the connection to its server was lost before the commit".to_owned()))
        } else {
            let problem = if found.epoch <= self.turn.epoch {
                "the server does not have what it had committed: restart the relayer once it has, or reconcile the ledger with the chain"
            } else {
                "another process has opened the ledger meanwhile: restart the relayer"
            };
            self.over = Some(problem.into());
            // What it had committed may be there: nobody is told that it is not.
            Err(Uncommitted::Unknown(problem.into()))
        };
        for answer in self.doubt.take().unwrap_or_default() {
            answer(committed.clone());
        }
        self.over.as_ref().map_or(Ok(()), |problem| Err(server_error(problem)))
    }

    /// Begins a transaction, in which nobody else writes. Waits a little for a server that is away.
    fn begin(&mut self, health: &Health) -> Result<(), LedgerError> {
        let until = self.io.now() + PATIENCE;
        loop {
            let error = match self.try_to_begin() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let away = match &error {
                LedgerError::Server { .. } | LedgerError::InUse { .. } => true,
                LedgerError::Database(error) => error.is_of_the_database(),
                _ => false,
            };
            if !away || self.over.is_some() || self.io.now() > until {
                return Err(error);
            }
            self.session = None; // what it says of itself may be old
            if !health.is_failing() {
                health.fail(&error.to_string());
            }
            self.io.sleep(PAUSE);
        }
    }

    fn try_to_begin(&mut self) -> Result<(), LedgerError> {
        self.connect()?;
        let session = self.session()?;
        if session.begin_turn(self.turn)? {
            return Ok(());
        }
        session.script("ROLLBACK")?;
        let found = Turn::read(session)?;
        self.compare(found)?;
        Err(server_error("its turn changed while it was read"))
    }

    /// Commits. If nothing is heard of it, its callers wait until it is known what became of it.
    fn end(&mut self, answers: Vec<Answer>, health: &Health) {
        let Some(session) = &self.session else { return };
        match session.commit_turn() {
            Ok(()) => {
                self.turn.turn += 1;
                answers.into_iter().for_each(|answer| answer(Ok(())));
            }
            // The ledger refuses further charges before any caller is told of the failure.
            Err(error) => {
                health.fail(&error.to_string());
                self.doubt = Some(answers);
                self.session = None;
            }
        }
    }

    /// Writes and takes back as much as many charges need.
    fn prove(&mut self, health: &Health) -> Result<(), LedgerError> {
        let zeros = vec![0; PROOF];
        self.try_to_begin()?;
        self.session()?.execute("INSERT INTO proof (bytes) VALUES (?1)", values![&zeros])?;
        self.end(Vec::new(), health);
        self.try_to_begin()?;
        self.session()?.execute("DELETE FROM proof", &[])?;
        self.end(Vec::new(), health);
        if self.doubt.is_some() { Err(server_error("a commit was not answered")) } else { Ok(()) }
    }

    /// Takes back what a failed proof has begun.
    fn give_up(&mut self) {
        if let Some(session) = &self.session
            && session.script("ROLLBACK").is_err()
        {
            self.session = None; // the next one begins anew
        }
    }
}

impl store::Store for Store {
    fn commit(&mut self, mut batch: Vec<Command>, health: &Health) {
        authorize(&mut batch);
        if let Err(error) = self.begin(health) {
            health.fail(&error.to_string());
            self.give_up();
            return; // dropping the commands tells their callers that nothing was kept
        }
        let Some(session) = &self.session else { return };
        let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
        let mut waiting: Vec<Waiting> = Vec::new();
        for command in batch {
            match command {
                Command::Charge(charge, reply) => waiting.push((charge, reply)),
                Command::Other(other) => {
                    let before = std::mem::take(&mut waiting);
                    answers.extend(charges::write(session, before, &mut self.places, health));
                    // A connection that is lost takes the transaction with it, and what would come after.
                    if session.has_ended() {
                        break;
                    }
                    answers.push(apply(session, *other, health));
                }
            }
        }
        if !session.has_ended() {
            answers.extend(charges::write(session, waiting, &mut self.places, health));
        }
        self.end(answers, health);
    }

    fn tidy(&mut self) {}

    /// Asks the server whether it is there, and tries to write again after a failure.
    fn look(&mut self, health: &Health) {
        let there = self.connect().and_then(|()| self.session()?.script("SELECT 1"));
        let well = there.and_then(|()| if health.is_failing() { self.prove(health) } else { Ok(()) });
        match well {
            Ok(()) => health.recover(),
            Err(error) => {
                health.fail_anew(&error.to_string());
                self.give_up();
            }
        }
    }
}
