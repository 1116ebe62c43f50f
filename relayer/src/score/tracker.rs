//! What is known about one offer: its answers, decayed rates, its load, its breaker and the caps it taught. Seconds
//! count from the scorer's beginning.

use super::answers::{Answers, WINDOW};
use super::ask::{Ask, Gate};
use super::breaker::{Breaker, Witness};
use super::candidate::Live;
use super::evidence::Evidence;
use super::limit::Limit;
use super::stats::{Decayed, quantile};
use super::{FailureKind, LiveFigures, Outcome, Percentiles};
use std::sync::Arc;

/// Half-life of failure and traffic rates, in seconds.
const HALF_LIFE: f64 = 60.0;
/// Half-life of the cache-hit rates, in seconds.
const CACHE_HALF_LIFE: f64 = 300.0;
/// Half-life of what is rare or changes seldom, in seconds: answers that break off, and how tokens are billed.
const LONG_HALF_LIFE: f64 = 3_600.0;
/// Requests under way that an offer must be working on to be silent.
const SILENT_REQUESTS: u32 = 3;
/// Usual intervals between ends without one that are silence: of Poisson arrivals one in 3,000 is as long.
const SILENT_INTERVALS: f64 = 8.0;
/// The shortest silence, in seconds.
const LEAST_SILENCE: f64 = 5.0;
/// Seconds for which a 429 is remembered when a third provider is to be tried.
const LIMITED_FOR: f64 = 60.0;
/// What a 429 counts as a failure: it is told at once and costs a detour, where a dead provider costs a timeout.
const LIMITED: f64 = 0.25;
/// What is left of the failures while it was away, once an offer is back.
const FORGIVEN: f64 = 0.25;

/// Prompt tokens, and those of them that came from a cache.
#[derive(Clone, Copy, Debug, Default)]
struct Hits {
    prompt: Decayed,
    cached: Decayed,
}

impl Hits {
    fn add(&mut self, prompt: u32, cached: u32, now: f64) {
        self.prompt.add(prompt.into(), now, CACHE_HALF_LIFE);
        self.cached.add(cached.min(prompt).into(), now, CACHE_HALF_LIFE);
    }

    fn rate(&self, now: f64) -> Option<f64> {
        let prompt = self.prompt.at(now, CACHE_HALF_LIFE);
        (prompt > 1.0).then(|| (self.cached.at(now, CACHE_HALF_LIFE) / prompt).clamp(0.0, 1.0))
    }
}

/// What is known about one offer.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The model it serves, once it was a candidate.
    pub(super) model: Option<Arc<str>>,
    pub(super) answers: Answers,
    /// Factor on its objective for dishonesty.
    pub(super) penalty: f32,
    /// When it was last heard of.
    touched: f64,
    /// Answers that were verified, ever.
    verified: u32,
    /// Whether others were established when it was first a candidate.
    came_later: Option<bool>,
    breaker: Breaker,
    limit: Limit,
    served: Decayed,
    failed: Decayed,
    ended: Decayed,
    broken: Decayed,
    estimated: Decayed,
    billed: Decayed,
    load: Decayed,
    loads: Decayed,
    limited_at: Option<f64>,
    /// When a request ended last, or when the first of those under way began if that is later.
    heard: f64,
    failed_since_closed: u32,
    first_hits: Hits,
    repeat_hits: Hits,
    traffic: Decayed,
    /// When it served somebody last.
    served_at: Option<f64>,
    requests: u32,
    tokens: u64,
}

impl Tracker {
    pub(super) fn new(now: f64) -> Self {
        Self { touched: now, penalty: 1.0, ..Self::default() }
    }

    /// A request was sent. One that `counts` for everybody may be the probe of a breaker.
    pub(super) fn started(&mut self, tokens: u32, counts: bool, now: f64) {
        self.touched = now;
        if self.requests == 0 {
            self.heard = now;
        }
        self.requests = self.requests.saturating_add(1);
        self.tokens = self.tokens.saturating_add(u64::from(tokens));
        self.traffic.add(1.0, now, HALF_LIFE);
        self.limit.started(now);
        if counts {
            self.breaker.started();
        }
    }

    /// A request ended. `asked` is the request, if it is known; `repeated` is whether this offer had served the beginning of its
    /// prompt before. What does not count for everybody teaches nothing but the load.
    pub(super) fn observe(
        &mut self,
        outcome: &Outcome,
        (asked, repeated): (Option<&Ask>, bool),
        (evidence, probes): (&Evidence, bool),
        now: f64,
    ) {
        self.touched = now;
        // One that was not waited for said nothing: an offer that is always overtaken may be silent.
        if !matches!(outcome, Outcome::Overtaken { .. }) {
            self.heard = now;
        }
        let load = self.requests;
        // Which of the requests ended is not told, so the average one leaves; with the last, everything does.
        self.tokens -= self.tokens.checked_div(u64::from(self.requests)).unwrap_or(self.tokens);
        self.requests = self.requests.saturating_sub(1);
        self.timed(outcome, repeated, load, now);
        // The rest is about what clients can bend.
        if !evidence.counts() {
            return;
        }
        let weight = f64::from(evidence.weight);
        match outcome {
            Outcome::Served { input_tokens, output_tokens, .. } => {
                if self.breaker.served() {
                    // It is back: what it did while it was away weighs less.
                    self.failed.scale(FORGIVEN);
                    self.failed_since_closed = 0;
                }
                self.verified = self.verified.saturating_add(1);
                self.served.add(weight, now, HALF_LIFE);
                self.ended.add(weight, now, LONG_HALF_LIFE);
                if let Some(ask) = asked {
                    let estimate = f64::from(ask.input_tokens) + f64::from(ask.expected_output);
                    self.estimated.add(estimate, now, LONG_HALF_LIFE);
                    self.billed.add(f64::from(*input_tokens) + f64::from(*output_tokens), now, LONG_HALF_LIFE);
                }
            }
            Outcome::Failed { kind, retry_after } => {
                self.failed(*kind, retry_after.map(|d| d.as_secs_f64()), (evidence, probes), now);
            }
            Outcome::Overtaken { .. } | Outcome::Neutral => self.breaker.neutral(),
        }
    }

    /// What an answer shows of times, loads and caches.
    fn timed(&mut self, outcome: &Outcome, repeated: bool, load: u32, now: f64) {
        match outcome {
            Outcome::Served { streamed, input_tokens, cached_tokens, output_tokens, ttft, total } => {
                self.served_at = Some(now);
                self.load.add(load.into(), now, HALF_LIFE);
                self.loads.add(1.0, now, HALF_LIFE);
                let hits = if repeated { &mut self.repeat_hits } else { &mut self.first_hits };
                hits.add(*input_tokens, *cached_tokens, now);
                let prompt = (*input_tokens, *cached_tokens);
                self.answers.push(now, prompt, *output_tokens, streamed.then_some(*ttft), *total);
            }
            Outcome::Overtaken { input_tokens, waited } => {
                self.answers.push(now, (*input_tokens, 0), 0, Some(*waited), *waited);
            }
            Outcome::Failed { .. } | Outcome::Neutral => {}
        }
    }

    fn failed(&mut self, kind: FailureKind, retry_after: Option<f64>, (evidence, probes): (&Evidence, bool), now: f64) {
        let weight = f64::from(evidence.weight);
        self.failed_since_closed = self.failed_since_closed.saturating_add(1);
        if !kind.is_rate_limit() {
            let broken = matches!(kind, FailureKind::CutStream | FailureKind::IdleTimeout);
            self.ended.add(weight, now, LONG_HALF_LIFE);
            self.broken.add(if broken { weight } else { 0.0 }, now, LONG_HALF_LIFE);
            self.failed.add(weight, now, HALF_LIFE);
            let witness = match evidence.vault {
                Some(vault) if !kind.is_nobodys_doing() => Witness::Vault(vault),
                _ => Witness::Own,
            };
            return self.breaker.accused(now, retry_after, kind.counts_as(weight), witness, probes);
        }
        self.failed.add(LIMITED * weight, now, HALF_LIFE);
        self.limited_at = Some(now);
        self.limit.limited(self.requests, now);
        if self.requests > 0 && retry_after.is_none() {
            // It serves others meanwhile: too many at once is all that this says.
            self.breaker.neutral();
        } else {
            self.breaker.failed(now, retry_after, kind.counts_as(weight));
        }
    }

    /// When it served somebody last, whoever that was; before everything if it never did.
    pub(super) fn served_at(&self) -> f64 {
        self.served_at.unwrap_or(f64::NEG_INFINITY)
    }

    /// Whether a probe should tell if it fails everybody.
    pub(super) fn suspected(&self) -> bool {
        self.breaker.suspected()
    }

    /// Its load as of now.
    pub(super) fn live(&self, now: f64) -> Live {
        let cap = self.limit.cap(now).unwrap_or(Live::UNCAPPED);
        let silent_at = self.silent_at(now);
        let silence = if now < silent_at { silent_at } else { f64::INFINITY };
        Live {
            tokens: u32::try_from(self.tokens).unwrap_or(u32::MAX),
            requests: self.requests,
            cap,
            gate: self.breaker.state(now),
            paced: self.limit.paced(now),
            silent: now >= silent_at,
            limited: self.limited_at.is_some_and(|at| now - at < LIMITED_FOR),
            until: self.breaker.until(now).min(self.limit.until(now)).min(silence),
        }
    }

    /// When it is to be taken for silent if nothing ends until then: long before the first of its requests times out.
    fn silent_at(&self, now: f64) -> f64 {
        let rate = self.loads.at(now, HALF_LIFE) * std::f64::consts::LN_2 / HALF_LIFE;
        if self.requests < SILENT_REQUESTS || rate <= 0.0 {
            return f64::INFINITY;
        }
        self.heard + (SILENT_INTERVALS / rate).max(LEAST_SILENCE)
    }

    /// Decayed failure rate and the requests it comes from.
    pub(super) fn failure(&self, now: f64) -> (f64, f64) {
        let (served, failed) = (self.served.at(now, HALF_LIFE), self.failed.at(now, HALF_LIFE));
        let requests = served + failed;
        (if requests > 0.0 { failed / requests } else { 0.0 }, requests)
    }

    /// Decayed rate of answers that broke off, and the answers it comes from.
    pub(super) fn broken(&self, now: f64) -> (f64, f64) {
        let (broken, ended) = (self.broken.at(now, LONG_HALF_LIFE), self.ended.at(now, LONG_HALF_LIFE));
        (if ended > 0.0 { (broken / ended).min(1.0) } else { 0.0 }, ended)
    }

    /// Tokens billed for one that was estimated, and the tokens estimated.
    pub(super) fn billing(&self, now: f64) -> Option<(f64, f64)> {
        let estimated = self.estimated.at(now, LONG_HALF_LIFE);
        (estimated >= 1.0).then(|| (self.billed.at(now, LONG_HALF_LIFE) / estimated, estimated))
    }

    /// Requests it was working on, itself included, when an answer ended.
    pub(super) fn usual_load(&self, now: f64) -> f64 {
        let loads = self.loads.at(now, HALF_LIFE);
        if loads > 0.0 { self.load.at(now, HALF_LIFE) / loads } else { 0.0 }
    }

    /// Answers verified before it was tracked.
    pub(super) fn seed_from_history(&mut self, answers: u32) {
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

    /// Whether it was found to have come to a market that was there before it, and has fewer than `answers` verified since.
    pub(super) fn is_newcomer(&self, answers: u32) -> bool {
        self.came_later == Some(true) && !self.established(answers)
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

    /// What is left of its cooldown, in seconds.
    pub(super) fn cooldown(&self, now: f64) -> Option<f64> {
        self.breaker.cooldown(now)
    }

    /// Its breaker.
    pub(super) fn gate(&self, now: f64) -> Gate {
        self.breaker.state(now)
    }

    /// Share of prompt tokens the provider served from its cache when it had not served the prompt's beginning before,
    /// if anything is known about it.
    pub(super) fn cache_hits(&self, now: f64) -> Option<f64> {
        self.first_hits.rate(now)
    }

    /// The same for prompts whose beginning it had served.
    pub(super) fn repeat_hits(&self, now: f64) -> Option<f64> {
        self.repeat_hits.rate(now)
    }

    /// Recent requests, decayed.
    pub(super) fn traffic(&self, now: f64) -> f64 {
        self.traffic.at(now, HALF_LIFE)
    }

    /// Whether forgetting it loses nothing.
    pub(super) fn idle(&self, now: f64) -> bool {
        self.requests == 0 && now - self.touched > WINDOW
    }

    /// The live figures; the scorer knows the `share` of the model's traffic and the `score`.
    pub(super) fn live_figures(&mut self, share: f64, score: Option<f64>, now: f64) -> LiveFigures {
        self.answers.expire(now);
        let (failure, requests) = self.failure(now);
        let [ttft, speed, total] = self.answers.shown();
        LiveFigures {
            ttft_ms: percentiles(&ttft, |q| q),
            tokens_per_second: percentiles(&speed, |q| 1.0 - q),
            e2e_ms: percentiles(&total, |q| q),
            uptime: (requests > 0.01).then_some(1.0 - failure),
            samples: self.answers.len(),
            outstanding_requests: self.requests,
            outstanding_tokens: self.tokens,
            share,
            score,
            available: self.gate(now) != Gate::Open,
        }
    }
}

fn percentiles(sorted: &[f64], side: impl Fn(f64) -> f64) -> Option<Percentiles> {
    let at = |q: f64| quantile(sorted, side(q));
    Some(Percentiles { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
}
