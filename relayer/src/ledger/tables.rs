//! The settler's address lookup tables: which there are, so that none is forgotten with its rent. What is in them is
//! read from the chain.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;

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

/// The command of [`Ledger::put_lookup_table`].
pub(crate) struct PutLookupTable {
    pub row: TableRow,
}

/// The command of [`Ledger::forget_lookup_table`].
pub(crate) struct ForgetLookupTable {
    pub address: Pubkey,
}

impl Ledger {
    /// Every table that may be on chain, the newest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn lookup_tables(&self) -> Result<Vec<TableRow>, LedgerError> {
        self.read(|store| store.lookup_tables()).await
    }

    /// Notes a table, before the transaction about it is sent.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn put_lookup_table(&self, row: TableRow) -> Result<(), LedgerError> {
        self.write(PutLookupTable { row }).await
    }

    /// Forgets a table that is on chain no more, or never was.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn forget_lookup_table(&self, address: Pubkey) -> Result<(), LedgerError> {
        self.write(ForgetLookupTable { address }).await
    }
}
