//! Turns for work that costs much before anybody has paid: one at a time for each vault, so that who waits does not wait
//! longer for what another vault sends, and few large ones at once.

use crate::chain::Pubkey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Turns at once.
const CONCURRENT: usize = 4;
/// Turns at once for work on more bytes than [`LARGE`].
const CONCURRENT_LARGE: usize = 2;
const LARGE: usize = 128 << 10;
/// Vaults with turns from which those without are forgotten.
const SWEEP_AT: usize = 1_024;

/// The turns.
#[derive(Debug)]
pub struct Queue {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    vaults: Mutex<HashMap<Pubkey, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
    _vault: Arc<Semaphore>,
}

impl Default for Queue {
    fn default() -> Self {
        let of = |places| Arc::new(Semaphore::new(places));
        Self { all: of(CONCURRENT), large: of(CONCURRENT_LARGE), vaults: Mutex::default() }
    }
}

impl Queue {
    /// Waits for a turn of `vault` to work on `bytes`.
    pub async fn turn(&self, vault: Pubkey, bytes: usize) -> Turn {
        let own = self.own(vault);
        // The vault's own first: it then waits at most once in the queues that all share.
        let large = (bytes > LARGE).then_some(&self.large);
        let mut permits = Vec::with_capacity(3);
        for places in std::iter::once(&own).chain(large).chain([&self.all]) {
            // None of them is ever closed.
            permits.extend(places.clone().acquire_owned().await);
        }
        Turn { _permits: permits, _vault: own }
    }

    fn own(&self, vault: Pubkey) -> Arc<Semaphore> {
        // A map of places stays usable whoever panicked while holding it.
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        if vaults.len() >= SWEEP_AT {
            vaults.retain(|_, places| places.strong_count() > 0);
        }
        if let Some(own) = vaults.get(&vault).and_then(Weak::upgrade) {
            return own;
        }
        let own = Arc::new(Semaphore::new(1));
        vaults.insert(vault, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn at(seed: u8) -> Pubkey {
        Pubkey::new_from_array([seed; 32])
    }

    #[tokio::test]
    async fn a_vault_has_one_turn_and_leaves_the_others_theirs() {
        let queue = Queue::default();
        let first = queue.turn(at(1), 1).await;
        assert!(queue.turn(at(1), 1).now_or_never().is_none(), "its own work waits for its own work");
        let second = queue.turn(at(2), 1).now_or_never().expect("another vault does not wait");
        drop((first, second));
        assert!(queue.turn(at(1), 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn large_work_leaves_room_for_small_work() {
        let queue = Queue::default();
        let _large = [queue.turn(at(1), LARGE + 1).await, queue.turn(at(2), LARGE + 1).await];
        assert!(queue.turn(at(3), LARGE + 1).now_or_never().is_none());
        assert!(queue.turn(at(4), LARGE).now_or_never().is_some());
    }
}
