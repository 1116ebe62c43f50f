//! One connection to the server, and what is asked of it: by its library, or of a simulated one.

use super::io::{Io, Way};
use super::wire::Wire;
use crate::ledger::LedgerError;
use crate::ledger::audit::Audit;
use crate::ledger::location::Server;
#[cfg(feature = "simulation")]
use crate::ledger::simulated::Connection;
use crate::ledger::sql::{Database, Value, Visit};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// A connection.
pub(in crate::ledger) struct Session {
    line: Line,
    pub(super) io: Arc<Io>,
}

/// What carries what is asked.
enum Line {
    Wire(Box<Wire>),
    #[cfg(feature = "simulation")]
    Simulated(Connection),
}

/// Who writes: see `writer` in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Turn {
    pub epoch: i64,
    pub turn: i64,
}

/// Who a connection is to the server.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct Backend {
    pub process: i64,
    pub started: String,
}

/// Rows for a table.
pub(in crate::ledger) struct Insert<'a> {
    pub table: &'static str,
    /// By their names.
    pub columns: Vec<(&'static str, Column<'a>)>,
}

/// A column of rows.
pub(in crate::ledger) enum Column<'a> {
    Ints(&'a Vec<i64>),
    Texts(&'a Vec<&'a str>),
    Bytes(&'a Vec<Vec<u8>>),
    Slices(&'a Vec<&'a [u8]>),
}

/// Hands a question to whoever carries it.
macro_rules! on {
    ($session:expr, $wire:ident => $asked:expr, $connection:ident => $simulated:expr) => {
        match &$session.line {
            Line::Wire($wire) => $asked,
            #[cfg(feature = "simulation")]
            Line::Simulated($connection) => $simulated,
        }
    };
}

impl Session {
    /// Connects.
    pub fn connect(server: &Server, io: &Arc<Io>) -> Result<Self, LedgerError> {
        let line = match &io.way {
            Way::Sockets(sockets) => Line::Wire(Box::new(Wire::connect(server, sockets)?)),
            #[cfg(feature = "simulation")]
            Way::Simulated(link) => Line::Simulated(
                link.connect(server.schema())
                    .map_err(|problem| LedgerError::Server { server: server.to_string(), problem })?,
            ),
        };
        Ok(Self { line, io: io.clone() })
    }

    /// The same, given up once an answer takes longer than the ledger waits for one: a connection may be dead and nobody tell so, at the
    /// near end of a tunnel for example.
    #[must_use]
    pub fn impatient(self) -> Self {
        let line = match self.line {
            Line::Wire(wire) => Line::Wire(Box::new(wire.impatient())),
            #[cfg(feature = "simulation")]
            simulated @ Line::Simulated(_) => simulated, // it answers at once
        };
        Self { line, ..self }
    }

    /// A setting of the server's.
    pub fn setting(&self, name: &str) -> Result<String, LedgerError> {
        on!(self, wire => wire.setting(name), connection => Ok(match name {
            "server_version_num" => "150000".into(),
            "server_encoding" => "UTF8".into(),
            "transaction_read_only" if !connection.is_read_only()? => "off".into(),
            _ => "on".into(),
        }))
    }

    /// Begins a transaction that nobody has at the same time who makes or opens a ledger in the database.
    pub fn begin_opening(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.begin_opening(), connection => connection.begin_alone("opening"))
    }

    /// The same of those who divide one.
    pub fn begin_dividing(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.begin_dividing(), connection => connection.begin_alone("dividing"))
    }

    /// Whether there is a table, which may be named with its schema.
    pub fn has_table(&self, table: &str) -> Result<bool, LedgerError> {
        on!(self, wire => wire.has_table(table), connection => match table.split_once('.') {
            Some((schema, table)) => connection.has_table(Some(schema), table),
            None => connection.has_table(None, table),
        })
    }

    /// Whether tables of a ledger are there or may be made.
    pub fn may_have_tables(&self) -> Result<bool, LedgerError> {
        on!(self, wire => wire.may_have_tables(), connection => connection.is_read_only().map(|reads| !reads))
    }

    /// Makes the tables of a ledger.
    pub fn make_tables(&self, tables: &str) -> Result<(), LedgerError> {
        on!(self, wire => wire.script(tables), connection => connection.make_tables(None, &crate::ledger::sqlite::server_tables()))
    }

    /// Makes a schema, in the transaction of whoever divides a ledger.
    pub fn make_schema(&self, schema: &str) -> Result<(), LedgerError> {
        on!(self, wire => wire.script(&format!("CREATE SCHEMA {schema}")), connection => connection.make_schema(schema))
    }

    /// Makes a schema and tables in it, where they are not there.
    pub fn make_shared(&self, schema: &str, tables: &str) -> Result<(), LedgerError> {
        on!(self, wire => wire.script(&format!("CREATE SCHEMA IF NOT EXISTS {schema}; {tables}")), connection => {
            connection.make_schema(schema)?;
            connection.make_tables(Some(schema), tables)
        })
    }

    /// Has the connection take no writes.
    pub fn only_read(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.only_read(), connection => connection.only_read())
    }

    /// Takes the ledger's lock if nobody has it. The server gives it back when the connection ends, however it ends.
    pub fn try_lock(&self) -> Result<bool, LedgerError> {
        on!(self, wire => wire.try_lock(), connection => connection.try_lock())
    }

    /// Whether anybody has the ledger's lock.
    pub fn is_locked(&self) -> Result<bool, LedgerError> {
        on!(self, wire => wire.is_locked(), connection => connection.is_locked())
    }

    /// Ends the connection of whoever has it.
    pub fn end_holder(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.end_holder(), connection => connection.end_holder())
    }

    /// Who this connection is to the server.
    pub fn backend(&self) -> Result<Backend, LedgerError> {
        on!(self, wire => wire.backend(), connection => {
            connection.number().map(|process| Backend { process, started: String::new() })
        })
    }

    /// Ends another one, if it is there.
    pub fn end(&self, backend: &Backend) -> Result<(), LedgerError> {
        on!(self, wire => wire.end(backend), connection => connection.end(backend.process))
    }

    /// Begins a transaction, and locks the one row of `writer` if it is as it was left: says whether it is.
    pub fn begin_turn(&self, turn: Turn) -> Result<bool, LedgerError> {
        on!(self, wire => wire.begin_turn(turn), connection => {
            connection.begin_locked("WHERE epoch = ?1 AND turn = ?2", &[turn.epoch.into(), turn.turn.into()])
        })
    }

    /// Counts the turn and commits.
    pub fn commit_turn(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.commit_turn(), connection => {
            let counted = connection.statement("UPDATE writer SET turn = turn + 1", &[]).map(drop);
            let committed = connection.script("COMMIT");
            counted.and(committed)
        })
    }

    /// Appends rows to tables, in statements that are sent together.
    pub fn append(&self, inserts: &[Insert<'_>]) -> Result<(), LedgerError> {
        on!(self, wire => wire.append(inserts), connection => inserts.iter().try_for_each(|insert| {
            let (names, marks) = (insert.names(), insert.marks());
            let sql = format!("INSERT INTO {} ({names}) VALUES ({marks})", insert.table);
            (0..insert.rows()).try_for_each(|row| connection.statement(&sql, &insert.row(row)).map(drop))
        }))
    }
}

impl Database for Session {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, LedgerError> {
        on!(self, wire => wire.execute(sql, values), connection => connection.statement(sql, values).map(|rows| rows.changed))
    }

    fn execute_each(&self, sql: &str, ids: &[i64], others: &[Value<'_>]) -> Result<u64, LedgerError> {
        on!(self, wire => wire.execute_each(sql, ids, others), connection => ids.iter().try_fold(0, |changed, id| {
            let values: Vec<Value<'_>> = std::iter::once(Value::Int(*id)).chain(others.iter().copied()).collect();
            Ok(changed + connection.statement(sql, &values)?.changed)
        }))
    }

    fn visit(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError> {
        on!(self, wire => wire.visit(sql, values, visit), connection => {
            for row in connection.statement(sql, values)?.iter() {
                if visit(&row)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn visit_and_ask(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError> {
        on!(self, wire => wire.visit_and_ask(sql, values, visit), _connection => self.visit(sql, values, visit))
    }

    fn script(&self, sql: &str) -> Result<(), LedgerError> {
        on!(self, wire => wire.script(sql), connection => connection.script(sql))
    }

    fn has_ended(&self) -> bool {
        on!(self, wire => wire.has_ended(), connection => connection.is_lost())
    }

    fn is_lost(&self) -> bool {
        on!(self, wire => wire.is_lost(), connection => connection.is_lost())
    }

    fn begin_snapshot(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.begin_snapshot(), connection => connection.begin())
    }

    fn begin(&self) -> Result<(), LedgerError> {
        on!(self, wire => wire.begin(), connection => connection.begin_locked("", &[]).map(drop))
    }

    fn number_on(&self, table: &str) -> Result<(), LedgerError> {
        on!(self, wire => wire.number_on(table), _connection => Ok(()))
    }

    fn look_for_damage(&self, audit: &mut Audit) -> Result<(), LedgerError> {
        on!(self, wire => wire.look_for_damage(audit), _connection => Ok(()))
    }

    fn look_for_lost_rows(&self, audit: &mut Audit) -> Result<(), LedgerError> {
        on!(self, wire => wire.look_for_lost_rows(audit), _connection => Ok(()))
    }
}

impl Column<'_> {
    /// What PostgreSQL calls one of its values.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ints(_) => "bigint",
            Self::Texts(_) => "text",
            Self::Bytes(_) | Self::Slices(_) => "bytea",
        }
    }

    /// All of them, as an array.
    pub fn array(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Ints(values) => *values,
            Self::Texts(values) => *values,
            Self::Bytes(values) => *values,
            Self::Slices(values) => *values,
        }
    }
}

#[cfg(feature = "simulation")]
impl Insert<'_> {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    fn marks(&self) -> String {
        (1..=self.columns.len()).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ")
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| match column {
            Column::Ints(values) => values.len(),
            Column::Texts(values) => values.len(),
            Column::Bytes(values) => values.len(),
            Column::Slices(values) => values.len(),
        })
    }

    fn row(&self, at: usize) -> Vec<Value<'_>> {
        self.columns.iter().map(|(_, column)| column.value(at)).collect()
    }
}

#[cfg(feature = "simulation")]
impl Column<'_> {
    /// One of them.
    fn value(&self, at: usize) -> Value<'_> {
        match self {
            Self::Ints(values) => Value::Int(values[at]),
            Self::Texts(values) => Value::Text(values[at]),
            Self::Bytes(values) => Value::Bytes(&values[at]),
            Self::Slices(values) => Value::Bytes(values[at]),
        }
    }
}
