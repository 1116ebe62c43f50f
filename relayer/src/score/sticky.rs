//! The offer that served the beginning of each prompt last, so that the rest of a conversation goes where it is cached.
//! Two generations of bounded size: when the young one is full it becomes the old one, and what was in the old one and
//! not used since is forgotten. Seconds count from the scorer's beginning.

use crate::chain::Pubkey;
use std::collections::HashMap;

/// Entries of a generation.
const MOST: usize = 32_768;
/// Seconds after which a provider's cache has forgotten what was not asked for again.
const KEPT: f64 = 300.0;

/// Who served a beginning last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) offer: Pubkey,
    /// Share of its prompt tokens that came from the cache when it was asked again.
    pub(super) hits: Option<f32>,
    at: f64,
}

/// The map from prefixes to offers.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    young: HashMap<u64, Served>,
    old: HashMap<u64, Served>,
}

impl Sticky {
    /// Who served `prefix` last, if that is not too long ago.
    pub(super) fn find(&self, prefix: u64, now: f64) -> Option<Served> {
        self.young.get(&prefix).or_else(|| self.old.get(&prefix)).copied().filter(|served| now - served.at < KEPT)
    }

    /// `offer` served `prefix`; `hits` is what its cache gave, known when it had served it before.
    pub(super) fn served(&mut self, prefix: u64, offer: Pubkey, hits: Option<f32>, now: f64) {
        if self.young.len() >= MOST && !self.young.contains_key(&prefix) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(prefix, Served { offer, hits, at: now });
    }

    /// Prefixes kept.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets the offer for `prefix`, after its cache missed.
    pub(super) fn forget(&mut self, prefix: u64) {
        self.young.remove(&prefix);
        self.old.remove(&prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut sticky = Sticky::default();
        let offer = Pubkey::from([1; 32]);
        for prefix in 0..10 * MOST as u64 {
            sticky.served(prefix, offer, None, 0.0);
            if prefix % 1_000 == 0 {
                sticky.served(0, offer, None, 0.0);
            }
        }
        assert!(sticky.young.len() + sticky.old.len() <= 2 * MOST);
        assert!(sticky.find(0, 0.0).is_some() && sticky.find(1, 0.0).is_none());
    }

    #[test]
    fn what_a_cache_has_forgotten_is_not_looked_for() {
        let mut sticky = Sticky::default();
        sticky.served(7, Pubkey::from([1; 32]), None, 0.0);
        assert!(sticky.find(7, KEPT - 1.0).is_some() && sticky.find(7, KEPT).is_none());
        sticky.forget(7);
        assert!(sticky.find(7, 1.0).is_none());
    }
}
