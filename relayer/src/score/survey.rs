//! What was measured of each candidate, put beside the others: few samples are pulled to what is common, and whoever
//! fails far more often than its peers stands out.

use super::State;
use super::ask::{Ask, Gate, Measured, Sort};
use super::coefficients::Coefficients;
use super::stats::{median, shrink};
use super::tracker::{self, Own, Tracker};
use crate::registry::Offer;
use std::sync::Arc;

/// Pull of the candidates' median on an own estimate, in samples.
const PRIOR: f64 = 4.0;
/// Samples with which an estimate stands on its own.
const ENOUGH: f64 = 20.0;
/// Time to the first token and tokens a second where nobody was measured yet: equal for all, so it decides nothing.
const UNKNOWN_TTFT: f64 = 0.5;
const UNKNOWN_SPEED: f64 = 50.0;
/// Part of a whole answer's time that is taken for writing, at least.
const LEAST_WRITING: f64 = 0.2;
/// Requests, decayed, before an offer can be an outlier.
const OUTLIER_REQUESTS: f64 = 8.0;
/// Failures since its breaker closed before an offer can be an outlier.
const OUTLIER_FAILURES: u32 = 4;
/// Failure rate of an outlier, at least.
const OUTLIER_RATE: f64 = 0.3;
/// An outlier fails this many times as often as the median of its peers.
const OUTLIER_FACTOR: f64 = 3.0;

/// What was seen of a candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    own: Own,
    gate: Gate,
    failure: f64,
    requests: f64,
    failed_since_closed: u32,
    cache_hits: Option<f64>,
    outstanding: (u32, u64),
    newcomer: bool,
    penalty: f32,
}

impl Seen {
    fn of(tracker: &mut Tracker, bucket: usize, (quantile, tail): (f64, bool), now: f64) -> Self {
        let (failure, requests) = tracker.failure(now);
        Self {
            own: tracker.measured(bucket, quantile, tail, now),
            gate: tracker.breaker.state(now),
            failure,
            requests,
            failed_since_closed: tracker.failed_since_closed(),
            cache_hits: tracker.cache_hits(now),
            outstanding: (tracker.requests(), tracker.outstanding()),
            newcomer: false,
            penalty: tracker.penalty,
        }
    }
}

/// What was seen of each of `offers`, for requests like `ask`.
pub(super) fn seen(
    state: &mut State,
    coefficients: &Coefficients,
    offers: &[Arc<Offer>],
    ask: &Ask,
    now: f64,
) -> Vec<Seen> {
    let tail = ask.sort == Sort::Throughput;
    let quantile = if tail { coefficients.tail_quantile } else { coefficients.quantile };
    let bucket = tracker::bucket(ask.input_tokens);
    let enough = coefficients.newcomer_answers;
    let established = offers.iter().any(|offer| state.tracker(&offer.address).established(enough));
    let look = |offer: &Arc<Offer>| {
        let tracker = state.tracker(&offer.address);
        if tracker.model.as_deref() != Some(offer.model.as_str()) {
            tracker.model = Some(offer.model.as_str().into());
        }
        let newcomer = tracker.newcomer(established, enough);
        Seen { newcomer, ..Seen::of(tracker, bucket, (quantile, tail), now) }
    };
    offers.iter().map(look).collect()
}

/// Candidates that fail far more often than their peers. When all fail alike the trouble is elsewhere.
pub(super) fn outliers(seen: &[Seen]) -> Vec<usize> {
    let suspect = |s: &Seen| {
        s.gate == Gate::Closed
            && s.requests >= OUTLIER_REQUESTS
            && s.failed_since_closed >= OUTLIER_FAILURES
            && s.failure >= OUTLIER_RATE
    };
    if !seen.iter().any(suspect) {
        return Vec::new();
    }
    let above_peers = |index: usize| {
        let peers = seen.iter().enumerate().filter(|&(i, s)| i != index && s.requests > 0.0);
        median(peers.map(|(_, s)| s.failure)).is_some_and(|peers| seen[index].failure > OUTLIER_FACTOR * peers)
    };
    (0..seen.len()).filter(|&i| suspect(&seen[i]) && above_peers(i)).collect()
}

/// What the choice depends on.
pub(super) fn measured(offers: &[Arc<Offer>], seen: &[Seen]) -> Vec<Measured> {
    let middle = |of: fn(&Seen) -> Option<f64>, otherwise: f64| median(seen.iter().filter_map(of)).unwrap_or(otherwise);
    let ttft = middle(|s| s.own.ttft, UNKNOWN_TTFT);
    let speed = middle(|s| s.own.speed, UNKNOWN_SPEED);
    let failure = middle(|s| (s.requests > 0.0).then_some(s.failure), 0.0);
    let cache_hits = middle(|s| s.cache_hits, 0.0);
    let of = |(offer, s): (&Arc<Offer>, &Seen)| {
        let (ttft, speed) = pace(&s.own, ttft, speed);
        Measured {
            offer: offer.address,
            price: offer.price,
            ttft: ttft as f32,
            speed: speed as f32,
            failure: shrink(s.failure, s.requests, failure, PRIOR) as f32,
            cache_hits: s.cache_hits.map_or(cache_hits, |own| pulled(own, s.own.samples, cache_hits)) as f32,
            samples: s.own.samples as u32,
            newcomer: s.newcomer,
            penalty: s.penalty,
            gate: s.gate,
            outstanding_requests: s.outstanding.0,
            outstanding_tokens: u32::try_from(s.outstanding.1).unwrap_or(u32::MAX),
            cap: None,
            rate: 0.0,
            rate_cap: None,
            incumbent: false,
            sticky: None,
        }
    };
    offers.iter().zip(seen).map(of).collect()
}

/// An own estimate of `samples` answers, pulled to what is common while they are few.
fn pulled(own: f64, samples: usize, common: f64) -> f64 {
    let samples = samples as f64;
    shrink(own, samples, common, PRIOR * (1.0 - samples / ENOUGH).max(0.0))
}

/// Expected time to the first token and speed of an offer, given what is common among the candidates. Speeds are
/// averaged as time a token, so that one lucky answer does not outweigh the rest.
fn pace(own: &Own, ttft: f64, speed: f64) -> (f64, f64) {
    let whole = own.samples.saturating_sub(own.streams);
    let speed = own.whole.map_or(speed, |(tokens, total)| {
        // A whole answer hides when it began; the common time to the first token stands in for its own.
        let writing = (total - ttft).max(total * LEAST_WRITING).max(1e-6);
        pulled(writing / tokens, whole, speed.recip()).recip()
    });
    let speed = own.speed.map_or(speed, |own_speed| pulled(own_speed.recip(), own.streams, speed.recip()).recip());
    (own.ttft.map_or(ttft, |own_ttft| pulled(own_ttft, own.streams, ttft)), speed)
}
