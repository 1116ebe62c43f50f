//! Allow-lists by root.

use super::Reader;
use crate::ledger::{Kept, LedgerError};
use rusqlite::{Connection, Transaction};
use std::collections::HashSet;
use steam_protocol::allow_list::AllowList;
use steam_protocol::{Address, Hash};

impl Reader {
    /// All lists.
    pub(in crate::ledger) fn allow_lists(&self) -> Result<Vec<AllowList>, LedgerError> {
        let mut statement = self.0.prepare("SELECT root, providers FROM allow_list")?;
        let mut rows = statement.query([])?;
        let mut lists = Vec::new();
        while let Some(row) = rows.next()? {
            lists.push(parse(&row.get("root")?, &row.get::<_, Vec<u8>>("providers")?)?);
        }
        Ok(lists)
    }
}

/// Lists by which nothing was charged yet.
const IDLE: &str =
    "SELECT root FROM allow_list WHERE NOT EXISTS (SELECT 1 FROM session_key WHERE allow_root = allow_list.root)";

/// Keeps a list and drops those that nobody names, if there would be more than `most` otherwise.
pub(super) fn keep(
    tx: &Transaction<'_>,
    list: &AllowList,
    named: &HashSet<Hash>,
    most: usize,
) -> Result<Kept, LedgerError> {
    let root = list.root();
    let idle: Vec<Hash> = tx.prepare_cached(IDLE)?.query_map([], |row| row.get("root"))?.collect::<Result<_, _>>()?;
    let mut dropped = Vec::new();
    if idle.len() >= most && !idle.contains(&root) {
        dropped = idle.iter().filter(|root| !named.contains(*root)).copied().collect();
        if idle.len() - dropped.len() >= most {
            return Ok(Kept::Full);
        }
        let mut drop = tx.prepare_cached("DELETE FROM allow_list WHERE root = ?1")?;
        for root in &dropped {
            drop.execute([root])?;
        }
    }
    tx.prepare_cached("INSERT INTO allow_list (root, providers) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((root, list.providers().as_flattened()))?;
    Ok(Kept::Yes { dropped })
}

/// The list of `root`, which a charge to one of its keys has kept from being dropped.
pub(super) fn find(db: &Connection, root: &Hash) -> Result<AllowList, LedgerError> {
    let mut statement = db.prepare_cached("SELECT providers FROM allow_list WHERE root = ?1")?;
    let providers: Vec<u8> = statement.query_row([root], |row| row.get("providers"))?;
    parse(root, &providers)
}

fn parse(root: &Hash, providers: &[u8]) -> Result<AllowList, LedgerError> {
    let (providers, rest): (&[Address], _) = providers.as_chunks();
    let list = AllowList::new(providers.to_vec()).ok().filter(|list| rest.is_empty() && list.root() == *root);
    list.ok_or(LedgerError::Malformed("allow-list"))
}
