//! What is settled is kept as long as configured, and goes then: receipts, decisions, groups, batches and transactions. A
//! vault's last group stays, since the next one is chained to it.

use super::{Ledger, LedgerError};

/// The command of [`Ledger::prune`].
pub(crate) struct Prune {
    pub before_ms: i64,
}

impl Ledger {
    /// Drops some of what was settled or decided before `before_ms`, Unix milliseconds; says whether there is more.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn prune(&self, before_ms: i64) -> Result<bool, LedgerError> {
        self.write(Prune { before_ms }).await
    }
}
