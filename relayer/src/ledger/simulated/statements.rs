//! How statements are carried out.

use super::backend::Logged;
use super::data::Data;
use super::state::State;
use super::values::{Owned, Rows, run};
use super::way::Cut;
use super::{closed, no_schema, said};
use crate::ledger::failure::ServerError;
use crate::ledger::sql::Value;
use std::sync::Arc;

/// What leads back to a savepoint, and has a transaction in which something failed go on.
const BACK: &str = "ROLLBACK TO";
/// What begins and ends savepoints, beside it.
const SAVEPOINTS: [&str; 3] = ["SAVEPOINT", "RELEASE", BACK];

impl State {
    /// Has the server do something for a client, unless the connection breaks.
    pub fn ask<T>(
        &mut self,
        backend: i64,
        work: impl FnOnce(&mut Self) -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        let way = self.backend(backend)?.link;
        let now = self.now(way);
        self.go_on(now);
        self.backend(backend)?;
        if self.ways[way].shut {
            self.break_off(backend);
            return Err(closed());
        }
        match self.ways[way].strike() {
            None => work(self),
            Some(cut) => {
                if matches!(cut, Cut::After(_)) {
                    drop(work(self));
                }
                self.break_off(backend);
                Err(closed())
            }
        }
    }

    /// Commits, unless the connection breaks there.
    pub fn ask_to_commit(&mut self, backend: i64) -> Result<(), ServerError> {
        let way = self.backend(backend)?.link;
        let Some(cut) = self.ways[way].strike_commit() else { return self.commit(backend) };
        match cut {
            Cut::Answer => drop(self.commit(backend)),
            Cut::Late(ms) => {
                let at = self.now(way) + ms;
                if let Some(transaction) = &mut self.backend(backend)?.transaction {
                    transaction.commit_at = Some(at);
                }
            }
            Cut::Commit | Cut::Before(_) | Cut::After(_) => {}
        }
        self.break_off(backend);
        Err(closed())
    }

    /// Carries a statement out. What fails in a transaction fails it.
    pub fn statement(&mut self, backend: i64, sql: &str, values: &[Value<'_>]) -> Result<Rows, ServerError> {
        let schema = Data::named(&self.backend(backend)?.schema, sql).to_owned();
        let done = self.carry_out(backend, &schema, sql, values);
        if done.is_err() {
            self.fail(backend);
        }
        done
    }

    /// Something failed in a transaction.
    pub fn fail(&mut self, backend: i64) {
        if let Some(transaction) = self.backends.get_mut(&backend).and_then(|found| found.transaction.as_mut()) {
            transaction.failed = true;
        }
    }

    fn carry_out(&mut self, backend: i64, schema: &str, sql: &str, values: &[Value<'_>]) -> Result<Rows, ServerError> {
        let within = SAVEPOINTS.iter().any(|word| sql.starts_with(word));
        if sql.starts_with(BACK)
            && let Some(transaction) = &mut self.backend(backend)?.transaction
        {
            transaction.failed = false;
        }
        self.require_sound(backend)?;
        self.stand(backend, schema)?;
        let db = self.data.of(schema).ok_or_else(|| no_schema(schema))?;
        let reads = db.prepare_cached(sql).map_err(|error| said(&error))?.readonly();
        if !reads || within {
            self.before_write(backend, schema)?;
        }
        let db = self.data.of(schema).ok_or_else(|| no_schema(schema))?;
        let rows = run(db, sql, values).map_err(|error| said(&error))?;
        if !reads || within {
            self.note(backend, schema, sql, values)?;
        }
        Ok(rows)
    }

    /// Makes tables and whatever else has no parameters.
    pub fn script(&mut self, backend: i64, schema: &str, sql: &str) -> Result<(), ServerError> {
        self.require_sound(backend)?;
        self.stand(backend, schema)?;
        self.before_write(backend, schema)?;
        let db = self.data.of(schema).ok_or_else(|| no_schema(schema))?;
        db.execute_batch(sql).map_err(|error| said(&error))?;
        self.note(backend, schema, sql, &[])
    }

    /// Has a database show what this connection may see.
    pub fn stand(&mut self, backend: i64, schema: &str) -> Result<(), ServerError> {
        if self.backend(backend)?.holds(schema) {
            return self.resume(backend, schema);
        }
        self.suspend(schema);
        Ok(())
    }

    /// Waits until this connection may write.
    pub fn before_write(&mut self, backend: i64, schema: &str) -> Result<(), ServerError> {
        let found = self.backend(backend)?;
        let (way, reads, begun) = (found.link, found.reads, found.transaction.is_some());
        if reads || self.reads_only(way) {
            return Err(ServerError::coded("25006", "cannot write in a read-only transaction"));
        }
        if self.is_full(way) {
            return Err(ServerError::coded("53100", "could not extend file: No space left on device"));
        }
        if begun {
            return self.lock(backend, schema);
        }
        self.wait_for(backend, schema)
    }

    fn note(&mut self, backend: i64, schema: &str, sql: &str, values: &[Value<'_>]) -> Result<(), ServerError> {
        if let Some(transaction) = &mut self.backend(backend)?.transaction {
            let values: Arc<[Owned]> = values.iter().map(Owned::of).collect();
            transaction.log.push(Logged { schema: schema.to_owned(), sql: sql.to_owned(), values });
        }
        Ok(())
    }
}
