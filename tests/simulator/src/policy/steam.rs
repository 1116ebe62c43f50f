//! The relayer's own scorer, called as the relayer calls it.

use super::{Policy, View};
use crate::draw::{self, Purpose};
use crate::market::address;
use crate::simulation::MAX_ATTEMPTS;
use rand_pcg::Pcg64Mcg;
use std::time::Duration;
use steam::score::{Ask, Coefficients, Outcome, Scorer, Sort};
use tokio::time::Instant;

/// The scorer of [`steam::score`] in virtual time.
pub struct Steam {
    scorer: Scorer,
    began: Instant,
    rng: Pcg64Mcg,
}

impl Steam {
    /// A scorer that knows nothing yet.
    pub fn new(coefficients: Coefficients, seed: u64) -> Self {
        let rng = draw::at(seed, Purpose::Policy, 0, 0);
        // Only differences of instants count, so that it does not matter when this one is.
        Self { scorer: Scorer::new(coefficients), began: Instant::now(), rng }
    }

    fn instant(&self, now: f64) -> Instant {
        self.began + Duration::from_secs_f64(now)
    }
}

impl Policy for Steam {
    fn rank(&mut self, view: &View<'_>) -> Vec<usize> {
        let ask = Ask {
            input_tokens: view.input,
            expected_output: view.expected_output,
            sort: Sort::Balanced,
            preferred_min_throughput: None,
            preferred_max_latency: None,
            // A prompt too short to be cached has none, as in the relayer.
            prefix: Some(view.conversation.into()),
        };
        let now = self.instant(view.now);
        self.scorer.rank(view.offers, &ask, now, &mut self.rng).order(MAX_ATTEMPTS)
    }

    fn started(&mut self, id: usize, tokens: u32, _now: f64) {
        self.scorer.started(&address(id), tokens);
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, now: f64) {
        self.scorer.observe(&address(id), outcome, self.instant(now));
    }
}
