//! SQLite's connection as what carries statements out.

use crate::ledger::LedgerError;
use crate::ledger::audit::Audit;
use crate::ledger::sql::{Database, Row, Value, Visit};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

impl Database for Connection {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, LedgerError> {
        Ok(self.prepare_cached(sql)?.execute(params_from_iter(values))? as u64)
    }

    fn execute_each(&self, sql: &str, ids: &[i64], others: &[Value<'_>]) -> Result<u64, LedgerError> {
        let mut statement = self.prepare_cached(sql)?;
        let mut changed = 0;
        for id in ids {
            changed += statement.execute(params_from_iter(std::iter::once(&Value::Int(*id)).chain(others)))? as u64;
        }
        Ok(changed)
    }

    fn visit(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError> {
        let mut statement = self.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if visit(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn visit_and_ask(&self, sql: &str, values: &[Value<'_>], visit: Visit<'_>) -> Result<(), LedgerError> {
        self.visit(sql, values, visit)
    }

    fn script(&self, sql: &str) -> Result<(), LedgerError> {
        Ok(self.execute_batch(sql)?)
    }

    fn has_ended(&self) -> bool {
        self.is_autocommit()
    }

    fn is_lost(&self) -> bool {
        false
    }

    fn begin_snapshot(&self) -> Result<(), LedgerError> {
        self.script("BEGIN")
    }

    fn begin(&self) -> Result<(), LedgerError> {
        self.script("BEGIN IMMEDIATE")
    }

    /// SQLite looks at the rows themselves.
    fn number_on(&self, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    fn look_for_damage(&self, audit: &mut Audit) -> Result<(), LedgerError> {
        let mut check = self.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let told: String = row.get("integrity_check")?;
            if told != "ok" {
                audit.find("integrity", "file", told);
            }
        }
        Ok(())
    }

    fn look_for_lost_rows(&self, audit: &mut Audit) -> Result<(), LedgerError> {
        let mut check = self.prepare("PRAGMA foreign_key_check")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let (table, parent): (String, String) = (row.get("table")?, row.get("parent")?);
            let problem = format!("a row of {table} refers to a row of {parent} that is not there");
            audit.find("foreign key", &table, problem);
        }
        Ok(())
    }

    #[cfg(test)]
    fn sqlite(&self) -> Option<&Connection> {
        Some(self)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(n),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl Row for rusqlite::Row<'_> {
    fn int(&self, name: &'static str) -> Result<Option<i64>, LedgerError> {
        match self.get_ref(name)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(n) => Ok(Some(n)),
            ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => Err(LedgerError::Malformed(name)),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, LedgerError> {
        match self.get_ref(name)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(bytes)),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => Err(LedgerError::Malformed(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, LedgerError> {
        match self.get_ref(name)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(text) => str::from_utf8(text).map(Some).map_err(|_| LedgerError::Malformed(name)),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => Err(LedgerError::Malformed(name)),
        }
    }
}
