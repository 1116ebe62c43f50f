//! What carries commands out: one store on SQLite, and one on PostgreSQL.

use super::command::Command;
use super::health::Health;

/// A ledger that is open for writing.
pub(super) trait Store: Send {
    /// Carries `batch` out in one transaction, and answers each command after the commit.
    fn commit(&mut self, batch: Vec<Command>, health: &Health);

    /// Does what is better done between two commits.
    fn tidy(&mut self);

    /// Looks, about once a second, whether commits would go through, and notes it.
    fn look(&mut self, health: &Health);
}
