//! The plain learner: what anybody would write in an afternoon. Moving averages of what each provider costs, takes and fails,
//! the lowest sum first, a few requests at random.

use super::View;
use super::baseline::{Preference, lowest};
use crate::stats::median;
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use steam::score::{FailureKind, Outcome};

/// What a failure counts, in requests at the middle: what the user takes it for.
const FAILURE: f64 = 20.0;

/// Moving averages of one provider.
#[derive(Clone, Copy, Debug, Default)]
struct Averages {
    /// µUSDC and seconds of a served request; `None` until one was.
    served: Option<(f64, f64)>,
    /// Share of failures.
    failures: f64,
    /// Posted price of prompt and answer, as last seen.
    price: (f64, f64),
}

/// Averages that move by `step` with each answer; a share `exploration` of the requests is sent at random.
pub struct Learner {
    step: f64,
    exploration: f64,
    averages: Vec<Averages>,
}

impl Learner {
    /// See the type.
    pub fn new(step: f64, exploration: f64) -> Self {
        Self { step, exploration, averages: Vec::new() }
    }

    fn of(&mut self, id: usize) -> &mut Averages {
        if self.averages.len() <= id {
            self.averages.resize(id + 1, Averages::default());
        }
        &mut self.averages[id]
    }
}

impl Preference for Learner {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        for &position in candidates {
            let price = &view.offers[position].price.standard;
            self.of(view.ids[position]).price = (price.input as f64 / 1e6, price.output as f64 / 1e6);
        }
        let averages = &self.averages;
        let served = || candidates.iter().filter_map(|&position| averages[view.ids[position]].served);
        let (cost, time) = (median(served().map(|s| s.0)), median(served().map(|s| s.1)));
        let mut order = lowest(candidates, |position| {
            let Averages { served, failures, .. } = averages[view.ids[position]];
            // Who was never measured goes first.
            served.map_or(0.0, |(usd, seconds)| usd / cost + seconds / time) + FAILURE * failures
        });
        if rng.random::<f64>() < self.exploration {
            let first = candidates[rng.random_range(0..candidates.len())];
            order.retain(|&position| position != first);
            order.insert(0, first);
        }
        order
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, _now: f64) {
        let step = self.step;
        let moved = |average: f64, value: f64| average + step * (value - average);
        let averages = self.of(id);
        match outcome {
            Outcome::Served { input_tokens, output_tokens, total, .. } => {
                let usd = f64::from(*input_tokens) * averages.price.0 + f64::from(*output_tokens) * averages.price.1;
                let (cost, time) = averages.served.unwrap_or((usd, total.as_secs_f64()));
                averages.served = Some((moved(cost, usd), moved(time, total.as_secs_f64())));
                averages.failures = moved(averages.failures, 0.0);
            }
            // Told at once, and no sign of bad health.
            Outcome::Failed { kind: FailureKind::RateLimited, .. } | Outcome::Overtaken { .. } | Outcome::Neutral => {}
            Outcome::Failed { .. } => averages.failures = moved(averages.failures, 1.0),
        }
    }
}
