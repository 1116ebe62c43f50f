//! Budgets for load that the relayer adds to what its clients ask for. A retry or a second provider is worth its cost while
//! few requests need it; in a general outage it would only multiply the traffic.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Seconds for which unused permits are kept.
const KEPT_SECONDS: f64 = 10.0;

/// A bucket of permits: each request adds a part of one, and each second a few, so that a quiet relayer has some too.
#[derive(Debug)]
pub struct Budget {
    per_request: f64,
    per_second: f64,
    most: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    permits: f64,
    at: Option<Instant>,
}

impl Budget {
    /// A full bucket that earns permits for `percent` of the requests, and `per_second` in addition.
    pub fn new(percent: f64, per_second: f64) -> Self {
        let per_request = percent / 100.0;
        // At least one whole permit, unless there is to be none at all.
        let most = if percent > 0.0 || per_second > 0.0 { (per_second * KEPT_SECONDS).max(1.0) } else { 0.0 };
        Self { per_request, per_second, most, state: Mutex::new(State { permits: most, at: None }) }
    }

    /// Earns a request's part of a permit.
    pub fn earn(&self) {
        let mut state = self.lock();
        state.permits = (state.permits + self.per_request).min(self.most);
    }

    /// Takes a permit, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let passed = state.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        state.at = Some(now);
        state.permits = (state.permits + passed * self.per_second).min(self.most);
        // Five fifths are a whole, whatever their sum is in binary.
        let any = state.permits > 1.0 - 1e-6;
        if any {
            state.permits = (state.permits - 1.0).max(0.0);
        }
        any
    }

    /// Puts a permit back, after what it was taken for succeeded.
    pub fn give_back(&self) {
        let mut state = self.lock();
        state.permits = (state.permits + 1.0).min(self.most);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A number is usable whoever panicked while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn taken(budget: &Budget, now: Instant) -> usize {
        (0..1_000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn requests_earn_a_part_and_seconds_the_rest() {
        let (budget, start) = (Budget::new(20.0, 2.0), Instant::now());
        assert_eq!(taken(&budget, start), 20, "full at first");
        (0..50).for_each(|_| budget.earn());
        assert_eq!(taken(&budget, start), 10, "a fifth of the requests");
        assert_eq!(taken(&budget, start + Duration::from_secs(3)), 6);
        assert_eq!(taken(&budget, start + Duration::from_secs(1_000)), 20, "no more than ten seconds' worth is kept");
    }

    #[test]
    fn what_came_to_something_is_not_counted() {
        let (budget, now) = (Budget::new(0.0, 0.1), Instant::now());
        for _ in 0..100 {
            assert!(budget.take(now));
            budget.give_back();
        }
        assert!(budget.take(now));
        assert!(!budget.take(now));
    }

    #[test]
    fn nothing_is_nothing() {
        let budget = Budget::new(0.0, 0.0);
        (0..100).for_each(|_| budget.earn());
        assert!(!budget.take(Instant::now()));
    }
}
