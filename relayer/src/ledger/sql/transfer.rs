//! Every row of a ledger, from one database to another.

use super::{Database, Row, Value};
use crate::ledger::LedgerError;

/// Rows written by one statement.
const AT_ONCE: usize = 100;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Kind {
    Int,
    Bytes,
    Text,
}

/// A table of the ledger's.
#[derive(Debug)]
pub(in crate::ledger) struct Table {
    pub name: &'static str,
    /// By what its rows are told apart.
    pub key: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    /// Whether the database numbers its rows.
    pub numbered: bool,
}

const fn table(name: &'static str, key: &'static str, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { name, key, columns, numbered: false }
}

const fn numbered(name: &'static str, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { name, key: "id", columns, numbered: true }
}

use Kind::{Bytes, Int, Text};

/// The tables, each behind those it refers to. Whose ledger it is and whether it is a copy is not among them.
pub(in crate::ledger) static TABLES: [Table; 17] = [
    numbered("vault", &[("id", Int), ("vault", Bytes), ("generation", Int), ("next_number", Int), ("pruned_seq", Int)]),
    table("allow_list", "root", &[("root", Bytes), ("providers", Bytes)]),
    numbered(
        "session_key",
        &[
            ("id", Int),
            ("vault", Int),
            ("epoch", Int),
            ("slot", Int),
            ("public_key", Bytes),
            ("cumulative", Bytes),
            ("authorized", Int),
            ("request_hash", Bytes),
            ("signature", Bytes),
            ("allow_root", Bytes),
        ],
    ),
    numbered(
        "incident",
        &[
            ("id", Int),
            ("vault", Bytes),
            ("generation", Int),
            ("epoch", Int),
            ("provider", Bytes),
            ("offer", Bytes),
            ("touches", Text),
            ("reason", Text),
            ("opened_ms", Int),
            ("resolution", Text),
            ("resolved_by", Text),
            ("note", Text),
            ("resolved_ms", Int),
            ("decision", Int),
        ],
    ),
    table(
        "record",
        "id",
        &[("id", Int), ("generation_id", Text), ("receipt", Bytes), ("voucher", Bytes), ("decision", Bytes)],
    ),
    table(
        "charge",
        "id",
        &[
            ("id", Int),
            ("vault", Int),
            ("key", Int),
            ("number", Int),
            ("seq", Int),
            ("alone", Int),
            ("quarantined", Text),
            ("incident", Int),
        ],
    ),
    table("charged_minute", "minute", &[("minute", Int), ("charge", Int)]),
    table("idempotent_request", "charge", &[("charge", Int), ("key", Int), ("request_hash", Bytes)]),
    table(
        "settlement_group",
        "vault, generation, seq",
        &[
            ("vault", Bytes),
            ("generation", Int),
            ("seq", Int),
            ("receipts", Int),
            ("fee_bps", Int),
            ("previous", Bytes),
            ("hash", Bytes),
            ("content", Bytes),
            ("memberships", Bytes),
            ("state", Text),
            ("batch", Int),
            ("not_before_height", Int),
            ("waiting", Text),
            ("adopted", Int),
        ],
    ),
    numbered(
        "batch",
        &[
            ("id", Int),
            ("root", Bytes),
            ("leaves", Bytes),
            ("state", Text),
            ("attempts", Int),
            ("signature", Text),
            ("done_ms", Int),
            ("lamports", Int),
        ],
    ),
    table(
        "batch_group",
        "batch, vault, generation",
        &[("batch", Int), ("vault", Bytes), ("generation", Int), ("seq", Int), ("first_leaf", Int)],
    ),
    table(
        "attempt",
        "signature",
        &[("signature", Text), ("batch", Int), ("bytes", Bytes), ("last_valid_height", Int), ("dead", Int)],
    ),
    table("agreement", "message", &[("message", Bytes), ("vault", Bytes), ("amount", Int), ("valid_until_slot", Int)]),
    table("lookup_table", "address", &[("address", Bytes), ("slot", Int), ("closing", Int), ("busy_until", Int)]),
    table("board_slot", "span, start, offer", &[("offer", Bytes), ("span", Int), ("start", Int), ("data", Bytes)]),
    table("board_dossier", "offer", &[("offer", Bytes), ("data", Bytes)]),
    table(
        "sponsored",
        "signature",
        &[
            ("signature", Bytes),
            ("owner", Bytes),
            ("lamports", Int),
            ("signed_ms", Int),
            ("last_valid_height", Int),
            ("resolved", Int),
        ],
    ),
];

/// What a column of a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Held {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
}

impl Held {
    fn read(row: &dyn Row, name: &'static str, kind: Kind) -> Result<Self, LedgerError> {
        let held = match kind {
            Kind::Int => row.opt(name)?.map(Self::Int),
            Kind::Bytes => row.opt(name)?.map(Self::Bytes),
            Kind::Text => row.opt(name)?.map(Self::Text),
        };
        Ok(held.unwrap_or(Self::Null))
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(n) => Value::Int(*n),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl Table {
    fn columns(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Shows `visit` every row, in the order of their keys.
    pub fn each(
        &self,
        db: &dyn Database,
        mut visit: impl FnMut(Vec<Held>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let all = format!("SELECT {} FROM {} ORDER BY {}", self.columns(), self.name, self.key);
        db.each(&all, &[], |row| {
            visit(self.columns.iter().map(|(name, kind)| Held::read(row, name, *kind)).collect::<Result<_, _>>()?)
        })
    }

    /// Writes rows.
    fn write(&self, db: &dyn Database, rows: &[Vec<Held>]) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        let width = self.columns.len();
        let marks = |row: usize| (1..=width).map(|n| format!("?{}", row * width + n)).collect::<Vec<_>>().join(", ");
        let marks = (0..rows.len()).map(|row| format!("({})", marks(row))).collect::<Vec<_>>().join(", ");
        let values: Vec<Value<'_>> = rows.iter().flatten().map(Held::value).collect();
        db.execute(&format!("INSERT INTO {} ({}) VALUES {marks}", self.name, self.columns()), &values)?;
        Ok(())
    }
}

/// Copies every row. Returns how many there were.
pub(in crate::ledger) fn transfer(from: &dyn Database, to: &dyn Database) -> Result<u64, LedgerError> {
    let mut count = 0;
    for table in &TABLES {
        let mut waiting = Vec::with_capacity(AT_ONCE);
        table.each(from, |row| {
            count += 1;
            waiting.push(row);
            if waiting.len() == AT_ONCE {
                table.write(to, &std::mem::take(&mut waiting))?;
            }
            Ok(())
        })?;
        table.write(to, &waiting)?;
        if table.numbered {
            to.number_on(table.name)?;
        }
    }
    Ok(count)
}
