//! The settler's address lookup tables: which there are, so that none is forgotten with its rent. What is in them is
//! read from the chain.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use steam_protocol::Address;

/// A lookup table that was made or is about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// Its address, which follows from the settler and `slot`.
    pub address: Pubkey,
    /// The slot it was made for.
    pub slot: u64,
    /// Whether it is being closed.
    pub closing: bool,
    /// The last block height at which the last transaction about it can land.
    pub busy_until: u64,
}

impl Ledger {
    /// Every table that may be on chain, the newest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn lookup_tables(&self) -> Result<Vec<TableRow>, LedgerError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT address, slot, closing, busy_until FROM lookup_table ORDER BY slot DESC")?;
            let rows = statement.query_map([], |row| {
                Ok(TableRow {
                    address: Pubkey::from(row.get::<_, Address>(0)?),
                    slot: row.get::<_, i64>(1)? as u64,
                    closing: row.get(2)?,
                    busy_until: row.get::<_, i64>(3)? as u64,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Notes a table, before the transaction about it is sent.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn put_lookup_table(&self, row: TableRow) -> Result<(), LedgerError> {
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO lookup_table VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET closing = excluded.closing, busy_until = excluded.busy_until",
                (row.address.to_bytes(), row.slot as i64, row.closing, row.busy_until as i64),
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets a table that is on chain no more, or never was.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn forget_lookup_table(&self, address: Pubkey) -> Result<(), LedgerError> {
        self.write(move |tx| {
            tx.execute("DELETE FROM lookup_table WHERE address = ?1", [address.to_bytes()])?;
            Ok(())
        })
        .await
    }
}
