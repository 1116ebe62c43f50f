//! The settler's address lookup tables.

use super::Reader;
use super::row::Columns;
use crate::chain::Pubkey;
use crate::ledger::{LedgerError, TableRow};
use rusqlite::Transaction;

impl Reader {
    /// Every table that may be on chain, the newest first.
    pub(in crate::ledger) fn lookup_tables(&self) -> Result<Vec<TableRow>, LedgerError> {
        let mut statement =
            self.0.prepare_cached("SELECT address, slot, closing, busy_until FROM lookup_table ORDER BY slot DESC")?;
        let rows = statement.query_map([], |row| {
            Ok(TableRow {
                address: row.address("address")?,
                slot: row.unsigned("slot")?,
                closing: row.get("closing")?,
                busy_until: row.unsigned("busy_until")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

pub(super) fn put(tx: &Transaction<'_>, row: &TableRow) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO lookup_table (address, slot, closing, busy_until) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET closing = excluded.closing, busy_until = excluded.busy_until",
        (row.address.to_bytes(), row.slot as i64, row.closing, row.busy_until as i64),
    )?;
    Ok(())
}

pub(super) fn forget(tx: &Transaction<'_>, address: &Pubkey) -> Result<(), LedgerError> {
    tx.execute("DELETE FROM lookup_table WHERE address = ?1", [address.to_bytes()])?;
    Ok(())
}
