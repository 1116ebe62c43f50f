//! The partitions of the ledger that a process holds: one, the whole, unless several processes share them.

use super::Node;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Partitions that take requests here, by their numbers.
#[derive(Debug, Default)]
pub struct Held(RwLock<BTreeMap<u16, Arc<Node>>>);

impl Held {
    /// A partition that is held, if it is.
    pub fn get(&self, partition: u16) -> Option<Arc<Node>> {
        self.read(|held| held.get(&partition).cloned())
    }

    /// The number of the first one that is held, if there is any.
    pub fn first(&self) -> Option<u16> {
        self.read(|held| held.keys().next().copied())
    }

    /// All that are held, in order.
    pub fn all(&self) -> Vec<Arc<Node>> {
        self.read(|held| held.values().cloned().collect())
    }

    /// Has a partition take requests here.
    pub fn insert(&self, partition: u16, node: Arc<Node>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(partition, node);
    }

    /// Has a partition take no request here any more.
    pub fn remove(&self, partition: u16) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<u16, Arc<Node>>) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
