//! Allow-lists by root.

use super::{Database, Reader, values};
use crate::ledger::{Kept, LedgerError};
use std::collections::HashSet;
use steam_protocol::allow_list::AllowList;
use steam_protocol::{Address, Hash};

impl Reader {
    /// All lists.
    pub(in crate::ledger) fn allow_lists(&self) -> Result<Vec<AllowList>, LedgerError> {
        self.db()
            .rows("SELECT root, providers FROM allow_list", &[], |row| parse(&row.get("root")?, row.blob("providers")?))
    }
}

/// Lists by which nothing was charged yet.
const IDLE: &str =
    "SELECT root FROM allow_list WHERE NOT EXISTS (SELECT 1 FROM session_key WHERE allow_root = allow_list.root)";

/// Keeps a list and drops those that nobody names, if there would be more than `most` otherwise.
pub(super) fn keep(
    db: &dyn Database,
    list: &AllowList,
    named: &HashSet<Hash>,
    most: usize,
) -> Result<Kept, LedgerError> {
    let root = list.root();
    let idle: Vec<Hash> = db.rows(IDLE, &[], |row| row.get("root"))?;
    let mut dropped = Vec::new();
    if idle.len() >= most && !idle.contains(&root) {
        dropped = idle.iter().filter(|root| !named.contains(*root)).copied().collect();
        if idle.len() - dropped.len() >= most {
            return Ok(Kept::Full);
        }
        for root in &dropped {
            db.execute("DELETE FROM allow_list WHERE root = ?1", values![root])?;
        }
    }
    db.execute(
        "INSERT INTO allow_list (root, providers) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        values![&root, list.providers().as_flattened()],
    )?;
    Ok(Kept::Yes { dropped })
}

/// The list of `root`, which a charge to one of its keys has kept from being dropped.
pub(super) fn find(db: &dyn Database, root: &Hash) -> Result<AllowList, LedgerError> {
    let list = "SELECT providers FROM allow_list WHERE root = ?1";
    db.one(list, values![root], |row| parse(root, row.blob("providers")?))
}

fn parse(root: &Hash, providers: &[u8]) -> Result<AllowList, LedgerError> {
    let (providers, rest): (&[Address], _) = providers.as_chunks();
    let list = AllowList::new(providers.to_vec()).ok().filter(|list| rest.is_empty() && list.root() == *root);
    list.ok_or(LedgerError::Malformed("allow-list"))
}
