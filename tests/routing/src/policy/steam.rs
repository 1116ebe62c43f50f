//! The relayer's own scorer, called as the relayer calls it.

use super::{MAX_ATTEMPTS, Policy, View, expected};
use crate::draw::{self, Purpose};
use crate::market::{Request, address};
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

/// What the relayer knows of a request. A prompt too short to be cached has no prefix there.
fn ask(input_tokens: u32, expected_output: u32, conversation: u32) -> Ask {
    Ask {
        input_tokens,
        expected_output,
        sort: Sort::Balanced,
        preferred_min_throughput: None,
        preferred_max_latency: None,
        prefix: Some(conversation.into()),
    }
}

impl Policy for Steam {
    fn rank(&mut self, view: &View<'_>) -> Vec<usize> {
        let ask = ask(view.input, view.expected_output, view.conversation);
        let now = self.instant(view.now);
        self.scorer.rank(view.offers, &ask, now, &mut self.rng).order(MAX_ATTEMPTS)
    }

    fn started(&mut self, id: usize, tokens: u32, _now: f64) {
        self.scorer.started(&address(id), tokens);
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, now: f64) {
        self.scorer.observe(&address(id), outcome, self.instant(now));
    }

    fn ended(&mut self, id: usize, request: &Request, outcome: &Outcome, now: f64) {
        let ask = ask(request.input, expected(request), request.conversation);
        self.scorer.ended(&address(id), &ask, outcome, self.instant(now));
    }
}
