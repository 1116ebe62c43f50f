//! Small markets for tests: providers without luck, requests by hand.

use crate::market::{Market, Provider, Request};
use crate::policy::{Policy, View};
use crate::scenes::usual;
use std::sync::{Arc, Mutex};
use steam::score::Outcome;

pub use crate::scenes::request;

/// A provider that always takes one second to the first token and writes 100 tokens a second.
pub fn steady() -> Provider {
    Provider { prefill: 1e12, jitter: 0.0, capacity: 1e9, cache: Some(300.0), ..usual() }
}

/// A market of these.
pub fn market(providers: Vec<Provider>, requests: Vec<Request>) -> Market {
    Market::of(1, providers, requests, 1_000.0)
}

/// Tries providers in the order of their numbers, and writes down what it is told.
#[derive(Clone, Default)]
pub struct InOrder {
    /// Outcomes with their provider and time.
    pub told: Arc<Mutex<Vec<(usize, Outcome, f64)>>>,
}

impl Policy for InOrder {
    fn rank(&mut self, view: &View<'_>) -> Vec<usize> {
        (0..view.offers.len()).collect()
    }

    fn started(&mut self, _id: usize, _request: &Request, _now: f64) {}

    fn ended(&mut self, id: usize, _request: &Request, outcome: &Outcome, now: f64) {
        self.told.lock().expect("one thread").push((id, outcome.clone(), now));
    }
}
