//! What is known about one offer: how fast it answers, its rates of failure, its load, its breaker and the caps it taught.
//! Seconds count from the scorer's beginning.

use super::ask::{Ask, Gate};
use super::billed::Billed;
use super::breaker::{Breaker, Witness};
use super::candidate::{Live, reading};
use super::evidence::Evidence;
use super::limit::Limit;
use super::pace::Pace;
use super::shown::{Shown, WINDOW};
use super::stats::{Decay, Decayed, Mean, quantile};
use super::ticket::Ticket;
use super::{FailureKind, LiveFigures, Outcome, Percentiles};
use std::sync::Arc;

/// Half-life of the traffic rate, in seconds.
const HALF_LIFE: f64 = 60.0;
/// Half-life of the cache-hit rates, in seconds.
const CACHE_HALF_LIFE: f64 = 300.0;
/// How attempts count towards the rate of failures.
const FAILURES: Decay = Decay { seconds: 300.0, samples: 40.0 };
/// How attempts count towards the rate of those that were late, which is known by few: who serves everybody late from now on must
/// not live on its past.
const LATE: Decay = Decay { seconds: 300.0, samples: 5.0 };
/// How answers count towards the rate of those that break off, which are rare.
const BROKEN: Decay = Decay { seconds: 1_800.0, samples: 150.0 };
/// How failures count towards what one costs in time.
const LOST: Decay = Decay { seconds: 600.0, samples: 10.0 };
/// Seconds for which a 429 is remembered when a third provider is to be tried.
const LIMITED_FOR: f64 = 60.0;

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
    pub(super) pace: Pace,
    shown: Shown,
    /// Factor on its objective for dishonesty.
    pub(super) penalty: f32,
    /// When it was last heard of.
    touched: f64,
    /// Answers that were verified, ever.
    verified: u32,
    /// Whether others were established when it was first a candidate.
    came_later: Option<bool>,
    /// Whether it came later and has too few answers verified since, or was not compared with others yet.
    pub(super) is_new: bool,
    breaker: Breaker,
    limit: Limit,
    failures: Mean,
    /// Share of attempts that were late, of these and those that were served.
    late: Mean,
    /// Share of attempts at whole answers that failed: who serves streams alone fails these all the same.
    whole: Mean,
    /// Share of attempts that were served, 429s and all: for people.
    up: Mean,
    /// Failures since the last answer.
    in_a_row: u32,
    broken: Mean,
    /// Seconds that an attempt took which failed.
    lost: Mean,
    /// Tokens of prompts and of answers by the relayer's own count, and as they were billed.
    prompts: Billed,
    answers: Billed,
    limited_at: Option<f64>,
    first_hits: Hits,
    repeat_hits: Hits,
    traffic: Decayed,
    /// When it served somebody last.
    served_at: Option<f64>,
    requests: u32,
    /// Those of them that say something to everybody.
    counted: u32,
    tokens: u64,
}

impl Tracker {
    pub(super) fn new(now: f64) -> Self {
        Self { touched: now, penalty: 1.0, is_new: true, ..Self::default() }
    }

    /// A request passes it by, whose breaker is open. Returns whether that changes its gate.
    pub(super) fn passed(&mut self) -> bool {
        self.breaker.passed()
    }

    /// The request `ask` was sent, whose prompt should be cached by a share of `hits`. One that says
    /// something to everybody may be the probe of a breaker.
    pub(super) fn started(&mut self, ask: &Ask, hits: f64, weight: f32, now: f64) -> Ticket {
        self.touched = now;
        self.requests = self.requests.saturating_add(1);
        let tokens = ask.input_tokens.saturating_add(ask.expected_output);
        self.tokens = self.tokens.saturating_add(u64::from(tokens));
        self.traffic.add(1.0, now, HALF_LIFE);
        self.limit.started(now);
        let fresh = (f64::from(ask.input_tokens) * (1.0 - hits)).round() as u32;
        let ticket = Ticket { at: now, load: self.requests, tokens, fresh, weight, began: false };
        if !ticket.counts() {
            return ticket;
        }
        self.counted = self.counted.saturating_add(1);
        self.breaker.started();
        ticket
    }

    /// The first token of the request with `ticket` came.
    pub(super) fn began(&mut self, ask: &Ask, ticket: &mut Ticket, now: f64) {
        if !ask.streamed || std::mem::replace(&mut ticket.began, true) {
            return;
        }
        self.pace.began(now - ticket.at, (ask.input_tokens, ticket.fresh), ticket.weight.into(), now);
    }

    /// A request ended; `ticket` is of when it was sent, if that was told. `asked` is the request, if it is known; `repeated` is
    /// whether this offer had served the beginning of its prompt before. What does not count for everybody teaches nothing
    /// but the load.
    pub(super) fn observe(
        &mut self,
        outcome: &Outcome,
        ticket: Option<&Ticket>,
        (asked, repeated): (Option<&Ask>, bool),
        (evidence, probes): (&Evidence, bool),
        now: f64,
    ) {
        self.touched = now;
        if let Some(ticket) = ticket {
            self.requests = self.requests.saturating_sub(1);
            self.counted = self.counted.saturating_sub(u32::from(ticket.counts()));
            self.tokens = self.tokens.saturating_sub(u64::from(ticket.tokens));
        }
        if matches!(outcome, Outcome::Served { .. }) {
            self.served_at = Some(now);
        }
        // The rest is about what clients can bend.
        if !evidence.counts() {
            return;
        }
        let weight = f64::from(evidence.weight);
        self.timed(outcome, ticket, (asked, repeated), weight, now);
        let whole = asked.is_some_and(|ask| !ask.streamed);
        match outcome {
            Outcome::Served { input_tokens, output_tokens, received_tokens, .. } => {
                self.breaker.served();
                self.in_a_row = 0;
                self.verified = self.verified.saturating_add(1);
                self.attempted((0.0, weight), whole, now);
                self.late.add(0.0, weight, now, LATE);
                self.up.add(1.0, weight, now, FAILURES);
                self.broken.add(0.0, weight, now, BROKEN);
                if let Some(ask) = asked.filter(|_| evidence.lengths) {
                    self.prompts.add(ask.input_tokens, *input_tokens, weight, now);
                    self.answers.add(*received_tokens, *output_tokens, weight, now);
                }
            }
            Outcome::Failed { kind, retry_after } => {
                self.up.add(0.0, weight, now, FAILURES);
                self.failed(*kind, retry_after.map(|d| d.as_secs_f64()), (ticket, whole), (evidence, probes), now);
            }
            Outcome::Overtaken { waited, late, .. } => {
                self.breaker.neutral();
                if *late {
                    self.attempted((1.0, weight), whole, now);
                    self.late.add(1.0, weight, now, LATE);
                    self.lost.add(waited.as_secs_f64(), weight, now, LOST);
                }
            }
            Outcome::Neutral => self.breaker.neutral(),
        }
    }

    /// What an answer shows of times, loads and caches. Sizes are the relayer's own counts: a provider that bills more tokens
    /// neither reads nor writes any faster.
    fn timed(
        &mut self,
        outcome: &Outcome,
        ticket: Option<&Ticket>,
        (asked, repeated): (Option<&Ask>, bool),
        weight: f64,
        now: f64,
    ) {
        match outcome {
            Outcome::Served { streamed, input_tokens, cached_tokens, received_tokens, ttft, total, .. } => {
                let hits = if repeated { &mut self.repeat_hits } else { &mut self.first_hits };
                hits.add(*input_tokens, *cached_tokens, now);
                let prompt = asked.map_or(*input_tokens, |ask| ask.input_tokens);
                let cached = f64::from(*cached_tokens) / f64::from((*input_tokens).max(1));
                let fresh = (f64::from(prompt) * (1.0 - cached.min(1.0))).round() as u32;
                let (first, whole) = (ttft.as_secs_f64(), total.as_secs_f64());
                let output = f64::from(*received_tokens);
                if let Some(ticket) = ticket {
                    self.pace.took(whole, (reading(fresh.into()), output), ticket.load.into(), weight, now);
                }
                if *streamed && !ticket.is_some_and(|ticket| ticket.began) {
                    self.pace.began(first, (prompt, fresh), weight, now);
                }
                if *streamed {
                    self.pace.wrote(whole - first, output - 1.0, None, weight, now);
                } else {
                    self.pace.wrote(whole, output, Some(reading(fresh.into())), weight, now);
                }
                self.shown.push(now, *received_tokens, streamed.then_some(*ttft), *total);
            }
            Outcome::Overtaken { input_tokens, waited, late: false } => {
                self.pace.began(waited.as_secs_f64(), (*input_tokens, *input_tokens), weight, now);
                self.shown.push(now, 0, Some(*waited), *waited);
            }
            // How long it would have taken is not known, and that it was too long counts as a failure.
            Outcome::Overtaken { late: true, .. } | Outcome::Failed { .. } | Outcome::Neutral => {}
        }
    }

    fn failed(
        &mut self,
        kind: FailureKind,
        retry_after: Option<f64>,
        (ticket, whole): (Option<&Ticket>, bool),
        (evidence, probes): (&Evidence, bool),
        now: f64,
    ) {
        if kind.is_rate_limit() {
            self.limited_at = Some(now);
            self.limit.limited(self.requests, now);
            return match retry_after {
                Some(_) => self.breaker.failed(now, retry_after, 0.0),
                // It serves others meanwhile, or will soon: too many is all that this says, and the caps learn it.
                None => self.breaker.neutral(),
            };
        }
        let weight = f64::from(evidence.weight);
        let content = ticket.is_none_or(|ticket| ticket.began);
        if content && matches!(kind, FailureKind::CutStream | FailureKind::IdleTimeout) {
            // It had begun to answer, and each user whose answer broke off lost it.
            self.broken.add(1.0, weight, now, BROKEN);
            self.attempted((0.0, weight), whole, now);
        } else {
            // Failures in a row say that it is down, which the breaker knows; the rate is about how often that begins.
            let begins = f64::from(self.in_a_row.min(60)).exp2().recip();
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.attempted((1.0, weight * begins), whole, now);
            if let Some(ticket) = ticket {
                self.lost.add(now - ticket.at, weight, now, LOST);
            }
        }
        let witness = match evidence.vault {
            Some(vault) if !kind.is_nobodys_doing() => Witness::Vault(vault),
            _ => Witness::Own,
        };
        self.breaker.accused(now, retry_after, kind.counts_as(evidence.weight.into()), witness, probes);
    }

    /// An attempt ended, which failed or not, with its weight.
    fn attempted(&mut self, (failed, weight): (f64, f64), whole: bool, now: f64) {
        self.failures.add(failed, weight, now, FAILURES);
        if whole {
            self.whole.add(failed, weight, now, FAILURES);
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

    /// Requests it is working on that say something to everybody.
    pub(super) fn counted(&self) -> u32 {
        self.counted
    }

    /// Its load as of now. A newcomer's cap is of the requests that count: the others neither show what it can do nor take
    /// the places of those that do.
    pub(super) fn live(&self, now: f64) -> Live {
        let cap = self.limit.cap(now).unwrap_or(Live::UNCAPPED);
        let others = self.requests.saturating_sub(self.counted);
        Live {
            tokens: u32::try_from(self.tokens).unwrap_or(u32::MAX),
            requests: self.requests,
            cap: if self.is_new { cap.min(self.verified.saturating_add(1).saturating_add(others)) } else { cap },
            gate: self.breaker.state(now),
            paced: self.limit.paced(now),
            limited: self.limited_at.is_some_and(|at| now - at < LIMITED_FOR),
            until: self.breaker.until(now).min(self.limit.until(now)),
        }
    }

    /// Rate of failures that another provider can make good, and the attempts it comes from: of all, or of those that were late if
    /// that is higher, or of those at whole answers where that is higher and a whole answer is asked for.
    pub(super) fn failure(&self, streamed: bool, now: f64) -> (f64, f64) {
        let of = |mean: &Mean, decay| (mean.value().unwrap_or(0.0), mean.weight(now, decay));
        let (all, late) = (of(&self.failures, FAILURES), of(&self.late, LATE));
        let worst = if late.0 > all.0 { late } else { all };
        let whole = of(&self.whole, FAILURES);
        if !streamed && whole.0 > worst.0 { whole } else { worst }
    }

    /// Rate of answers that broke off, and the answers it comes from.
    pub(super) fn broken(&self, now: f64) -> (f64, f64) {
        (self.broken.value().unwrap_or(0.0), self.broken.weight(now, BROKEN))
    }

    /// Seconds that an attempt took which failed, and the failures it comes from.
    pub(super) fn lost(&self, now: f64) -> (f64, f64) {
        (self.lost.value().unwrap_or(0.0), self.lost.weight(now, LOST))
    }

    /// Of prompts and of answers: tokens billed for one that was counted, and the tokens counted.
    pub(super) fn billing(&self, now: f64) -> [Option<(f64, f64)>; 2] {
        [self.prompts.ratio(now), self.answers.ratio(now)]
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
        self.is_new = came_later && !self.established(answers);
        self.is_new
    }

    /// Whether it was found to have come to a market that was there before it, and has fewer than `answers` verified since.
    pub(super) fn is_newcomer(&self, answers: u32) -> bool {
        self.came_later == Some(true) && !self.established(answers)
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
        self.shown.expire(now);
        let [ttft, speed, total] = self.shown.sorted();
        LiveFigures {
            ttft_ms: percentiles(&ttft, |q| q),
            tokens_per_second: percentiles(&speed, |q| 1.0 - q),
            e2e_ms: percentiles(&total, |q| q),
            uptime: self.up.value().filter(|_| self.up.weight(now, FAILURES) > 0.01),
            samples: self.shown.len(),
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
