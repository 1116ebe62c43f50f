//! Small markets for tests: providers without luck, requests by hand.

use crate::market::{Market, Provider, Request};
use crate::policy::{Policy, View};
use std::sync::{Arc, Mutex};
use steam::score::Outcome;
use steam_protocol::units::Price;

/// A provider that always takes one second to the first token and writes 100 tokens a second.
pub fn steady() -> Provider {
    Provider {
        price: Price::basic(1_000_000, 100_000, 2_000_000, 0),
        ttft: 1.0,
        prefill: 1e12,
        speed: 100.0,
        jitter: 0.0,
        tail: None,
        capacity: 1e9,
        at_once: None,
        others: (0.0, 0.0, 0.0),
        errors: 0.0,
        hangs: 0.0,
        cuts: 0.0,
        limit: None,
        cache: Some(300.0),
        inflation: 1.0,
        listed: 0.0,
        episodes: Vec::new(),
    }
}

/// A streamed request at `at` for 1,000 prompt tokens and 101 of answer, of a conversation of its own.
pub fn request(at: f64, conversation: u32) -> Request {
    Request { at, input: 1_000, output: 101, limit: None, streamed: true, conversation, repeated: 0 }
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
