//! The choice itself: from what was seen of each candidate to cost, time, objective, shares and order. Pure.

use super::breaker::State;
use super::stats::{Relative, median, shrink};
use super::tracker::{Measured, Tracker};
use super::{Ranking, ScoreConfig, ScoreLine, Shape, Sort};
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
/// Share of the traffic a half-open breaker is offered, one request at a time: mere exploration would take minutes
/// to notice that a provider is back.
const PROBE_SHARE: f64 = 0.05;
/// Objectives this close are equals, between which the load decides.
const EQUAL: f64 = 1.05;
/// The objective's range: keeps its powers finite, and a free and instant offer from getting everything.
const OBJECTIVE: std::ops::RangeInclusive<f64> = 1e-3..=1e6;
/// A failure rate counts as at most this.
const WORST_FAILURE: f64 = 0.99;
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
    pub(super) measured: Measured,
    pub(super) state: State,
    failure: f64,
    requests: f64,
    failed_since_closed: u32,
    cache_hits: Option<f64>,
    outstanding: u64,
}

impl Seen {
    pub(super) fn of(tracker: &mut Tracker, bucket: usize, (quantile, tail): (f64, bool), now: f64) -> Self {
        let (failure, requests) = tracker.failure(now);
        Self {
            measured: tracker.measured(bucket, quantile, tail, now),
            state: tracker.breaker.state(now),
            failure,
            requests,
            failed_since_closed: tracker.failed_since_closed(),
            cache_hits: tracker.cache_hits(now),
            outstanding: tracker.outstanding(),
        }
    }
}

/// Candidates that fail far more often than their peers. When all fail alike the trouble is elsewhere.
pub(super) fn outliers(seen: &[Seen]) -> Vec<usize> {
    let suspect = |s: &Seen| {
        s.state == State::Closed
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

/// Ranks `offers` by what was `seen` of each, `draw` in 0..1 choosing the first.
pub(super) fn choose(
    config: &ScoreConfig,
    offers: &[Arc<Offer>],
    seen: &[Seen],
    shape: Shape,
    sort: Sort,
    draw: f64,
) -> Ranking {
    let mut lines = judge(config, offers, seen, shape, sort);
    if lines.iter().all(|line| !line.available) {
        // Every breaker is open: better to ask one that may be back than nobody.
        lines.iter_mut().for_each(|line| line.available = true);
    }
    let available: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].available).collect();
    for (&index, share) in available.iter().zip(shares(config, &available, &lines, seen, sort)) {
        lines[index].share = share;
    }
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| {
        (!lines[a].available).cmp(&!lines[b].available).then(lines[a].score.total_cmp(&lines[b].score))
    });
    if let Some(first) = drawn(&available, &lines, draw).map(|first| lighter(first, &available, &lines, seen))
        && let Some(place) = order.iter().position(|&i| i == first)
    {
        order[..=place].rotate_right(1);
    }
    Ranking { order, scores: lines, draw }
}

/// Cost, time and objective of each candidate; shares are left at zero.
fn judge(config: &ScoreConfig, offers: &[Arc<Offer>], seen: &[Seen], shape: Shape, sort: Sort) -> Vec<ScoreLine> {
    let middle = |of: fn(&Seen) -> Option<f64>, otherwise: f64| median(seen.iter().filter_map(of)).unwrap_or(otherwise);
    let ttft = middle(|s| s.measured.ttft, UNKNOWN_TTFT);
    let speed = middle(|s| s.measured.speed, UNKNOWN_SPEED);
    let failure = middle(|s| (s.requests > 0.0).then_some(s.failure), 0.0);
    let cache_hits = middle(|s| s.cache_hits, 0.0);
    let mut lines: Vec<ScoreLine> = offers
        .iter()
        .zip(seen)
        .map(|(offer, s)| {
            let (ttft, speed) = pace(&s.measured, ttft, speed);
            let hits = s.cache_hits.map_or(cache_hits, |own| pulled(own, s.measured.samples, cache_hits));
            ScoreLine {
                offer: offer.address,
                cost: cost(offer, shape, hits),
                time: ttft + f64::from(shape.expected_output) / speed,
                failure: shrink(s.failure, s.requests, failure, PRIOR).min(WORST_FAILURE),
                score: 0.0,
                share: 0.0,
                samples: s.measured.samples,
                ttft,
                speed,
                outstanding: s.outstanding,
                available: s.state != State::Open,
            }
        })
        .collect();
    let relative = |of: fn(&ScoreLine) -> f64| {
        let values: Vec<f64> = lines.iter().map(of).collect();
        let middle = Relative::to(&values);
        values.into_iter().map(|v| middle.of(v)).collect::<Vec<f64>>()
    };
    let objectives: Vec<f64> = match sort {
        Sort::Balanced => {
            let times = relative(|line| line.time);
            let both = relative(|line| line.cost).into_iter().zip(times);
            both.map(|(cost, time)| cost + config.time_weight * time).collect()
        }
        Sort::Price => relative(|line| line.cost),
        Sort::Throughput => relative(|line| line.speed.recip()),
        Sort::Latency => relative(|line| line.ttft),
    };
    for (line, objective) in lines.iter_mut().zip(objectives) {
        line.score = (objective / (1.0 - line.failure)).clamp(*OBJECTIVE.start(), *OBJECTIVE.end());
    }
    lines
}

/// An own estimate of `samples` answers, pulled to what is common while they are few.
fn pulled(own: f64, samples: usize, common: f64) -> f64 {
    let samples = samples as f64;
    shrink(own, samples, common, PRIOR * (1.0 - samples / ENOUGH).max(0.0))
}

/// Expected time to the first token and speed of an offer, given what is common among the candidates. Speeds are
/// averaged as time a token, so that one lucky answer does not outweigh the rest.
fn pace(own: &Measured, ttft: f64, speed: f64) -> (f64, f64) {
    let whole = own.samples.saturating_sub(own.streams);
    let speed = own.whole.map_or(speed, |(tokens, total)| {
        // A whole answer hides when it began; the common time to the first token stands in for its own.
        let writing = (total - ttft).max(total * LEAST_WRITING).max(1e-6);
        pulled(writing / tokens, whole, speed.recip()).recip()
    });
    let speed = own.speed.map_or(speed, |own_speed| pulled(own_speed.recip(), own.streams, speed.recip()).recip());
    (own.ttft.map_or(ttft, |own_ttft| pulled(own_ttft, own.streams, ttft)), speed)
}

/// Expected cost in µUSDC, `hits` of the prompt being cached.
fn cost(offer: &Offer, shape: Shape, hits: f64) -> f64 {
    let price = &offer.price;
    let prompt = (1.0 - hits) * price.input as f64 + hits * price.cached as f64;
    (f64::from(shape.input_tokens) * prompt + f64::from(shape.expected_output) * price.output as f64) / 1e6
        + price.request as f64
}

/// The share of each of `available`; they add up to 1.
fn shares(config: &ScoreConfig, available: &[usize], lines: &[ScoreLine], seen: &[Seen], sort: Sort) -> Vec<f64> {
    let best = available.iter().map(|&i| lines[i].score).fold(f64::INFINITY, f64::min);
    let weights = available.iter().map(|&i| match sort {
        // Relative to the best, so that no power overflows.
        Sort::Balanced => (best / lines[i].score).powf(config.exponent),
        _ if lines[i].score <= best * EQUAL => 1.0,
        _ => 0.0,
    });
    let mut shares = normalised(weights.collect());
    let probing = |i: usize| seen[i].state == State::HalfOpen;
    if available.iter().any(|&i| !probing(i)) {
        for (share, _) in shares.iter_mut().zip(available).filter(|&(_, &i)| probing(i)) {
            *share = share.max(PROBE_SHARE);
        }
        shares = normalised(shares);
    }
    // Price needs no exploration: it is posted, not measured.
    let exploration = if sort == Sort::Price { 0.0 } else { config.exploration };
    let even = exploration / available.len().max(1) as f64;
    shares.into_iter().map(|share| (1.0 - exploration) * share + even).collect()
}

fn normalised(mut weights: Vec<f64>) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    weights
}

fn drawn(available: &[usize], lines: &[ScoreLine], draw: f64) -> Option<usize> {
    let mut left = draw;
    for &index in available {
        left -= lines[index].share;
        if left < 0.0 {
            return Some(index);
        }
    }
    // The shares' sum may fall short of 1 by rounding.
    available.last().copied()
}

/// Of the equals of `first`, the one with the least work before it. A probe stays where it was drawn.
fn lighter(first: usize, available: &[usize], lines: &[ScoreLine], seen: &[Seen]) -> usize {
    let load = |i: usize| lines[i].outstanding as f64 / lines[i].speed;
    let score = lines[first].score;
    let equal = |&i: &usize| {
        seen[i].state == State::Closed && lines[i].score <= score * EQUAL && score <= lines[i].score * EQUAL
    };
    if seen[first].state != State::Closed {
        return first;
    }
    available.iter().copied().filter(equal).fold(first, |least, i| if load(i) < load(least) { i } else { least })
}
