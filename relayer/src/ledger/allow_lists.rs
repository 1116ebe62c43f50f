//! Allow-lists as they are stored: by root, before anything is charged to a key that names one, so that the proofs of a
//! settlement can be made after whatever happened in between.

use super::{Ledger, LedgerError};
use std::collections::HashSet;
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;

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

/// The command of [`Ledger::keep_allow_list`].
pub(crate) struct KeepAllowList {
    pub list: AllowList,
    /// Roots that live keys name.
    pub named: HashSet<Hash>,
    /// Lists that are kept though nothing was charged by them.
    pub most: usize,
}

impl Ledger {
    /// All lists.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn allow_lists(&self) -> Result<Vec<AllowList>, LedgerError> {
        self.read(|store| store.allow_lists()).await
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
        self.write(KeepAllowList { list, named, most }).await
    }
}
