//! What was measured of each offer of a market, put beside the others: few samples are pulled to what is common, and
//! whoever fails far more often than its peers is taken out, as Envoy's outlier detection does with hosts of a cluster.

use super::answers::{Own, Pace};
use super::ask::{Gate, Measured};
use super::coefficients::Coefficients;
use super::offer_table::OfferTable;
use super::stats::{median, shrink};
use crate::registry::Offer;
use std::sync::Arc;

/// Pull of the market's median on an own estimate, in samples.
const PRIOR: f64 = 4.0;
/// Samples with which an estimate stands on its own.
const ENOUGH: f64 = 20.0;
/// Pull of the pooled rate of broken answers on an own one, in answers, and how high that rate counts at most.
const BROKEN_PRIOR: f64 = 20.0;
const USUALLY_BROKEN: f64 = 0.01;
/// Pull of the common on how an offer bills, in tokens estimated.
const BILLING_PRIOR: f64 = 10_000.0;
/// Below this factor, billing more than others is the luck of the prompts.
const BILLING_NOISE: f64 = 1.25;
/// Time to the first token and seconds a token where nobody was measured yet: equal for all, so it decides nothing.
const UNKNOWN_TTFT: f64 = 0.5;
const UNKNOWN_TOKEN: f64 = 0.02;
/// Part of a whole answer's time that is taken for writing, at least.
const LEAST_WRITING: f64 = 0.2;
/// Rings whose quantiles are brought up to date at once; the others' turn comes with their next answer or table.
const RINGS: usize = 32;
/// Requests, decayed, before an offer can be an outlier.
const OUTLIER_REQUESTS: f64 = 8.0;
/// Failures since its breaker closed before an offer can be an outlier.
const OUTLIER_FAILURES: u32 = 4;
/// Failure rate of an outlier, at least.
const OUTLIER_RATE: f64 = 0.3;
/// An outlier fails this many times as often as the median of its peers.
const OUTLIER_FACTOR: f64 = 3.0;
/// Part of a market that may be out: when most fail, the trouble is elsewhere and somebody must serve.
const OUTLIERS: f64 = 0.5;

/// What was seen of an offer.
#[derive(Clone, Copy, Debug)]
struct Seen {
    own: Own,
    streams: f64,
    whole: f64,
    gate: Gate,
    failure: f64,
    requests: f64,
    broken: (f64, f64),
    billing: Option<(f64, f64)>,
    usual_load: f64,
    failed_since_closed: u32,
    cache_hits: Option<f64>,
    newcomer: bool,
    penalty: f32,
}

/// What the choice depends on of each offer, but for its load. Takes outliers out.
pub(super) fn measure(
    c: &Coefficients,
    table: &mut OfferTable,
    offers: &[Arc<Offer>],
    slots: &[u32],
    pace: Pace,
    bucket: usize,
    now: f64,
) -> Vec<Measured> {
    let mut rings = RINGS;
    for &slot in slots {
        if rings > 0 && table.tracker(slot).answers.refresh([c.quantile, c.tail_quantile], now) {
            rings -= 1;
        }
    }
    let established = slots.iter().any(|&slot| table.tracker(slot).established(c.newcomer_answers));
    let mut look = |&slot: &u32| {
        let tracker = table.tracker(slot);
        let (own, streams, whole) = tracker.answers.own(pace, bucket, now);
        let (failure, requests) = tracker.failure(now);
        Seen {
            own,
            streams,
            whole,
            gate: tracker.gate(now),
            failure,
            requests,
            broken: tracker.broken(now),
            billing: tracker.billing(now),
            usual_load: tracker.usual_load(now),
            failed_since_closed: tracker.failed_since_closed(),
            cache_hits: tracker.cache_hits(now),
            newcomer: tracker.newcomer(established, c.newcomer_answers),
            penalty: tracker.penalty,
        }
    };
    let seen: Vec<Seen> = slots.iter().map(&mut look).collect();
    for outlier in outliers(&seen) {
        table.eject(slots[outlier], now);
    }
    compare(offers, &seen)
}

/// Offers that fail far more often than their peers. When all fail alike the trouble is elsewhere.
fn outliers(seen: &[Seen]) -> Vec<usize> {
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
    let out = seen.iter().filter(|s| s.gate != Gate::Closed).count();
    let room = ((seen.len() as f64 * OUTLIERS) as usize).saturating_sub(out);
    (0..seen.len()).filter(|&i| suspect(&seen[i]) && above_peers(i)).take(room).collect()
}

fn compare(offers: &[Arc<Offer>], seen: &[Seen]) -> Vec<Measured> {
    let middle = |of: fn(&Seen) -> Option<f64>, otherwise: f64| median(seen.iter().filter_map(of)).unwrap_or(otherwise);
    let ttft = middle(|s| s.own.ttft, UNKNOWN_TTFT);
    let token = middle(|s| s.own.token, UNKNOWN_TOKEN);
    let failure = middle(|s| (s.requests > 0.0).then_some(s.failure), 0.0);
    let cache_hits = middle(|s| s.cache_hits, 0.0);
    let billing = middle(|s| s.billing.map(|(ratio, _)| ratio), 1.0);
    let ended: f64 = seen.iter().map(|s| s.broken.1).sum();
    let broken = seen.iter().map(|s| s.broken.0 * s.broken.1).sum::<f64>() / ended.max(1.0);
    let broken = broken.min(USUALLY_BROKEN);
    let of = |(offer, s): (&Arc<Offer>, &Seen)| {
        let (ttft, token) = expected_times(s, ttft, token);
        let samples = s.streams + s.whole;
        Measured {
            offer: offer.address,
            price: offer.price,
            ttft: ttft as f32,
            speed: token.recip() as f32,
            failure: shrink(s.failure, s.requests, failure, PRIOR) as f32,
            broken: shrink(s.broken.0, s.broken.1, broken, BROKEN_PRIOR) as f32,
            billing: billed(s.billing, billing) as f32,
            usual_load: s.usual_load as f32,
            cache_hits: s.cache_hits.map_or(cache_hits, |own| pulled(own, samples, cache_hits)) as f32,
            samples: samples.round() as u32,
            newcomer: s.newcomer,
            penalty: s.penalty,
            gate: s.gate,
            outstanding_requests: 0,
            outstanding_tokens: 0,
            cap: None,
            silent: false,
            limited: false,
            paced: false,
            incumbent: false,
            sticky: None,
        }
    };
    offers.iter().zip(seen).map(of).collect()
}

/// How an offer bills in comparison with what is `common`, if it is well off: what is near is the luck of the prompts.
fn billed(own: Option<(f64, f64)>, common: f64) -> f64 {
    let Some((ratio, tokens)) = own.filter(|_| common > 0.0) else { return 1.0 };
    let relative = shrink(ratio / common, tokens, 1.0, BILLING_PRIOR);
    if relative > BILLING_NOISE { relative } else { 1.0 }
}

/// An own estimate of `samples` answers, pulled to what is common while they are few.
fn pulled(own: f64, samples: f64, common: f64) -> f64 {
    shrink(own, samples, common, PRIOR * (1.0 - samples / ENOUGH).max(0.0))
}

/// Expected time to the first token and a token of an offer, given what is common in the market. Speeds are averaged
/// as time a token, so that one lucky answer does not outweigh the rest.
fn expected_times(s: &Seen, ttft: f64, token: f64) -> (f64, f64) {
    let token = s.own.whole.map_or(token, |(tokens, total)| {
        // A whole answer hides when it began; the common time to the first token stands in for its own.
        let writing = (total - ttft).max(total * LEAST_WRITING).max(1e-6);
        pulled(writing / tokens, s.whole, token)
    });
    let token = s.own.token.map_or(token, |own| pulled(own, s.streams, token));
    (s.own.ttft.map_or(ttft, |own| pulled(own, s.streams, ttft)), token)
}
