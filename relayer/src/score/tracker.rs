//! What is known about one offer: a bounded ring of recent answers, decayed rates, its load and its breaker.
//! Seconds count from the scorer's beginning.

use super::ask::Gate;
use super::breaker::Breaker;
use super::stats::{Decayed, quantile, shrink};
use super::{Board, Outcome, Percentiles};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Answers older than this are forgotten, in seconds.
const WINDOW: f64 = 300.0;
/// Most answers kept.
const MAX_SAMPLES: usize = 256;
/// Upper ends of the prompt-length buckets, in tokens; the last is open.
const BUCKET_ENDS: [u32; 3] = [512, 4_096, 32_768];
const BUCKETS: usize = BUCKET_ENDS.len() + 1;
/// Half-life of failure and traffic rates, in seconds.
const HALF_LIFE: f64 = 60.0;
/// Half-life of the cache-hit rate, in seconds.
const CACHE_HALF_LIFE: f64 = 300.0;
/// Quantiles are computed anew at most this often once there are many samples, in seconds: sorting a ring for each
/// request would cost more than everything else in choosing, and steady figures keep traffic from flapping.
const REFRESH: f64 = 0.1;
/// Samples below which every new one counts at once.
const FEW: usize = 16;
/// Pull of the whole ring on a bucket, in samples.
const BUCKET_PRIOR: f64 = 4.0;
/// Range of measured speeds, in tokens a second.
const SLOWEST: f64 = 1e-3;
const FASTEST: f64 = 1e6;

/// The bucket of a prompt.
pub(super) fn bucket(input_tokens: u32) -> usize {
    BUCKET_ENDS.iter().position(|&end| input_tokens < end).unwrap_or(BUCKETS - 1)
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    bucket: usize,
    streamed: bool,
    /// Seconds to the first token, where the answer was streamed.
    ttft: Option<f64>,
    /// Tokens a second of the stream, or of the whole time.
    speed: Option<f64>,
    /// Tokens.
    output: f64,
    /// Seconds in all.
    total: f64,
}

/// Own measurements at the quantile that counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// Seconds to the first token.
    pub(super) ttft: Option<f64>,
    /// Output tokens a second.
    pub(super) speed: Option<f64>,
    /// Streamed answers these come from.
    pub(super) streams: usize,
    /// Of whole answers, which do not show their first token: usual tokens, and seconds in all.
    pub(super) whole: Option<(f64, f64)>,
    /// Answers in all.
    pub(super) samples: usize,
}

#[derive(Debug, Default)]
struct Cache {
    computed: Option<f64>,
    stale: bool,
    by_bucket: [Own; BUCKETS],
}

/// What is known about one offer.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The model it serves, once it was a candidate.
    pub(super) model: Option<Arc<str>>,
    /// Its latest `J` for a balanced request.
    pub(super) score: Option<f64>,
    /// Answers that were verified, ever.
    verified: u32,
    /// Whether others were established when it was first a candidate.
    came_later: Option<bool>,
    /// Factor on its objective for dishonesty.
    pub(super) penalty: f32,
    /// When it was last heard of.
    pub(super) touched: f64,
    pub(super) breaker: Breaker,
    samples: VecDeque<Sample>,
    /// At the configured quantile and at the tail.
    caches: [Cache; 2],
    served: Decayed,
    failed: Decayed,
    failed_since_closed: u32,
    prompt_tokens: Decayed,
    cached_tokens: Decayed,
    traffic: Decayed,
    requests: u32,
    tokens: u64,
}

impl Tracker {
    pub(super) fn new(now: f64) -> Self {
        Self { touched: now, penalty: 1.0, ..Self::default() }
    }

    pub(super) fn started(&mut self, tokens: u32, now: f64) {
        self.touched = now;
        self.requests = self.requests.saturating_add(1);
        self.tokens = self.tokens.saturating_add(u64::from(tokens));
        self.traffic.add(1.0, now, HALF_LIFE);
        self.breaker.started();
    }

    pub(super) fn observe(&mut self, outcome: &Outcome, now: f64) {
        self.touched = now;
        // Which of the requests ended is not told, so the average one leaves; with the last, everything does.
        self.tokens -= self.tokens.checked_div(u64::from(self.requests)).unwrap_or(self.tokens);
        self.requests = self.requests.saturating_sub(1);
        match outcome {
            Outcome::Served { streamed, input_tokens, cached_tokens, output_tokens, ttft, total } => {
                if self.breaker.served() {
                    // It is back: what it did while it was away weighs less.
                    self.failed.scale(0.25);
                    self.failed_since_closed = 0;
                }
                self.verified = self.verified.saturating_add(1);
                self.served.add(1.0, now, HALF_LIFE);
                self.prompt_tokens.add(f64::from(*input_tokens), now, CACHE_HALF_LIFE);
                self.cached_tokens.add(f64::from((*cached_tokens).min(*input_tokens)), now, CACHE_HALF_LIFE);
                let ttft = streamed.then_some(*ttft);
                self.push(sample(now, *input_tokens, *output_tokens, ttft, *total));
            }
            Outcome::Failed { retry_after, .. } => {
                self.failed.add(1.0, now, HALF_LIFE);
                self.failed_since_closed = self.failed_since_closed.saturating_add(1);
                self.breaker.failed(now, retry_after.map(|d| d.as_secs_f64()));
            }
            Outcome::Overtaken { input_tokens, waited } => {
                self.breaker.neutral();
                self.push(sample(now, *input_tokens, 0, Some(*waited), *waited));
            }
            Outcome::Neutral => self.breaker.neutral(),
        }
    }

    fn push(&mut self, sample: Sample) {
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.caches.iter_mut().for_each(|c| c.stale = true);
    }

    fn expire(&mut self, now: f64) {
        while self.samples.front().is_some_and(|s| now - s.at > WINDOW) {
            self.samples.pop_front();
            self.caches.iter_mut().for_each(|c| c.stale = true);
        }
    }

    /// Own measurements for a prompt of `bucket`, at quantile `q` of time: the slow side for `q` above one half.
    /// `tail` says which of the two quantiles in use it is.
    pub(super) fn measured(&mut self, bucket: usize, q: f64, tail: bool, now: f64) -> Own {
        self.expire(now);
        let cache = &self.caches[usize::from(tail)];
        let fresh = cache.computed.is_some_and(|at| !cache.stale || (self.samples.len() >= FEW && now - at < REFRESH));
        if !fresh {
            let by_bucket = self.measure_all(q);
            self.caches[usize::from(tail)] = Cache { computed: Some(now), stale: false, by_bucket };
        }
        self.caches[usize::from(tail)].by_bucket[bucket.min(BUCKETS - 1)]
    }

    fn measure_all(&self, q: f64) -> [Own; BUCKETS] {
        let ttft = |bucket: Option<usize>| at(self.values(bucket, |s| s.ttft), q);
        let speed = |bucket: Option<usize>| at(self.values(bucket, |s| s.speed.filter(|_| s.streamed)), 1.0 - q);
        let (all_ttft, all_speed) = (ttft(None), speed(None));
        let whole = |of: fn(&Sample) -> f64, q: f64| {
            quantile(&self.values(None, |s| (!s.streamed && s.output > 0.0).then(|| of(s))), q)
        };
        let whole = whole(|s| s.output, 0.5).zip(whole(|s| s.total, q));
        std::array::from_fn(|bucket| {
            let blend = |own: Option<(f64, usize)>, all: Option<(f64, usize)>| {
                let (common, _) = all?;
                let (own, n) = own.unwrap_or((common, 0));
                Some(shrink(own, n as f64, common, BUCKET_PRIOR))
            };
            Own {
                ttft: blend(ttft(Some(bucket)), all_ttft),
                speed: blend(speed(Some(bucket)), all_speed),
                streams: all_ttft.map_or(0, |(_, n)| n),
                whole,
                samples: self.samples.len(),
            }
        })
    }

    fn values(&self, bucket: Option<usize>, of: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        let mut values: Vec<f64> =
            self.samples.iter().filter(|s| bucket.is_none_or(|b| s.bucket == b)).filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// Decayed failure rate and the requests it comes from.
    pub(super) fn failure(&self, now: f64) -> (f64, f64) {
        let (served, failed) = (self.served.at(now, HALF_LIFE), self.failed.at(now, HALF_LIFE));
        let requests = served + failed;
        (if requests > 0.0 { failed / requests } else { 0.0 }, requests)
    }

    /// Answers verified before it was tracked.
    pub(super) fn vouch(&mut self, answers: u32) {
        self.verified = self.verified.max(answers);
    }

    /// Whether `answers` of it were verified.
    pub(super) fn established(&self, answers: u32) -> bool {
        self.verified >= answers
    }

    /// Whether it came to a market that was there before it, and has fewer than `answers` verified since. Those that
    /// the relayer found when nobody was established have no head start to catch up with.
    pub(super) fn newcomer(&mut self, market_established: bool, answers: u32) -> bool {
        let came_later = *self.came_later.get_or_insert(market_established);
        came_later && !self.established(answers)
    }

    /// Requests under way.
    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    /// Failures since the breaker last closed.
    pub(super) fn failed_since_closed(&self) -> u32 {
        self.failed_since_closed
    }

    /// Opens the breaker of an offer that fails far more often than its peers.
    pub(super) fn eject(&mut self, now: f64) {
        self.breaker.open(now);
        self.failed_since_closed = 0;
    }

    /// Share of prompt tokens the provider served from its cache, and whether anything is known about it.
    pub(super) fn cache_hits(&self, now: f64) -> Option<f64> {
        let prompt = self.prompt_tokens.at(now, CACHE_HALF_LIFE);
        (prompt > 1.0).then(|| (self.cached_tokens.at(now, CACHE_HALF_LIFE) / prompt).clamp(0.0, 1.0))
    }

    /// Tokens of requests under way.
    pub(super) fn outstanding(&self) -> u64 {
        self.tokens
    }

    /// Recent requests, decayed.
    pub(super) fn traffic(&self, now: f64) -> f64 {
        self.traffic.at(now, HALF_LIFE)
    }

    /// Whether forgetting it loses nothing.
    pub(super) fn idle(&self, now: f64) -> bool {
        self.requests == 0 && now - self.touched > WINDOW
    }

    /// What the public sees; `share` of its model's traffic is the scorer's to know.
    pub(super) fn board(&mut self, share: f64, now: f64) -> Board {
        self.expire(now);
        let (failure, requests) = self.failure(now);
        let slow_side = |v: Vec<f64>| percentiles(&v, |q| q);
        // Whole answers include the time to their first token, so they count where nothing was streamed.
        let streamed = self.samples.iter().any(|s| s.streamed && s.speed.is_some());
        let speeds = self.values(None, |s| s.speed.filter(|_| s.streamed == streamed));
        Board {
            ttft_ms: slow_side(self.values(None, |s| s.ttft.map(|t| t * 1e3))),
            tokens_per_second: percentiles(&speeds, |q| 1.0 - q),
            e2e_ms: slow_side(self.values(None, |s| Some(s.total * 1e3))),
            uptime: (requests > 0.01).then_some(1.0 - failure),
            samples: self.samples.len(),
            outstanding_requests: self.requests,
            outstanding_tokens: self.tokens,
            share,
            score: self.score,
            available: self.breaker.state(now) != Gate::Open,
        }
    }
}

/// `ttft` of a streamed answer only.
fn sample(now: f64, input: u32, output: u32, ttft: Option<Duration>, total: Duration) -> Sample {
    let total = total.as_secs_f64();
    let ttft = ttft.map(|ttft| ttft.as_secs_f64().min(total));
    let speed = match (ttft, output) {
        (_, 0) | (Some(_), 1) => None,
        // The first token is what the time to it was spent on; the rest arrived after it.
        (Some(ttft), n) => Some(f64::from(n - 1) / (total - ttft)),
        (None, n) => Some(f64::from(n) / total),
    };
    // Division by nothing is infinite, and clamped as such.
    let speed = speed.map(|speed| speed.clamp(SLOWEST, FASTEST));
    Sample { at: now, bucket: bucket(input), streamed: ttft.is_some(), ttft, speed, output: output.into(), total }
}

fn at(sorted: Vec<f64>, q: f64) -> Option<(f64, usize)> {
    quantile(&sorted, q).map(|value| (value, sorted.len()))
}

fn percentiles(sorted: &[f64], side: impl Fn(f64) -> f64) -> Option<Percentiles> {
    let at = |q: f64| quantile(sorted, side(q));
    Some(Percentiles { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
}
