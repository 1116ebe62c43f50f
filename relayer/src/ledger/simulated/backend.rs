//! The server's end of a connection.

use super::values::{Owned, run};
use crate::ledger::sql::Value;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Backend {
    /// From where it comes.
    pub link: usize,
    /// Where its tables are.
    pub schema: String,
    /// Whether it has the lock of its schema's ledger.
    pub locks: bool,
    /// Whether it takes no writes.
    pub reads: bool,
    /// Whether nobody listens at the other end any more.
    pub left: bool,
    /// When the server ends it, if it will.
    pub ends_at: Option<i64>,
    pub transaction: Option<Transaction>,
}

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// What it has written, to be carried out again.
    pub log: Vec<Logged>,
    /// Whether something in it failed.
    pub failed: bool,
    /// The schemas in which it writes, which nobody else does meanwhile.
    pub locked: BTreeSet<String>,
    /// Those of them in whose database what it has written stands at the moment.
    pub open: BTreeSet<String>,
    /// The lock that it has until its end.
    pub alone: Option<&'static str>,
    /// When its commit arrives, if that is late.
    pub commit_at: Option<i64>,
}

/// A statement that was carried out.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub schema: String,
    pub sql: String,
    pub values: Arc<[Owned]>,
}

impl Backend {
    pub fn new(link: usize, schema: String) -> Self {
        Self { link, schema, locks: false, reads: false, left: false, ends_at: None, transaction: None }
    }

    /// When something happens to it by itself.
    pub fn due(&self) -> Option<i64> {
        let commit_at = self.transaction.as_ref().and_then(|transaction| transaction.commit_at);
        [commit_at, self.ends_at].into_iter().flatten().min()
    }

    /// Whether it writes to a schema.
    pub fn holds(&self, schema: &str) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.locked.contains(schema))
    }
}

impl Logged {
    /// Carries it out again.
    pub fn repeat(&self, db: &Connection) -> rusqlite::Result<()> {
        if self.values.is_empty() {
            return db.execute_batch(&self.sql);
        }
        let values: Vec<Value<'_>> = self.values.iter().map(Owned::value).collect();
        run(db, &self.sql, &values).map(drop)
    }
}
