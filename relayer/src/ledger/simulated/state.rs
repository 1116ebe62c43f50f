//! Who is connected to a simulated server, what they hold, and what happens by itself as time passes.

use super::backend::{Backend, Transaction};
use super::data::{Data, PUBLIC};
use super::way::Way;
use super::{aborted, closed, no_schema, said};
use crate::ledger::failure::ServerError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds that a lock is waited for.
const LOCK_TIMEOUT: i64 = 10_000;

/// Everything that a server knows.
pub(super) struct State {
    /// The simulation's time, in milliseconds.
    clock: Arc<AtomicI64>,
    pub data: Data,
    pub ways: Vec<Way>,
    pub backends: BTreeMap<i64, Backend>,
    /// How many connections there ever were.
    made: i64,
    /// Until when nobody is let in, nothing is written, and there is no room.
    pub away_until: i64,
    pub reads_until: i64,
    pub full_until: i64,
    /// Milliseconds that a connection takes to end which others have ended.
    pub ending: i64,
}

impl State {
    /// Nothing, in the time that `clock` tells.
    pub fn new(clock: Arc<AtomicI64>) -> rusqlite::Result<Self> {
        Ok(Self {
            clock,
            data: Data::new()?,
            ways: Vec::new(),
            backends: BTreeMap::new(),
            made: 0,
            away_until: 0,
            reads_until: 0,
            full_until: 0,
            ending: 0,
        })
    }

    /// A connection by that way, to the tables of a schema.
    pub fn connect(&mut self, way: usize, schema: Option<String>) -> Result<i64, ServerError> {
        let now = self.now(way);
        self.go_on(now);
        if self.ways[way].shut {
            return Err(ServerError::new("it does not answer"));
        }
        if now < self.away_until {
            return Err(ServerError::coded("57P03", "the database system is starting up"));
        }
        self.made += 1;
        self.backends.insert(self.made, Backend::new(way, schema.unwrap_or_else(|| PUBLIC.into())));
        Ok(self.made)
    }

    pub fn time(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// The time of whoever comes by that way.
    pub fn now(&self, way: usize) -> i64 {
        self.time() + self.ways[way].ahead
    }

    /// Whether it takes no writes.
    pub fn reads_only(&self, way: usize) -> bool {
        self.now(way) < self.reads_until
    }

    pub fn is_full(&self, way: usize) -> bool {
        self.now(way) < self.full_until
    }

    /// A connection that both ends have.
    pub fn backend(&mut self, backend: i64) -> Result<&mut Backend, ServerError> {
        self.backends.get_mut(&backend).filter(|backend| !backend.left).ok_or_else(closed)
    }

    /// Lets happen what is due at `now`: commits that were late arrive, and connections end.
    pub fn go_on(&mut self, now: i64) {
        let due = |state: &Self| {
            let due = state.backends.iter().filter_map(|(number, backend)| Some((backend.due()?, *number)));
            due.min().filter(|(at, _)| *at <= now)
        };
        while let Some((at, backend)) = due(self) {
            let commits = self.backends.get(&backend).and_then(|backend| backend.transaction.as_ref()?.commit_at);
            if commits == Some(at) {
                // Nobody hears what comes of it.
                drop(self.commit(backend));
            }
            self.end(backend);
        }
    }

    /// Ends a connection and all that it holds.
    pub fn end(&mut self, backend: i64) {
        if let Some(transaction) = self.backends.remove(&backend).and_then(|backend| backend.transaction) {
            self.take_back(&transaction.open);
        }
    }

    /// Ends a connection, as soon as connections end.
    pub fn terminate(&mut self, backend: i64) {
        let at = self.time() + self.ending;
        let Some(found) = self.backends.get_mut(&backend) else { return };
        if self.ending > 0 {
            found.ends_at = Some(found.ends_at.map_or(at, |earlier| earlier.min(at)));
        } else {
            self.end(backend);
        }
    }

    /// Nothing of a connection is heard any more at the other end.
    pub fn break_off(&mut self, backend: i64) {
        let Some(found) = self.backends.get(&backend) else { return };
        let (lingers, now) = (self.ways[found.link].lingers, self.now(found.link));
        let Some(found) = self.backends.get_mut(&backend) else { return };
        found.left = true;
        if found.transaction.as_ref().is_some_and(|transaction| transaction.commit_at.is_some()) {
            return; // what is on its way arrives first
        }
        if lingers > 0 {
            found.ends_at.get_or_insert(now + lingers);
        } else {
            self.end(backend);
        }
    }

    /// The same of all connections of a way.
    pub fn break_all(&mut self, way: usize) {
        let own = |(number, backend): (&i64, &Backend)| (backend.link == way && !backend.left).then_some(*number);
        for backend in self.backends.iter().filter_map(own).collect::<Vec<_>>() {
            self.break_off(backend);
        }
    }

    /// Waits until `is_free`, as long as locks are waited for.
    pub fn wait(&mut self, backend: i64, is_free: impl Fn(&Self) -> bool) -> Result<(), ServerError> {
        let way = self.backend(backend)?.link;
        let until = self.now(way) + LOCK_TIMEOUT;
        while !is_free(self) {
            let next = self.backends.values().filter_map(Backend::due).min().filter(|at| *at <= until);
            let at = next.unwrap_or(until);
            self.ways[way].ahead = self.ways[way].ahead.max(at - self.time());
            self.go_on(at);
            self.backend(backend)?;
            if next.is_none() {
                return Err(ServerError::coded("55P03", "canceling statement due to lock timeout"));
            }
        }
        Ok(())
    }

    /// Takes out of the databases what a transaction has written.
    fn take_back<'a>(&self, open: impl IntoIterator<Item = &'a String>) {
        for db in open.into_iter().filter_map(|schema| self.data.of(schema)) {
            // It fails only where SQLite has ended the transaction itself.
            drop(db.execute_batch("ROLLBACK"));
        }
    }

    /// Has the others see what was there before a transaction that is not over.
    pub fn suspend(&mut self, schema: &str) {
        let mut open = false;
        for transaction in self.backends.values_mut().filter_map(|backend| backend.transaction.as_mut()) {
            open |= transaction.open.remove(schema);
        }
        if open {
            self.take_back([&schema.to_owned()]);
        }
    }

    /// The same of all transactions.
    pub fn suspend_all(&mut self) {
        let open = |backend: &Backend| backend.transaction.as_ref().map(|transaction| transaction.open.clone());
        let open: Vec<String> = self.backends.values().filter_map(open).flatten().collect();
        for schema in open {
            self.suspend(&schema);
        }
    }

    /// Goes on with a transaction where it writes to a schema.
    pub fn resume(&mut self, backend: i64, schema: &str) -> Result<(), ServerError> {
        let known =
            |found: &Backend| found.transaction.as_ref().is_some_and(|under_way| under_way.open.contains(schema));
        if self.backends.get(&backend).is_none_or(known) {
            return Ok(());
        }
        self.suspend(schema);
        let Some(transaction) = self.backends.get_mut(&backend).and_then(|found| found.transaction.as_mut()) else {
            return Ok(());
        };
        let db = self.data.of(schema).ok_or_else(|| no_schema(schema))?;
        let again = || -> rusqlite::Result<()> {
            db.execute_batch("BEGIN")?;
            transaction.log.iter().filter(|logged| logged.schema == schema).try_for_each(|logged| logged.repeat(db))
        };
        again().map_err(|error| said(&error))?;
        transaction.open.insert(schema.to_owned());
        Ok(())
    }

    /// Has a transaction write to a schema, which nobody else does until its end.
    pub fn lock(&mut self, backend: i64, schema: &str) -> Result<(), ServerError> {
        self.wait_for(backend, schema)?;
        if let Some(transaction) = &mut self.backend(backend)?.transaction {
            transaction.locked.insert(schema.to_owned());
        }
        self.resume(backend, schema)
    }

    /// Waits until nobody else writes to a schema.
    pub fn wait_for(&mut self, backend: i64, schema: &str) -> Result<(), ServerError> {
        self.wait(backend, |state| {
            state.backends.iter().all(|(number, other)| *number == backend || !other.holds(schema))
        })
    }

    pub fn begin(&mut self, backend: i64) -> Result<(), ServerError> {
        self.backend(backend)?.transaction = Some(Transaction::default());
        Ok(())
    }

    /// Keeps what a transaction has written. One in which something failed is taken back without a word.
    pub fn commit(&mut self, backend: i64) -> Result<(), ServerError> {
        let Some(transaction) = self.backends.get(&backend).and_then(|found| found.transaction.as_ref()) else {
            return Ok(());
        };
        let (failed, locked) = (transaction.failed, transaction.locked.clone());
        if !failed {
            for schema in &locked {
                self.resume(backend, schema)?;
            }
        }
        if failed {
            return self.roll_back(backend);
        }
        if let Some(found) = self.backends.get_mut(&backend) {
            found.transaction = None;
        }
        for db in locked.iter().filter_map(|schema| self.data.of(schema)) {
            db.execute_batch("COMMIT").map_err(|error| said(&error))?;
        }
        Ok(())
    }

    pub fn roll_back(&mut self, backend: i64) -> Result<(), ServerError> {
        if let Some(transaction) = self.backends.get_mut(&backend).and_then(|found| found.transaction.take()) {
            self.take_back(&transaction.open);
        }
        Ok(())
    }

    /// Refuses to go on in a transaction in which something failed.
    pub fn require_sound(&mut self, backend: i64) -> Result<(), ServerError> {
        match &self.backend(backend)?.transaction {
            Some(transaction) if transaction.failed => Err(aborted()),
            _ => Ok(()),
        }
    }
}
