//! What a provider truly is, and how one attempt at it goes.

use super::{Condition, Effect, Episode, Request};
use crate::draw::{exponential, lognormal};
use rand::Rng;
use std::time::Duration;
use steam::score::FailureKind;
use steam_protocol::units::{Price, Usage};

/// Time in which a connection that is not taken fails, in seconds: the relayer's default.
pub const CONNECT_TIMEOUT: f64 = 2.0;
/// Time in which the first content must come, in seconds: the relayer's default.
pub const FIRST_TOKEN_TIMEOUT: f64 = 30.0;
/// Time in which a whole answer must come beyond that, in seconds for each token allowed: the relayer's constant.
const WHOLE_PER_TOKEN: f64 = 0.05;
/// Output limit sent where the request states none: the relayer's default.
const DEFAULT_LIMIT: u32 = 4_096;
/// Time in which a provider refuses, in seconds: a round trip and a little.
const REFUSAL: f64 = 0.1;

/// One provider with one offer.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its usual price.
    pub price: Price,
    /// Time to the first token without load and prompt, in seconds, median.
    pub ttft: f64,
    /// Prompt tokens read a second.
    pub prefill: f64,
    /// Output tokens a second without load, median.
    pub speed: f64,
    /// Spread of both from answer to answer: the lognormal's sigma.
    pub jitter: f64,
    /// What makes some first tokens late, if anything does.
    pub tail: Option<Tail>,
    /// Requests at once that it is built for.
    pub capacity: f64,
    /// Requests at once that it takes of one relayer, if that is limited: more get a 429.
    pub at_once: Option<u32>,
    /// Part of its capacity that others use: mean, swing over the day, and when, in days.
    pub others: (f64, f64, f64),
    /// Share of requests answered with a 5xx on a good day.
    pub errors: f64,
    /// Share of requests never answered.
    pub hangs: f64,
    /// Share of streams cut.
    pub cuts: f64,
    /// What it lets one relayer ask, if it limits that.
    pub limit: Option<Limit>,
    /// How long it keeps a prompt's prefix, in seconds, if it does.
    pub cache: Option<f64>,
    /// Tokens it bills for each it read or wrote.
    pub inflation: f64,
    /// When its offer appears, in seconds.
    pub listed: f64,
    /// What happens to it.
    pub episodes: Vec<Episode>,
}

/// First tokens that come late.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// Share of requests whose first token is late.
    pub share: f64,
    /// By how much on average, in seconds; exponential.
    pub seconds: f64,
}

/// A rate limit, as a bucket of requests.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Requests a second in the long run.
    pub rate: f64,
    /// Requests at once.
    pub burst: f64,
    /// Whether it says when to come back.
    pub says_when: bool,
}

/// Under what circumstances an attempt is made.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// When, in seconds.
    pub at: f64,
    /// Used part of the capacity, this request included; more than 1 where it is asked for more.
    pub utilisation: f64,
    /// Prompt tokens it has in its cache.
    pub cached: u32,
}

/// How an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// Nothing reached the client: the next provider is tried.
    Failed {
        /// Seconds until that is known.
        after: f64,
        /// In what way.
        kind: FailureKind,
    },
    /// The client had part of the answer.
    Cut {
        /// Seconds to the first token.
        ttft: f64,
        /// Seconds until it ended.
        after: f64,
        /// Tokens delivered.
        delivered: u32,
    },
    /// All went well.
    Served {
        /// Seconds to the first token.
        ttft: f64,
        /// Seconds in all.
        total: f64,
    },
}

impl Fate {
    /// Seconds until there is something to hand on, of an answer that is not `streamed` all of it; never, where it fails.
    pub fn first(&self, streamed: bool) -> f64 {
        match *self {
            Self::Failed { .. } => f64::INFINITY,
            Self::Cut { ttft, .. } => ttft,
            Self::Served { ttft, total } => {
                if streamed {
                    ttft
                } else {
                    total
                }
            }
        }
    }
}

impl Provider {
    /// The price in force.
    pub fn price_at(&self, at: f64) -> Price {
        let current = self.episodes.iter().filter(|e| (e.from..e.until).contains(&at));
        let factor: f64 = current.map(|e| if let Effect::Price { factor } = e.effect { factor } else { 1.0 }).product();
        scaled(&self.price, factor)
    }

    /// How it is at `at`.
    pub fn condition(&self, at: f64) -> Condition {
        let usual = Condition { slower: 1.0, errors: self.errors, hangs: self.hangs, cuts: self.cuts, down: None };
        self.episodes.iter().fold(usual, |condition, episode| condition.under(episode, at))
    }

    /// Used part of its capacity with `own` requests of this relayer; `day` is how much of the day has passed.
    pub fn utilisation(&self, own: f64, day: f64) -> f64 {
        let (mean, swing, phase) = self.others;
        (mean + swing * (std::f64::consts::TAU * (day + phase)).sin()).max(0.0) + own / self.capacity
    }

    /// Median seconds to the first token and output tokens a second. Both fall off as the provider fills; beyond its capacity
    /// its throughput stays what it is, so that each of twice as many requests takes twice as long.
    pub fn pace(&self, request: &Request, situation: &Situation, condition: &Condition) -> (f64, f64) {
        let used = situation.utilisation;
        let slower = condition.slower * if used < 1.0 { 1.0 + used * used } else { 2.0 * used };
        let reading = f64::from(request.input - situation.cached) / self.prefill;
        ((self.ttft + reading) * slower, self.speed / slower)
    }

    /// When it next goes down between `from` and `until`.
    pub fn goes_down(&self, from: f64, until: f64) -> Option<f64> {
        let down = self.episodes.iter().filter(|e| matches!(e.effect, Effect::Down { .. }));
        down.map(|e| e.from).filter(|&at| at > from && at < until).min_by(f64::total_cmp)
    }

    /// What it bills for a served request.
    pub fn claim(&self, request: &Request, cached: u32) -> Usage {
        let inflated = |tokens: u32| (f64::from(tokens) * self.inflation).round() as u32;
        Usage {
            requests: 1,
            input: inflated(request.input - cached),
            cached,
            output: inflated(request.output),
            ..Usage::default()
        }
    }

    /// How an attempt at it goes.
    pub fn attempt(&self, request: &Request, situation: &Situation, rng: &mut impl Rng) -> Fate {
        // All is drawn first, so that whatever happens the numbers stay with their meaning.
        let [error, hang, cut, place] = std::array::from_fn(|_| rng.random::<f64>());
        let [late, slow] = std::array::from_fn(|_| lognormal(rng, 1.0, self.jitter));
        let tail = self.tail.map_or(0.0, |tail| {
            let delayed = rng.random::<f64>() < tail.share;
            let delay = exponential(rng, tail.seconds);
            if delayed { delay } else { 0.0 }
        });
        let condition = self.condition(situation.at);
        let failed = |after, kind| Fate::Failed { after, kind };
        match condition.down {
            Some(true) => return failed(CONNECT_TIMEOUT, FailureKind::Connect),
            Some(false) => return failed(REFUSAL, FailureKind::Connect),
            None => {}
        }
        let (ttft, speed) = self.pace(request, situation, &condition);
        let ttft = ttft * late + tail;
        if error < condition.errors {
            return failed(REFUSAL + ttft / 2.0, FailureKind::Status(503));
        }
        let writing = f64::from(request.output.max(1) - 1) * slow / speed;
        let patience = patience(request);
        let first = if request.streamed { ttft } else { ttft + writing };
        if hang < condition.hangs || first > patience {
            return failed(patience, FailureKind::FirstTokenTimeout);
        }
        let total = ttft + writing;
        let torn = (cut < condition.cuts).then_some(ttft + place * writing);
        let down = self.goes_down(situation.at, situation.at + total).map(|at| at - situation.at);
        match [torn, down].into_iter().flatten().min_by(f64::total_cmp) {
            None => Fate::Served { ttft, total },
            Some(after) if !request.streamed || after < ttft => failed(after, FailureKind::CutStream),
            Some(after) => {
                let part = if writing > 0.0 { (after - ttft) / writing } else { 0.0 };
                Fate::Cut { ttft, after, delivered: (f64::from(request.output) * part) as u32 }
            }
        }
    }
}

impl Limit {
    /// What a provider at its limit says: when a request is next let in, if it does say.
    pub fn retry_after(&self, tokens: f64) -> Option<Duration> {
        self.says_when.then(|| Duration::from_secs_f64(((1.0 - tokens) / self.rate).ceil()))
    }
}

/// Seconds that the first content of `request` is waited for, which of a whole answer is all of it.
pub fn patience(request: &Request) -> f64 {
    let whole = WHOLE_PER_TOKEN * f64::from(request.limit.unwrap_or(DEFAULT_LIMIT));
    FIRST_TOKEN_TIMEOUT + if request.streamed { 0.0 } else { whole }
}

/// Every component of `price` times `factor`.
pub fn scaled(price: &Price, factor: f64) -> Price {
    let by = |part: u64| (part as f64 * factor).round() as u64;
    Price::basic(by(price.input), by(price.cached), by(price.output), by(price.request))
}

/// Seconds in which a provider at its limit answers 429.
pub const fn limited_after() -> f64 {
    REFUSAL
}
