//! Allow-lists as they are stored: by root, before anything is charged to a key that names one, so that the proofs of a
//! settlement can be made after whatever happened in between.

use super::{Ledger, LedgerError};
use rusqlite::{Connection, Transaction};
use std::collections::HashSet;
use steam_protocol::allow_list::AllowList;
use steam_protocol::{Address, Hash};

/// What came of a list that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is durable. To make room, lists of these roots were dropped.
    Yes {
        /// Roots that no live key names any more and that nothing was charged by.
        dropped: Vec<Hash>,
    },
    /// There are too many lists by which nothing was charged yet.
    Full,
}

impl Ledger {
    /// All lists.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn allow_lists(&self) -> Result<Vec<AllowList>, LedgerError> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT root, providers FROM allow_list")?;
            let mut rows = statement.query([])?;
            let mut lists = Vec::new();
            while let Some(row) = rows.next()? {
                lists.push(parse(&row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default())?);
            }
            Ok(lists)
        })
        .await
    }

    /// Keeps a list. At most `most` are kept by which nothing was charged; to stay below, those go whose root is not in
    /// `named`, the roots of live keys.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn keep_allow_list(
        &self,
        list: AllowList,
        named: HashSet<Hash>,
        most: usize,
    ) -> Result<Kept, LedgerError> {
        self.write(move |tx| keep(tx, &list, &named, most)).await
    }
}

/// Lists by which nothing was charged yet.
const IDLE: &str =
    "SELECT root FROM allow_list WHERE NOT EXISTS (SELECT 1 FROM session_key WHERE allow_root = allow_list.root)";

fn keep(tx: &Transaction<'_>, list: &AllowList, named: &HashSet<Hash>, most: usize) -> Result<Kept, LedgerError> {
    let root = list.root();
    let idle: Vec<Hash> = tx.prepare_cached(IDLE)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
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
pub(super) fn allow_list(db: &Connection, root: &Hash) -> Result<AllowList, LedgerError> {
    let mut statement = db.prepare_cached("SELECT providers FROM allow_list WHERE root = ?1")?;
    let providers: Vec<u8> = statement.query_row([root], |row| row.get(0))?;
    parse(root, &providers)
}

fn parse(root: &Hash, providers: &[u8]) -> Result<AllowList, LedgerError> {
    let (providers, rest): (&[Address], _) = providers.as_chunks();
    let list = AllowList::new(providers.to_vec()).ok().filter(|list| rest.is_empty() && list.root() == *root);
    list.ok_or(LedgerError::Malformed("allow-list"))
}
