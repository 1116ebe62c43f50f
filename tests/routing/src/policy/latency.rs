//! Baselines that go by measured time.

use super::View;
use super::baseline::{Preference, lowest};
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use std::collections::VecDeque;
use steam::score::{FailureKind, Outcome};

/// The highest output speed, as an average that forgets; a share of the requests explores. Who was never measured
/// goes first.
pub struct Fastest {
    half_life: f64,
    exploration: f64,
    /// By provider: sum of speeds and their weight, decayed, as of when.
    speeds: Vec<(f64, f64, f64)>,
}

impl Fastest {
    /// Averages with `half_life` in seconds, `exploration` from 0 to 1.
    pub fn new(half_life: f64, exploration: f64) -> Self {
        Self { half_life, exploration, speeds: Vec::new() }
    }

    fn speed(&self, id: usize) -> f64 {
        self.speeds
            .get(id)
            .filter(|(_, weight, _)| *weight > 0.0)
            .map_or(f64::INFINITY, |(sum, weight, _)| sum / weight)
    }
}

impl Preference for Fastest {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let mut order = lowest(candidates, |position| -self.speed(view.ids[position]));
        if rng.random::<f64>() < self.exploration {
            order.insert(0, candidates[rng.random_range(0..candidates.len())]);
            let first = order[0];
            let mut place = 0;
            order.retain(|&position| {
                place += 1;
                place == 1 || position != first
            });
        }
        order
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, now: f64) {
        let measured = match outcome {
            Outcome::Served { output_tokens, total, .. } => f64::from(*output_tokens) / total.as_secs_f64().max(1e-3),
            Outcome::Failed { kind: FailureKind::RateLimited, .. } | Outcome::Overtaken { .. } | Outcome::Neutral => {
                return;
            }
            Outcome::Failed { .. } => 0.0,
        };
        let sum = at(&mut self.speeds, id);
        let kept = (-(now - sum.2) / self.half_life).exp2();
        *sum = (sum.0 * kept + measured, sum.1 * kept + 1.0, now);
    }
}

/// What LiteLLM's latency routing goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By {
    /// Seconds to the first token of streams, seconds a token of whole answers: its own mixture.
    FirstToken,
    /// Seconds a token of the whole answer.
    PerToken,
}

/// The lowest mean latency of the last samples, by chance among those within a buffer above it; a timeout counts as
/// 1,000 seconds and who was never measured as zero: LiteLLM's `latency-based-routing`.
pub struct LowestLatency {
    samples: usize,
    buffer: f64,
    by: By,
    latencies: Vec<VecDeque<f64>>,
}

impl LowestLatency {
    /// Means of so many `samples`; `buffer` as a share of the lowest.
    pub fn new(samples: usize, buffer: f64, by: By) -> Self {
        Self { samples, buffer, by, latencies: Vec::new() }
    }

    fn mean(&self, id: usize) -> f64 {
        self.latencies.get(id).filter(|l| !l.is_empty()).map_or(0.0, |l| l.iter().sum::<f64>() / l.len() as f64)
    }
}

impl Preference for LowestLatency {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let mean = |position: usize| self.mean(view.ids[position]);
        let mut order = lowest(candidates, mean);
        let most = mean(order[0]) * (1.0 + self.buffer);
        let within: Vec<usize> = candidates.iter().copied().filter(|&position| mean(position) <= most).collect();
        let first = within[rng.random_range(0..within.len())];
        order.retain(|&position| position != first);
        order.insert(0, first);
        order
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, _now: f64) {
        let latency = match outcome {
            Outcome::Served { streamed: true, ttft, .. } if self.by == By::FirstToken => ttft.as_secs_f64(),
            Outcome::Served { output_tokens, total, .. } => total.as_secs_f64() / f64::from((*output_tokens).max(1)),
            Outcome::Failed { kind: FailureKind::FirstTokenTimeout | FailureKind::IdleTimeout, .. } => 1_000.0,
            Outcome::Failed { .. } | Outcome::Overtaken { .. } | Outcome::Neutral => return,
        };
        let latencies = at(&mut self.latencies, id);
        if latencies.len() == self.samples {
            latencies.pop_front();
        }
        latencies.push_back(latency);
    }
}

/// Of two drawn by chance the one with the lower load times latency, the latency an average that jumps to peaks and
/// forgets them slowly: Finagle's and linkerd's peak EWMA.
pub struct PeakEwma {
    decay: f64,
    per_token: bool,
    /// By provider: latency in seconds, as of when; requests under way.
    loads: Vec<(f64, f64, u32)>,
}

impl PeakEwma {
    /// Forgets with time constant `decay`, in seconds; `per_token` divides an answer's time by its tokens.
    pub fn new(decay: f64, per_token: bool) -> Self {
        Self { decay, per_token, loads: Vec::new() }
    }

    fn cost(&self, id: usize) -> f64 {
        let (latency, _, requests) = self.loads.get(id).copied().unwrap_or_default();
        latency * f64::from(requests + 1)
    }
}

impl Preference for PeakEwma {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let mut left = candidates.to_vec();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let [a, b] = [(); 2].map(|()| rng.random_range(0..left.len()));
            let better = if self.cost(view.ids[left[b]]) < self.cost(view.ids[left[a]]) { b } else { a };
            order.push(left.swap_remove(better));
        }
        order
    }

    fn started(&mut self, id: usize) {
        at(&mut self.loads, id).2 += 1;
    }

    fn observe(&mut self, id: usize, outcome: &Outcome, now: f64) {
        let (latency, since, requests) = at(&mut self.loads, id);
        *requests = requests.saturating_sub(1);
        let Outcome::Served { output_tokens, total, .. } = outcome else { return };
        let tokens = if self.per_token { f64::from((*output_tokens).max(1)) } else { 1.0 };
        let measured = total.as_secs_f64() / tokens;
        let kept = (-(now - *since) / self.decay).exp();
        *latency = if measured > *latency { measured } else { *latency * kept + measured * (1.0 - kept) };
        *since = now;
    }
}

/// The place of provider `id`, made if it is new.
fn at<T: Default + Clone>(all: &mut Vec<T>, id: usize) -> &mut T {
    if all.len() <= id {
        all.resize(id + 1, T::default());
    }
    &mut all[id]
}
