//! The settler's address lookup tables.

use super::{Database, Reader, values};
use crate::chain::Pubkey;
use crate::ledger::{LedgerError, TableRow};

impl Reader {
    /// Every table that may be on chain, the newest first.
    pub(in crate::ledger) fn lookup_tables(&self) -> Result<Vec<TableRow>, LedgerError> {
        let all = "SELECT address, slot, closing, busy_until FROM lookup_table ORDER BY slot DESC";
        self.db().rows(all, &[], |row| {
            Ok(TableRow {
                address: row.address("address")?,
                slot: row.unsigned("slot")?,
                closing: row.get("closing")?,
                busy_until: row.unsigned("busy_until")?,
            })
        })
    }
}

pub(super) fn put(db: &dyn Database, row: &TableRow) -> Result<(), LedgerError> {
    db.execute(
        "INSERT INTO lookup_table (address, slot, closing, busy_until) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (address) DO UPDATE SET closing = excluded.closing, busy_until = excluded.busy_until",
        values![row.address.as_array(), row.slot as i64, row.closing, row.busy_until as i64],
    )?;
    Ok(())
}

pub(super) fn forget(db: &dyn Database, address: &Pubkey) -> Result<(), LedgerError> {
    db.execute("DELETE FROM lookup_table WHERE address = ?1", values![address.as_array()])?;
    Ok(())
}
