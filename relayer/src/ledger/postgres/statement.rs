//! Statements, parameters and rows as PostgreSQL has them.

use crate::ledger::LedgerError;
use crate::ledger::sql::{Row, Value};
use bytes::BytesMut;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A statement of the ledger's in PostgreSQL's own writing: parameters are `$1` where SQLite has `?1`, and which index is used is
/// the planner's business. No text in a statement has a question mark.
pub(super) fn translated(sql: &str) -> String {
    let mut words = sql.replace('?', "$");
    while let Some(at) = words.find("INDEXED BY ") {
        let rest = &words[at + "INDEXED BY ".len()..];
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        words.replace_range(at..at + "INDEXED BY ".len() + name, "");
    }
    words
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(n) if *ty == Type::INT4 => i32::try_from(n)?.to_sql_checked(ty, out),
            Self::Int(n) => n.to_sql_checked(ty, out),
            Self::Bytes(bytes) => bytes.to_sql_checked(ty, out),
            Self::Text(text) => text.to_sql_checked(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::BYTEA, Type::TEXT].contains(ty)
    }

    to_sql_checked!();
}

/// A number, or what is true or false.
struct Int(i64);

impl<'a> FromSql<'a> for Int {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::BOOL => bool::from_sql(ty, raw)?.into(),
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::BOOL, Type::INT4, Type::INT8].contains(ty)
    }
}

impl Row for tokio_postgres::Row {
    fn int(&self, name: &'static str) -> Result<Option<i64>, LedgerError> {
        let value: Option<Int> = self.try_get(name)?;
        Ok(value.map(|Int(n)| n))
    }

    fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, LedgerError> {
        Ok(self.try_get(name)?)
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, LedgerError> {
        Ok(self.try_get(name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn marks_and_hints_are_rewritten_and_nothing_else() {
        for (ours, theirs) in [
            ("SELECT a FROM b WHERE c = ?1 AND d = ?12", "SELECT a FROM b WHERE c = $1 AND d = $12"),
            ("SELECT a FROM b INDEXED BY b_open WHERE c", "SELECT a FROM b  WHERE c"),
            ("UPDATE b INDEXED BY b_open\n SET c = ?1", "UPDATE b \n SET c = $1"),
            (
                "(SELECT 1 FROM b INDEXED BY x) + (SELECT 1 FROM b INDEXED BY y)",
                "(SELECT 1 FROM b ) + (SELECT 1 FROM b )",
            ),
            ("SELECT a FROM b INDEXED BY b_open", "SELECT a FROM b "),
        ] {
            assert_eq!(translated(ours), theirs);
        }
    }
}
