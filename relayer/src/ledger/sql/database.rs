//! What carries statements out: a connection to SQLite or to PostgreSQL.

use super::Row;
use crate::ledger::LedgerError;
use crate::ledger::audit::Audit;
use std::ops::ControlFlow;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Value<'a> {
    Null,
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
}

/// The parameters of a statement, in the order of their marks.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::ledger::sql::Value::from($value)),*] };
}
pub(in crate::ledger) use values;

/// Looks at a row, and says whether it wants more.
pub(in crate::ledger) type Visit<'a> = &'a mut dyn FnMut(&dyn Row) -> Result<ControlFlow<()>, LedgerError>;

/// A connection. Each statement is prepared once and remembered.
pub(in crate::ledger) trait Database: Send {
    /// Carries a statement out; returns how many rows it changed.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, LedgerError>;

    /// Carries a statement out once for each of `ids`, its first parameter, with the same others; returns how many rows that changed.
    fn execute_each(&self, sql: &str, ids: &[i64], others: &[Value<'_>]) -> Result<u64, LedgerError>;

    /// Shows `visit` rows as they come, which asks nothing else meanwhile.
    fn visit(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError>;

    /// Shows `visit` rows, which may ask for others meanwhile.
    fn visit_and_ask(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError>;

    /// Runs statements that have no parameters.
    fn script(&self, sql: &str) -> Result<(), LedgerError>;

    /// Whether the transaction that was begun is one no more, by the disk's or the server's doing.
    fn has_ended(&self) -> bool;

    /// Whether the connection is gone.
    fn is_lost(&self) -> bool;

    /// Begins to read everything as of one moment.
    fn begin_snapshot(&self) -> Result<(), LedgerError>;

    /// Begins a transaction in which nobody else writes.
    fn begin(&self) -> Result<(), LedgerError>;

    /// Numbers further rows of a table on from those that were given their numbers.
    fn number_on(&self, table: &str) -> Result<(), LedgerError>;

    /// What the database itself can tell of damage.
    fn look_for_damage(&self, audit: &mut Audit) -> Result<(), LedgerError>;

    /// Rows that refer to others which are not there.
    fn look_for_lost_rows(&self, audit: &mut Audit) -> Result<(), LedgerError>;

    /// SQLite's own connection, for tests of what that and the disk may do.
    #[cfg(test)]
    fn sqlite(&self) -> Option<&rusqlite::Connection> {
        None
    }
}

impl dyn Database + '_ {
    /// Shows `visit` every row; it asks nothing else meanwhile.
    pub fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut visit: impl FnMut(&dyn Row) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.visit(sql, values, &mut |row| visit(row).map(ControlFlow::Continue))
    }

    /// What `read` makes of every row.
    pub fn rows<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, LedgerError>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut rows = Vec::new();
        self.each(sql, values, |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// What `read` makes of the first row, if there is one.
    pub fn row<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        let mut found = None;
        self.visit(sql, values, &mut |row| {
            found = Some(read(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// What `read` makes of the row that there always is. The statement is carried out to its end, where what was written is
    /// compared with what it refers to.
    pub fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut found = None;
        self.each(sql, values, |row| {
            found = Some(read(row)?);
            Ok(())
        })?;
        found.ok_or(LedgerError::Malformed("row"))
    }

    /// Runs `work` in a transaction, which is kept if `work` went well and `keep` says so.
    pub fn transaction<T, E: From<LedgerError>>(
        &self,
        keep: bool,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin()?;
        let result = work();
        let ended = self.script(if keep && result.is_ok() { "COMMIT" } else { "ROLLBACK" });
        let result = result?;
        ended?;
        Ok(result)
    }

    /// Runs `work` on everything as of one moment.
    pub fn snapshot<T>(&self, work: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.begin_snapshot()?;
        let result = work();
        let ended = self.script("ROLLBACK"); // nothing was written
        let result = result?;
        ended.map(|()| result)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u16> for Value<'_> {
    fn from(value: u16) -> Self {
        Self::Int(value.into())
    }
}

impl From<u8> for Value<'_> {
    fn from(value: u8) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a, T> From<Option<T>> for Value<'a>
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}
