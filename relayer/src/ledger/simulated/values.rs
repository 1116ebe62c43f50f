//! Values and rows, as a simulated server keeps and answers them.

use crate::ledger::LedgerError;
use crate::ledger::sql::{Row, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use std::sync::Arc;

/// A value of a row, or of a statement that is kept.
#[derive(Clone, Debug)]
pub(super) enum Owned {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
    /// Nothing that a ledger has.
    Other,
}

/// What a statement has answered.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Rows {
    /// Rows that it has changed or found.
    pub changed: u64,
    pub(super) names: Arc<[String]>,
    pub(super) rows: Vec<Vec<Owned>>,
}

/// One of its rows.
pub(in crate::ledger) struct Found<'a> {
    names: &'a [String],
    values: &'a [Owned],
}

/// Carries a statement out.
pub(super) fn run(db: &Connection, sql: &str, values: &[Value<'_>]) -> rusqlite::Result<Rows> {
    let mut statement = db.prepare_cached(sql)?;
    if statement.column_count() == 0 {
        let changed = statement.execute(params_from_iter(values))?;
        return Ok(Rows { changed: changed as u64, ..Rows::default() });
    }
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let columns = names.len();
    let mut found = statement.query(params_from_iter(values))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((0..columns).map(|at| row.get_ref(at).map(Owned::from)).collect::<rusqlite::Result<_>>()?);
    }
    Ok(Rows { changed: rows.len() as u64, names: names.into(), rows })
}

impl Rows {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.rows.iter().map(|values| Found { names: &self.names, values })
    }
}

impl Found<'_> {
    fn column(&self, name: &'static str) -> Result<&Owned, LedgerError> {
        let at = self.names.iter().position(|column| column == name);
        at.and_then(|at| self.values.get(at)).ok_or(LedgerError::Malformed(name))
    }
}

impl Row for Found<'_> {
    fn int(&self, name: &'static str) -> Result<Option<i64>, LedgerError> {
        match self.column(name)? {
            Owned::Null => Ok(None),
            Owned::Int(n) => Ok(Some(*n)),
            Owned::Bytes(_) | Owned::Text(_) | Owned::Other => Err(LedgerError::Malformed(name)),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, LedgerError> {
        match self.column(name)? {
            Owned::Null => Ok(None),
            Owned::Bytes(bytes) => Ok(Some(bytes)),
            Owned::Int(_) | Owned::Text(_) | Owned::Other => Err(LedgerError::Malformed(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, LedgerError> {
        match self.column(name)? {
            Owned::Null => Ok(None),
            Owned::Text(text) => Ok(Some(text)),
            Owned::Int(_) | Owned::Bytes(_) | Owned::Other => Err(LedgerError::Malformed(name)),
        }
    }
}

impl Owned {
    pub fn of(value: &Value<'_>) -> Self {
        match *value {
            Value::Null => Self::Null,
            Value::Int(n) => Self::Int(n),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Text(text) => Self::Text(text.into()),
        }
    }

    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null | Self::Other => Value::Null,
            Self::Int(n) => Value::Int(*n),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl From<ValueRef<'_>> for Owned {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(n) => Self::Int(n),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.into()),
            ValueRef::Text(text) => str::from_utf8(text).map_or(Self::Other, |text| Self::Text(text.into())),
            ValueRef::Real(_) => Self::Other,
        }
    }
}
