//! A client's end of a connection, and what it is answered.

use super::backend::Backend;
use super::data::NAMED;
use super::server::SimulatedServer;
use super::state::State;
use super::values::Rows;
use crate::ledger::LedgerError;
use crate::ledger::failure::{DatabaseError, ServerError};
use crate::ledger::sql::{Value, values};

/// A connection.
pub(in crate::ledger) struct Connection {
    server: SimulatedServer,
    backend: i64,
}

impl Connection {
    pub(super) fn new(server: SimulatedServer, backend: i64) -> Self {
        Self { server, backend }
    }

    fn ask<T>(&self, work: impl FnOnce(&mut State, i64) -> Result<T, ServerError>) -> Result<T, LedgerError> {
        let answered = self.server.state().ask(self.backend, |state| work(state, self.backend));
        answered.map_err(|error| LedgerError::Database(DatabaseError::Server(error)))
    }

    /// Carries a statement out.
    pub fn statement(&self, sql: &str, values: &[Value<'_>]) -> Result<Rows, LedgerError> {
        self.ask(|state, backend| state.statement(backend, sql, values))
    }

    /// Runs statements that have no parameters.
    pub fn script(&self, sql: &str) -> Result<(), LedgerError> {
        match sql {
            "COMMIT" => self.ask(State::ask_to_commit),
            "ROLLBACK" => self.ask(State::roll_back),
            _ => self.statement(sql, &[]).map(drop),
        }
    }

    /// Makes tables in a schema; in the connection's own if none is named.
    pub fn make_tables(&self, schema: Option<&str>, sql: &str) -> Result<(), LedgerError> {
        self.ask(|state, backend| {
            let schema =
                schema.map_or_else(|| state.backend(backend).map(|found| found.schema.clone()), |it| Ok(it.into()));
            state.script(backend, &schema?, sql)
        })
    }

    /// Makes a schema, if it is not there: it stays where a transaction is taken back, empty.
    pub fn make_schema(&self, schema: &str) -> Result<(), LedgerError> {
        self.ask(|state, _| state.data.create(schema).map_err(|error| super::said(&error)))
    }

    /// Whether there is a table; in the connection's own schema if none is named.
    pub fn has_table(&self, schema: Option<&str>, table: &str) -> Result<bool, LedgerError> {
        self.ask(|state, backend| {
            let schema = match schema {
                Some(schema) => schema.to_owned(),
                None => state.backend(backend)?.schema.clone(),
            };
            if state.data.of(&schema).is_none() {
                return Ok(false);
            }
            let inside = if schema == NAMED { NAMED } else { "main" };
            let listed = format!("SELECT 1 FROM {inside}.sqlite_schema WHERE type = 'table' AND name = ?1");
            Ok(!state.statement(backend, &listed, values![table])?.rows.is_empty())
        })
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Result<(), LedgerError> {
        self.ask(State::begin)
    }

    /// Begins one that has a lock of its own until its end.
    pub fn begin_alone(&self, lock: &'static str) -> Result<(), LedgerError> {
        self.ask(|state, backend| {
            state.begin(backend)?;
            state.wait(backend, |state| {
                let holds = |other: &Backend| other.transaction.as_ref().and_then(|it| it.alone) == Some(lock);
                state.backends.iter().all(|(number, other)| *number == backend || !holds(other))
            })?;
            if let Some(transaction) = &mut state.backend(backend)?.transaction {
                transaction.alone = Some(lock);
            }
            Ok(())
        })
    }

    /// Begins one that locks the one row of `writer` if it is as `condition` says, and tells whether it is.
    pub fn begin_locked(&self, condition: &str, values: &[Value<'_>]) -> Result<bool, LedgerError> {
        self.ask(|state, backend| {
            state.begin(backend)?;
            let row = format!("SELECT turn FROM writer {condition}");
            if state.statement(backend, &row, values)?.rows.is_empty() {
                return Ok(false);
            }
            let schema = state.backend(backend)?.schema.clone();
            if let Err(error) = state.before_write(backend, &schema) {
                state.fail(backend);
                return Err(error);
            }
            Ok(!state.statement(backend, &row, values)?.rows.is_empty())
        })
    }

    /// Has it take no writes.
    pub fn only_read(&self) -> Result<(), LedgerError> {
        self.ask(|state, backend| {
            state.backend(backend)?.reads = true;
            Ok(())
        })
    }

    /// Whether the server takes no writes.
    pub fn is_read_only(&self) -> Result<bool, LedgerError> {
        self.ask(|state, backend| {
            let way = state.backend(backend)?.link;
            Ok(state.reads_only(way))
        })
    }

    /// Takes the lock of its schema's ledger, if nobody else has it.
    pub fn try_lock(&self) -> Result<bool, LedgerError> {
        self.ask(|state, backend| {
            let free = holders(state, backend)?.into_iter().all(|holder| holder == backend);
            state.backend(backend)?.locks |= free;
            Ok(free)
        })
    }

    /// Whether anybody has it.
    pub fn is_locked(&self) -> Result<bool, LedgerError> {
        self.ask(|state, backend| Ok(!holders(state, backend)?.is_empty()))
    }

    /// Ends the connections of whoever has it.
    pub fn end_holder(&self) -> Result<(), LedgerError> {
        self.ask(|state, backend| {
            holders(state, backend)?.into_iter().for_each(|holder| state.terminate(holder));
            Ok(())
        })
    }

    /// Its number at the server.
    pub fn number(&self) -> Result<i64, LedgerError> {
        self.ask(|_, backend| Ok(backend))
    }

    /// Ends another connection.
    pub fn end(&self, number: i64) -> Result<(), LedgerError> {
        self.ask(|state, _| {
            state.terminate(number);
            Ok(())
        })
    }

    /// Whether it is gone.
    pub fn is_lost(&self) -> bool {
        self.server.state().backend(self.backend).is_err()
    }
}

/// The connections that have the lock of a connection's schema.
fn holders(state: &mut State, backend: i64) -> Result<Vec<i64>, ServerError> {
    let schema = state.backend(backend)?.schema.clone();
    let holds = |(number, other): (&i64, &Backend)| (other.locks && other.schema == schema).then_some(*number);
    Ok(state.backends.iter().filter_map(holds).collect())
}

/// The server learns of it when it does.
impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.server.state();
        if state.backend(self.backend).is_ok() {
            let way = state.backends.get(&self.backend).map(|found| found.link);
            if way.is_some_and(|way| state.ways[way].shut) {
                state.break_off(self.backend);
            } else {
                state.end(self.backend);
            }
        }
    }
}
