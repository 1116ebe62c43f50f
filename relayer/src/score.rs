//! Which provider gets a request. Each offer is measured by what was received from it and nothing else; candidates
//! are compared by expected cost, expected time and reliability, and share the traffic by that:
//!
//! - cost `C = n_in·((1−h)·p_in + h·p_cached) + n_out·p_out + p_request`, `h` the measured cache-hit rate;
//! - time `T = TTFT_q + n_out / speed_q`, own measurements at quantile `q` for prompts of that length;
//! - `J = (C/C̃ + w·T/T̃) / (1−f)`, medians over the candidates, `f` the decayed failure rate;
//! - traffic share ∝ `J^−k`, but for a small part that explores evenly.
//!
//! While an offer has few samples its figures are pulled to the candidates' median: scored as fastest a newcomer
//! would get the whole load at once, scored as slowest it would never get any. Clock and randomness are passed in,
//! so the same seed and the same past give the same choice.

mod ask;
mod breaker;
mod coefficients;
mod decide;
mod decision;
mod outcome;
mod stats;
mod survey;
mod tracker;

#[cfg(test)]
mod tests;

pub use ask::{Ask, Draws, Gate, Measured, Ranking, ScoreLine, Sort};
pub use coefficients::Coefficients;
pub use decide::decide;
pub use decision::{Decision, Record};
pub use outcome::{FailureKind, Outcome};

use crate::chain::Pubkey;
use crate::registry::Offer;
use rand::RngCore;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracker::Tracker;

/// Offers that are tracked at most before idle ones are forgotten.
const MAX_TRACKED: usize = 8_192;

/// What the public sees of an offer's last five minutes.
#[derive(Clone, Debug, Serialize)]
pub struct Board {
    /// Time to the first token, in milliseconds, of streamed answers.
    pub ttft_ms: Option<Percentiles>,
    /// Output speed. `p90` is what nine in ten answers reached.
    pub tokens_per_second: Option<Percentiles>,
    /// Time of whole answers, in milliseconds.
    pub e2e_ms: Option<Percentiles>,
    /// Decayed share of requests that did not fail, 0 to 1.
    pub uptime: Option<f64>,
    /// Answers these come from.
    pub samples: usize,
    /// Requests it is working on.
    pub outstanding_requests: u32,
    /// Their tokens.
    pub outstanding_tokens: u64,
    /// Share of its model's recent requests.
    pub share: f64,
    /// `J` as of the latest balanced request: lower is better.
    pub score: Option<f64>,
    /// Whether its breaker lets requests through.
    pub available: bool,
}

/// Three points of a distribution, the second and third on its bad side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// One in ten is worse.
    pub p90: f64,
    /// One in a hundred is worse.
    pub p99: f64,
}

/// Measurements and choice. Cheap to lock: quantiles are computed at most ten times a second and offer.
#[derive(Debug)]
pub struct Scorer {
    coefficients: Arc<Coefficients>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    /// The latest time told, in seconds since it began.
    now: f64,
    trackers: HashMap<Pubkey, Tracker>,
}

impl Scorer {
    /// A scorer that knows nothing yet.
    pub fn new(coefficients: Coefficients) -> Self {
        Self { coefficients: Arc::new(coefficients.sane()), state: Mutex::default() }
    }

    /// Chooses among `offers`. Where every breaker is open all are candidates: one of them may be back.
    pub fn rank(&self, offers: &[Arc<Offer>], ask: &Ask, now: Instant, rng: &mut dyn RngCore) -> Decision {
        let draws = Draws::from_rng(rng);
        let mut state = self.lock();
        let now = state.seconds(now);
        let seen = survey::seen(&mut state, &self.coefficients, offers, ask, now);
        for outlier in survey::outliers(&seen) {
            state.tracker(&offers[outlier].address).eject(now);
        }
        let seen = survey::seen(&mut state, &self.coefficients, offers, ask, now);
        let decision = Decision {
            coefficients: self.coefficients.clone(),
            ask: *ask,
            measured: survey::measured(offers, &seen),
            draws,
        };
        if ask.sort == Sort::Balanced {
            for line in decision.ranking().scores {
                state.tracker(&line.offer).score = Some(line.score);
            }
        }
        decision
    }

    /// Sets the factor, at least 1, by which dishonesty makes the objective of `offer` worse; 1 lifts it.
    pub fn penalise(&self, offer: &Pubkey, factor: f64) {
        self.lock().tracker(offer).penalty = if factor.is_nan() { 1.0 } else { factor.clamp(1.0, 1e3) as f32 };
    }

    /// Counts `answers` of `offer` as verified before: what was learned before a restart.
    pub fn vouch(&self, offer: &Pubkey, answers: u32) {
        self.lock().tracker(offer).vouch(answers);
    }

    /// A request of about `tokens` tokens, prompt and expected output, was sent to `offer`.
    pub fn started(&self, offer: &Pubkey, tokens: u32) {
        let mut state = self.lock();
        let now = state.now;
        state.tracker(offer).started(tokens, now);
    }

    /// A request ended: the other half of [`Self::started`].
    pub fn observe(&self, offer: &Pubkey, outcome: &Outcome, now: Instant) {
        let mut state = self.lock();
        let now = state.seconds(now);
        state.tracker(offer).observe(outcome, now);
    }

    /// The public figures of `offer`.
    pub fn board(&self, offer: &Pubkey, now: Instant) -> Board {
        let mut state = self.lock();
        let now = state.seconds(now);
        let model = state.trackers.get(offer).and_then(|t| t.model.clone());
        let own = state.trackers.get(offer).map_or(0.0, |t| t.traffic(now));
        let all: f64 = state.trackers.values().filter(|t| t.model == model).map(|t| t.traffic(now)).sum();
        let share = if all > 0.0 { own / all } else { 0.0 };
        match state.trackers.get_mut(offer) {
            Some(tracker) => tracker.board(share, now),
            None => Tracker::default().board(0.0, now),
        }
    }

    /// How long `offer` asked to be left alone, from now on.
    pub fn resting(&self, offer: &Pubkey, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        let now = state.seconds(now);
        state.trackers.get(offer)?.breaker.resting(now).map(Duration::from_secs_f64)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Measurements stay usable whoever panicked while holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seconds(&mut self, now: Instant) -> f64 {
        let began = *self.began.get_or_insert(now);
        self.now = self.now.max(now.saturating_duration_since(began).as_secs_f64());
        self.now
    }

    fn tracker(&mut self, offer: &Pubkey) -> &mut Tracker {
        let now = self.now;
        if self.trackers.len() >= MAX_TRACKED && !self.trackers.contains_key(offer) {
            self.trackers.retain(|_, tracker| !tracker.idle(now));
        }
        self.trackers.entry(*offer).or_insert_with(|| Tracker::new(now))
    }
}
