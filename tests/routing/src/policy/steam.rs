//! The relayer's own scorer, called as the relayer calls it.

use super::{MAX_ATTEMPTS, Policy, View, ask};
use crate::draw::{self, Purpose};
use crate::market::{Request, address};
use rand_pcg::Pcg64Mcg;
use std::collections::HashMap;
use std::time::Duration;
use steam::score::{Coefficients, Evidence, Outcome, Scorer, Ticket};
use tokio::time::Instant;

/// The scorer of [`steam::score`] in virtual time.
pub struct Steam {
    scorer: Scorer,
    began: Instant,
    rng: Pcg64Mcg,
    /// Requests under way, by provider and the moment they were asked.
    tickets: HashMap<(usize, u64), Ticket>,
}

impl Steam {
    /// A scorer that knows nothing yet.
    pub fn new(coefficients: Coefficients, seed: u64) -> Self {
        let rng = draw::at(seed, Purpose::Policy, 0, 0);
        // Only differences of instants count, so that it does not matter when this one is.
        Self { scorer: Scorer::new(coefficients), began: Instant::now(), rng, tickets: HashMap::new() }
    }

    fn instant(&self, now: f64) -> Instant {
        self.began + Duration::from_secs_f64(now)
    }
}

fn key(id: usize, request: &Request) -> (usize, u64) {
    (id, request.at.to_bits())
}

impl Policy for Steam {
    fn rank(&mut self, view: &View<'_>) -> Vec<usize> {
        let now = self.instant(view.now);
        self.scorer.rank(view.offers, &view.ask, now, &mut self.rng).order(MAX_ATTEMPTS)
    }

    fn started(&mut self, id: usize, request: &Request, now: f64) {
        let now = self.instant(now);
        let ticket = self.scorer.started_for(&address(id), &ask(request), &Evidence::PROBE, now);
        self.tickets.insert(key(id, request), ticket);
    }

    fn began(&mut self, id: usize, request: &Request, now: f64) {
        let now = self.instant(now);
        if let Some(ticket) = self.tickets.get_mut(&key(id, request)) {
            self.scorer.began(&address(id), &ask(request), ticket, now);
        }
    }

    fn ended(&mut self, id: usize, request: &Request, outcome: &Outcome, now: f64) {
        if let Some(ticket) = self.tickets.remove(&key(id, request)) {
            let asked = (&ask(request), &ticket);
            self.scorer.ended_for(&address(id), asked, outcome, &Evidence::PROBE, self.instant(now));
        }
    }
}
