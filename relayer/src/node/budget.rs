//! Budgets for load that the relayer adds to what its clients ask for. A retry or a second provider is worth its cost while
//! few requests need it; in a general outage it would only multiply the traffic. Each vault has a budget of its own: one
//! client's failures spend nothing of another's.

use crate::chain::Pubkey;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Seconds for which unused permits are kept.
const KEPT_SECONDS: f64 = 10.0;
/// Vaults whose budgets are kept at most.
const MAX_VAULTS: usize = 16_384;

/// A bucket of permits for each vault, or whatever else tells clients apart: each request adds a part of one, and each second a few, so that a quiet vault has
/// some too.
#[derive(Debug)]
pub struct Budget<K = Pubkey> {
    per_request: f64,
    per_second: f64,
    most: f64,
    vaults: Mutex<HashMap<Option<K>, State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    permits: f64,
    at: Instant,
}

impl<K: Copy + Eq + Hash> Budget<K> {
    /// Full buckets that earn permits for `percent` of a vault's requests, and `per_second` in addition.
    pub fn new(percent: f64, per_second: f64) -> Self {
        let per_request = percent / 100.0;
        // At least one whole permit, unless there is to be none at all.
        let most = if percent > 0.0 || per_second > 0.0 { (per_second * KEPT_SECONDS).max(1.0) } else { 0.0 };
        Self { per_request, per_second, most, vaults: Mutex::default() }
    }

    /// Earns a request's part of a permit for `vault`.
    pub fn earn(&self, vault: Option<K>, now: Instant) {
        self.change(vault, now, |permits| *permits += self.per_request);
    }

    /// Takes a permit of `vault`, if there is one.
    pub fn take(&self, vault: Option<K>, now: Instant) -> bool {
        self.change(vault, now, |permits| {
            // Five times 0.2 must give one permit, however binary fractions are rounded.
            let any = *permits > 1.0 - 1e-6;
            if any {
                *permits = (*permits - 1.0).max(0.0);
            }
            any
        })
    }

    /// Puts a permit back, after what it was taken for succeeded.
    pub fn give_back(&self, vault: Option<K>, now: Instant) {
        self.change(vault, now, |permits| *permits += 1.0);
    }

    /// Vaults whose budgets are kept.
    pub fn vaults(&self) -> usize {
        self.lock().len()
    }

    fn change<T>(&self, vault: Option<K>, now: Instant, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut vaults = self.lock();
        if vaults.len() >= MAX_VAULTS && !vaults.contains_key(&vault) {
            vaults.retain(|_, state| self.permits(state, now) < self.most);
            // Honest clients do not have so many buckets in use: forgetting all of them is how the memory stays bounded.
            if vaults.len() >= MAX_VAULTS {
                vaults.clear();
            }
        }
        let state = vaults.entry(vault).or_insert(State { permits: self.most, at: now });
        let mut permits = self.permits(state, now);
        let changed = change(&mut permits);
        *state = State { permits: permits.min(self.most), at: now.max(state.at) };
        changed
    }

    fn permits(&self, state: &State, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        (state.permits + passed * self.per_second).min(self.most)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<K>, State>> {
        // Numbers are usable whoever panicked while holding them.
        self.vaults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const VAULT: Option<Pubkey> = Some(Pubkey::new_from_array([1; 32]));

    fn taken(budget: &Budget, now: Instant) -> usize {
        (0..1_000).take_while(|_| budget.take(VAULT, now)).count()
    }

    #[test]
    fn requests_earn_a_part_and_seconds_the_rest() {
        let (budget, start) = (Budget::new(20.0, 2.0), Instant::now());
        assert_eq!(taken(&budget, start), 20, "full at first");
        (0..50).for_each(|_| budget.earn(VAULT, start));
        assert_eq!(taken(&budget, start), 10, "a fifth of the requests");
        assert_eq!(taken(&budget, start + Duration::from_secs(3)), 6);
        assert_eq!(taken(&budget, start + Duration::from_secs(1_000)), 20, "no more than ten seconds' worth is kept");
    }

    #[test]
    fn one_vault_spends_nothing_of_anothers() {
        let (budget, now) = (Budget::new(20.0, 2.0), Instant::now());
        let other = Some(Pubkey::new_from_array([2; 32]));
        assert_eq!(taken(&budget, now), 20);
        assert!(!budget.take(VAULT, now) && budget.take(other, now) && budget.take(None, now));
    }

    #[test]
    fn many_vaults_do_not_fill_memory() {
        let (budget, now) = (Budget::new(20.0, 2.0), Instant::now());
        for seed in 0..MAX_VAULTS as u32 + 100 {
            let mut address = [0; 32];
            address[..4].copy_from_slice(&seed.to_le_bytes());
            budget.take(Some(Pubkey::new_from_array(address)), now);
        }
        assert!(budget.lock().len() <= MAX_VAULTS);
    }

    #[test]
    fn what_came_to_something_is_not_counted() {
        let (budget, now) = (Budget::new(0.0, 0.1), Instant::now());
        for _ in 0..100 {
            assert!(budget.take(VAULT, now));
            budget.give_back(VAULT, now);
        }
        assert!(budget.take(VAULT, now));
        assert!(!budget.take(VAULT, now));
    }

    #[test]
    fn nothing_is_nothing() {
        let (budget, now) = (Budget::new(0.0, 0.0), Instant::now());
        (0..100).for_each(|_| budget.earn(VAULT, now));
        assert!(!budget.take(VAULT, now));
    }
}
