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

mod breaker;
mod choose;
mod stats;
mod tracker;

#[cfg(test)]
mod tests;

use crate::chain::Pubkey;
use crate::config::Routing;
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
/// Quantile of time that counts when throughput is asked for: its tail, not its typical case.
const TAIL: f64 = 0.9;

/// How offers are compared; see [`crate::config::Routing`].
#[derive(Clone, Copy, Debug)]
pub struct ScoreConfig {
    /// `k`: how strongly traffic prefers the better score.
    pub exponent: f64,
    /// `w`: weight of time against cost.
    pub time_weight: f64,
    /// `q`: which quantile of the measurements counts, 0 to 1.
    pub quantile: f64,
    /// `ε`: share of the traffic that is spread evenly.
    pub exploration: f64,
}

impl From<&Routing> for ScoreConfig {
    fn from(routing: &Routing) -> Self {
        Self {
            exponent: routing.exponent,
            time_weight: routing.time_weight,
            quantile: routing.quantile,
            exploration: routing.exploration,
        }
    }
}

/// What a request asks to be best at. It changes the objective, never who may serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Cost and time, sharing traffic by score.
    #[default]
    Balanced,
    /// The cheapest, always (`:floor`).
    Price,
    /// The fastest output in the tail (`:nitro`).
    Throughput,
    /// The shortest time to the first token.
    Latency,
}

/// The size of a request.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
    /// Output tokens expected.
    pub expected_output: u32,
}

/// How a request to a provider ended. Only what was received counts.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// An answer came.
    Served {
        /// Whether it was streamed. The first byte of a whole answer says nothing about its first token.
        streamed: bool,
        /// Prompt tokens, cached ones included.
        input_tokens: u32,
        /// Prompt tokens served from the provider's cache.
        cached_tokens: u32,
        /// Tokens received.
        output_tokens: u32,
        /// Until the first of them.
        ttft: Duration,
        /// Until the last.
        total: Duration,
    },
    /// The provider failed.
    Failed {
        /// In what way.
        kind: FailureKind,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The client was at fault or left: says nothing about the provider.
    Neutral,
}

/// How a provider failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection, or not in time.
    Connect,
    /// No content in time.
    FirstTokenTimeout,
    /// A stream stood still.
    IdleTimeout,
    /// An HTTP status that is the provider's fault.
    Status(u16),
    /// 429.
    RateLimited,
    /// An answer that cannot be read.
    Malformed,
    /// An answer without content.
    Empty,
    /// A stream that ended before its end.
    CutStream,
}

/// The order in which candidates are tried, and why.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Indices into the candidates: first the one chosen, then the rest from best to worst, those whose breaker is
    /// open last.
    pub order: Vec<usize>,
    /// In the order of the candidates.
    pub scores: Vec<ScoreLine>,
    /// The uniform number in 0..1 that chose among the shares.
    pub draw: f64,
}

/// What a candidate was judged by.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreLine {
    /// The offer's address.
    #[serde(serialize_with = "crate::chain::as_base58")]
    pub offer: Pubkey,
    /// Expected cost of this request, in µUSDC, without fee.
    pub cost: f64,
    /// Expected time of this request, in seconds.
    pub time: f64,
    /// Decayed failure rate, 0 to 1.
    pub failure: f64,
    /// The objective: lower is better.
    pub score: f64,
    /// Its share of such requests; all add up to 1.
    pub share: f64,
    /// Answers its measurements come from.
    pub samples: usize,
    /// Expected time to the first token, in seconds.
    pub ttft: f64,
    /// Expected output tokens a second.
    pub speed: f64,
    /// Tokens of requests it is working on.
    pub outstanding: u64,
    /// Whether its breaker lets requests through.
    pub available: bool,
}

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
    config: ScoreConfig,
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
    pub fn new(config: ScoreConfig) -> Self {
        let finite = |x: f64, low: f64, high: f64| if x.is_finite() { x.clamp(low, high) } else { low };
        let config = ScoreConfig {
            exponent: finite(config.exponent, 0.0, 20.0),
            time_weight: finite(config.time_weight, 0.0, 100.0),
            quantile: finite(config.quantile, 0.01, 0.99),
            exploration: finite(config.exploration, 0.0, 0.2),
        };
        Self { config, state: Mutex::default() }
    }

    /// Order in which candidates are tried: the draw first, then the rest by score. `scores` is in the order of
    /// `offers`. Where every breaker is open all are candidates: one of them may be back.
    pub fn rank(
        &self,
        offers: &[Arc<Offer>],
        shape: Shape,
        sort: Sort,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Ranking {
        // 53 random bits are a uniform f64 in 0..1.
        let draw = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut state = self.lock();
        let now = state.seconds(now);
        let tail = sort == Sort::Throughput;
        let quantile = if tail { self.config.quantile.max(TAIL) } else { self.config.quantile };
        let bucket = tracker::bucket(shape.input_tokens);
        let mut seen: Vec<choose::Seen> = offers
            .iter()
            .map(|offer| {
                let tracker = state.tracker(&offer.address);
                if tracker.model.as_deref() != Some(offer.model.as_str()) {
                    tracker.model = Some(offer.model.as_str().into());
                }
                choose::Seen::of(tracker, bucket, (quantile, tail), now)
            })
            .collect();
        for outlier in choose::outliers(&seen) {
            state.tracker(&offers[outlier].address).eject(now);
            seen[outlier].state = breaker::State::Open;
        }
        let ranking = choose::choose(&self.config, offers, &seen, shape, sort, draw);
        if sort == Sort::Balanced {
            for line in &ranking.scores {
                state.tracker(&line.offer).score = Some(line.score);
            }
        }
        ranking
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

    /// Whether the breaker of `offer` lets a request through.
    pub fn is_available(&self, offer: &Pubkey, now: Instant) -> bool {
        let mut state = self.lock();
        let now = state.seconds(now);
        state.trackers.get(offer).is_none_or(|t| t.breaker.state(now) != breaker::State::Open)
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
