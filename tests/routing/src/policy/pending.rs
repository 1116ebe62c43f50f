//! Baselines that go by requests under way.

use super::View;
use super::baseline::{Preference, lowest};
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use steam::score::Outcome;

/// The fewest requests under way, equals by chance: LiteLLM's `least-busy`.
#[derive(Default)]
pub struct LeastBusy {
    pending: Vec<u32>,
}

impl Preference for LeastBusy {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let pending = |position: usize| self.pending.get(view.ids[position]).copied().unwrap_or(0);
        let chance: Vec<f64> = view.ids.iter().map(|_| rng.random()).collect();
        lowest(candidates, |position| f64::from(pending(position)) + chance[position])
    }

    fn started(&mut self, id: usize) {
        if self.pending.len() <= id {
            self.pending.resize(id + 1, 0);
        }
        self.pending[id] += 1;
    }

    fn observe(&mut self, id: usize, _outcome: &Outcome, _now: f64) {
        self.pending[id] -= 1;
    }
}

/// Weight of the newest value in the moving averages of [`HealthScore`].
const NEWEST: f64 = 0.3;
/// By how much of the latency each request under way counts.
const PENDING: f64 = 0.1;

#[derive(Clone, Copy, Default)]
struct Endpoint {
    /// Moving averages of success and of seconds; 0 before the first.
    health: Option<f64>,
    latency: Option<f64>,
    pending: u32,
}

impl Endpoint {
    fn score(&self) -> f64 {
        let penalty = self.latency.unwrap_or(0.0) * (1.0 + PENDING * f64::from(self.pending));
        self.health.unwrap_or(1.0) / (1.0 + penalty)
    }
}

/// Of two by chance the one with the better health for its latency and its requests under way: agentgateway's.
#[derive(Default)]
pub struct HealthScore {
    endpoints: Vec<Endpoint>,
}

impl HealthScore {
    fn of(&mut self, id: usize) -> &mut Endpoint {
        if self.endpoints.len() <= id {
            self.endpoints.resize(id + 1, Endpoint::default());
        }
        &mut self.endpoints[id]
    }
}

impl Preference for HealthScore {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let mut left = candidates.to_vec();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let [a, b] = [(); 2].map(|()| rng.random_range(0..left.len()));
            let [of_a, of_b] = [a, b].map(|place| self.of(view.ids[left[place]]).score());
            order.push(left.swap_remove(if of_b > of_a { b } else { a }));
        }
        order
    }

    fn started(&mut self, id: usize) {
        self.of(id).pending += 1;
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, _now: f64) {
        let moved = |old: Option<f64>, new: f64| Some(old.map_or(new, |old| NEWEST * new + (1.0 - NEWEST) * old));
        let endpoint = self.of(id);
        endpoint.pending -= 1;
        match outcome {
            Outcome::Served { total, .. } => {
                endpoint.latency = moved(endpoint.latency, total.as_secs_f64());
                endpoint.health = moved(endpoint.health, 1.0);
            }
            Outcome::Failed { .. } => endpoint.health = moved(endpoint.health, 0.0),
            Outcome::Overtaken { .. } | Outcome::Neutral => {}
        }
    }
}
