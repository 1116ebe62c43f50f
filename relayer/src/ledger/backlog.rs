//! What has waited for its settlement, and what waits in vain.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;

/// What there is to look after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// When the oldest request of each group that is sealed and not settled began, in Unix milliseconds.
    pub sealed: Vec<(Pubkey, i64)>,
    /// Groups that the program skipped and that wait for a later block.
    pub skipped_groups: u64,
    /// Times charges were quarantined that wait for a person's decision.
    pub quarantined: u64,
    /// Lamports that settlements cost since the time asked for.
    pub lamports: u64,
}

impl Ledger {
    /// What waits, at the finalized block `height`, and what was spent since `since_ms`, Unix milliseconds.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn backlog(&self, height: u64, since_ms: i64) -> Result<Backlog, LedgerError> {
        self.read(move |store| store.backlog(height, since_ms)).await
    }
}
