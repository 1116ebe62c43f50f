//! The providers that session keys may pay. A key names the root of its list on chain; the list itself comes from whoever
//! authorised the key, and is durable here before the key is served, so that what is charged can be proven to settle.

use crate::ledger::{Kept, Ledger, LedgerError};
use crate::vaults::Vaults;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;

/// Most lists that are kept before anything was charged by them. Each has at most 2 KiB, and costs its owner a key.
const MAX_IDLE: usize = 10_000;

/// Every list known here.
pub struct AllowLists {
    ledger: Ledger,
    vaults: Arc<Vaults>,
    by_root: RwLock<HashMap<Hash, Arc<AllowList>>>,
}

/// Why a list was not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No live key names it.
    #[error(
        "no live key in a vault of this relayer names this list: its root is {}; authorise a key with that root, and send the \
         list again once the chain has finalized it",
        hex::encode(.0)
    )]
    NotNamed(Hash),
    /// Live keys name too many lists by which nothing was charged.
    #[error("the relayer keeps no more lists at the moment; try again later")]
    Full,
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl AllowLists {
    /// What the ledger has.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn load(ledger: Ledger, vaults: Arc<Vaults>) -> Result<Self, LedgerError> {
        let lists = ledger.allow_lists().await?;
        let by_root = lists.into_iter().map(|list| (list.root(), Arc::new(list))).collect();
        Ok(Self { ledger, vaults, by_root: RwLock::new(by_root) })
    }

    /// The list of a root.
    pub fn get(&self, root: &Hash) -> Option<Arc<AllowList>> {
        self.by_root.read().unwrap_or_else(PoisonError::into_inner).get(root).cloned()
    }

    /// Keeps a list that a live key names, and returns its root once it is durable.
    ///
    /// # Errors
    /// [`KeepError`]
    pub async fn keep(&self, list: AllowList) -> Result<Hash, KeepError> {
        self.keep_within(list, MAX_IDLE).await
    }

    async fn keep_within(&self, list: AllowList, most: usize) -> Result<Hash, KeepError> {
        let root = list.root();
        let named = self.vaults.allow_roots();
        if !named.contains(&root) {
            return Err(KeepError::NotNamed(root));
        }
        if self.get(&root).is_some() {
            return Ok(root);
        }
        let Kept::Yes { dropped } = self.ledger.keep_allow_list(list.clone(), named, most).await? else {
            return Err(KeepError::Full);
        };
        let mut by_root = self.by_root.write().unwrap_or_else(PoisonError::into_inner);
        by_root.insert(root, Arc::new(list));
        dropped.iter().for_each(|root| drop(by_root.remove(root)));
        Ok(root)
    }
}

impl std::fmt::Debug for AllowLists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AllowLists")
    }
}

#[cfg(test)]
mod tests;
