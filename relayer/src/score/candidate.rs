//! A candidate as the arithmetic of a choice uses it: its [`Profile`], which is computed before the request comes; its
//! [`Live`] load, which changes with every request; and its [`Group`], which comes before the objective.

use super::ask::{AskedWrites, Gate, Measured, USUAL_WRITE};
use steam_protocol::units::Price;

/// Fixed part of the time to the first token, in prompt tokens: half a second where 6,000 are read in one.
const ALWAYS: f64 = 3_000.0;
/// Highest usual load that is believed, in requests at once.
const MOST_LOAD: f64 = 1e6;
/// Longest time that is expected of anything, in seconds; a measurement that is no number counts as this.
const LONGEST: f64 = 1e6;
/// Speeds that are believed, in tokens a second.
const SPEEDS: (f64, f64) = (1e-3, 1e6);
/// A failure rate counts as at most this.
pub(super) const WORST_FAILURE: f64 = 0.99;
/// A penalty counts as at most this.
const WORST_PENALTY: f64 = 1e3;
/// An idle offer is taken to be at most this much faster.
const LEAST_SLOWED: f64 = 0.3;

/// Candidates of an earlier group are tried before those of a later one, whatever their objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Known, free, and as the client prefers.
    Preferred,
    /// Known and free, but slower than the client prefers.
    Known,
    /// May be back.
    HalfOpen,
    /// At its cap.
    Saturated,
    /// Failing, or in a cooldown that it asked for.
    Open,
}

impl Group {
    fn preferred(self) -> bool {
        self == Self::Preferred
    }

    pub(super) fn explorable(self, chosen: Self) -> bool {
        self <= Self::Known && (self.preferred() || !chosen.preferred())
    }

    pub(super) fn available(self) -> bool {
        self <= Self::HalfOpen
    }
}

/// The part of a candidate that does not depend on the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    /// What it costs.
    standard: Rates,
    /// Most tokens of a prompt at that price.
    long_from: f64,
    /// What it costs with a longer prompt.
    long: Rates,
    /// Seconds to the first token.
    pub(super) ttft: f64,
    /// Seconds an output token.
    pub(super) token: f64,
    /// Factor on its objective for dishonesty.
    pub(super) penalty: f64,
    /// Seconds that failures cost until another provider, or a later attempt, serves the request.
    pub(super) lost: f64,
    /// Rate of answers that break off.
    pub(super) broken: f64,
    /// Requests it is usually working on.
    pub(super) usual_load: f64,
    /// Relative change of its times for each request more or less than that.
    pub(super) slope: f64,
    /// The standard error of its times, relative to them.
    pub(super) doubt: f64,
}

/// µUSDC a prompt token of a request that asks for no cache writes, for those of the shorter lifetime, and for either.
#[derive(Clone, Copy, Debug)]
pub(super) struct PromptPrices([f64; 3]);

impl PromptPrices {
    /// `hits` of the prompt being cached. That is what the offer claimed, so it makes nothing of what a write costs beyond what
    /// is usual: who asks for writes may pay that for the whole prompt.
    fn of(m: &Measured, price: &Price, hits: f64) -> Self {
        let all = [AskedWrites::None, AskedWrites::Short, AskedWrites::Any];
        let one = |writes: AskedWrites| {
            let fresh = writes.input_price(price);
            let usual = fresh.min(price.input.saturating_mul(USUAL_WRITE));
            let beyond = (fresh - usual) as f64;
            billing(m) * ((1.0 - hits) * usual as f64 + hits * price.cached as f64 + beyond) / 1e6
        };
        Self(all.map(one))
    }

    fn at(&self, writes: AskedWrites) -> f64 {
        self.0[writes as usize]
    }
}

/// What a request costs, as expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// µUSDC a prompt token, by the cache writes asked for.
    pub(super) prompt: PromptPrices,
    /// µUSDC an output token.
    pub(super) output: f64,
    /// µUSDC a request.
    pub(super) request: f64,
}

impl Rates {
    fn of(m: &Measured, price: &Price, hits: f64) -> Self {
        Self {
            prompt: PromptPrices::of(m, price, hits),
            output: billing(m) * price.output as f64 / 1e6,
            request: price.request as f64,
        }
    }

    /// µUSDC of a request with so many tokens of prompt and answer, and such cache writes.
    pub(super) fn cost(&self, input: f64, output: f64, writes: AskedWrites) -> f64 {
        input * self.prompt.at(writes) + (output * self.output + self.request)
    }
}

impl Profile {
    /// What a request with a prompt of `input` tokens costs.
    pub(super) fn rates(&self, input: f64) -> &Rates {
        if self.is_long(input) { &self.long } else { &self.standard }
    }

    /// Whether a prompt of `input` tokens costs the price of long ones.
    pub(super) fn is_long(&self, input: f64) -> bool {
        input > self.long_from
    }

    pub(super) fn of(m: &Measured) -> Self {
        let failure = within(m.failure.into(), 0.0, WORST_FAILURE);
        let usual_load = within_or(m.usual_load.into(), 0.0, MOST_LOAD, 0.0);
        let hits = within_or(m.cache_hits.into(), 0.0, 1.0, 0.0);
        Self {
            standard: Rates::of(m, &m.price.standard, hits),
            long_from: if m.price.long_from == 0 { f64::INFINITY } else { f64::from(m.price.long_from) },
            long: Rates::of(m, &m.price.long, hits),
            broken: within(m.broken.into(), 0.0, 1.0),
            usual_load,
            slope: within_or(m.slope.into(), 0.0, 10.0, 0.0),
            ttft: within(m.ttft.into(), 0.0, LONGEST),
            token: within_or(m.speed.into(), SPEEDS.0, SPEEDS.1, SPEEDS.0).recip(),
            penalty: within(m.penalty.into(), 1.0, WORST_PENALTY),
            lost: failure / (1.0 - failure) * within(m.lost.into(), 0.0, LONGEST),
            doubt: within(m.doubt.into(), 0.0, 10.0),
        }
    }
}

/// The part of a candidate that changes with every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// Tokens it is working on.
    pub(super) tokens: u32,
    /// Requests it is working on.
    pub(super) requests: u32,
    /// Most requests at once, as learned from its 429s.
    pub(super) cap: u32,
    pub(super) gate: Gate,
    /// Was sent as many requests lately as it takes.
    pub(super) paced: bool,
    /// Answered 429 lately.
    pub(super) limited: bool,
    /// When it changes though nothing happens, in seconds from the scorer's beginning.
    pub(super) until: f64,
}

impl Live {
    /// The cap of an offer that never answered 429.
    pub(super) const UNCAPPED: u32 = u32::MAX;

    pub(super) fn of(m: &Measured) -> Self {
        Self {
            tokens: m.outstanding_tokens,
            requests: m.outstanding_requests,
            cap: m.cap.unwrap_or(Self::UNCAPPED),
            gate: m.gate,
            paced: m.paced,
            limited: m.limited,
            until: f64::INFINITY,
        }
    }

    fn saturated(&self) -> bool {
        self.paced || self.requests >= self.cap
    }
}

/// What a choice computes of a candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandidateEvaluation {
    /// Expected cost, in µUSDC.
    pub(super) cost: f64,
    /// Expected time, in seconds.
    pub(super) time: f64,
    /// The objective.
    pub(super) score: f64,
    pub(super) group: Group,
    /// Answered 429 lately.
    pub(super) limited: bool,
}

/// The candidates of one choice.
pub(super) trait Candidates {
    fn len(&self) -> usize;
    fn profile(&self, index: usize) -> &Profile;
    fn live(&self, index: usize) -> Live;
    /// The candidate that served the prompt's prefix last.
    fn sticky(&self) -> Option<Sticky>;
}

/// The candidate that served the prompt's prefix last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sticky {
    pub(super) index: usize,
    /// What a prompt token costs, given what it has cached.
    pub(super) prompt: PromptPrices,
    /// The same of a long prompt.
    pub(super) long_prompt: PromptPrices,
    /// Share of the prompt that it need not read again.
    pub(super) hits: f64,
}

impl Sticky {
    pub(super) fn of(index: usize, m: &Measured, hits: f32) -> Self {
        let usual = within_or(m.cache_hits.into(), 0.0, 1.0, 0.0);
        let hits = within_or(hits.into(), 0.0, 1.0, 0.0).max(usual);
        let price = |price: &Price| PromptPrices::of(m, price, hits);
        Self { index, prompt: price(&m.price.standard), long_prompt: price(&m.price.long), hits }
    }
}

/// Time to the first token of a prompt of `tokens`, relative to a prompt of 1,000: a fixed part, and a part for reading.
pub(super) fn reading(tokens: f64) -> f64 {
    (ALWAYS + tokens) / (ALWAYS + 1_000.0)
}

/// Tokens billed for one counted.
fn billing(m: &Measured) -> f64 {
    within_or(m.billing.into(), 0.01, 100.0, 1.0)
}

/// `x` within its range; what is no number is the worst, the upper end.
pub(super) fn within(x: f64, low: f64, high: f64) -> f64 {
    within_or(x, low, high, high)
}

fn within_or(x: f64, low: f64, high: f64, otherwise: f64) -> f64 {
    if x.is_nan() { otherwise } else { x.clamp(low, high) }
}

/// By what factor an offer is slower than it was measured, working on one request more than it does.
pub(super) fn slowed(profile: &Profile, live: Live) -> f64 {
    (1.0 + (f64::from(live.requests) + 1.0 - profile.usual_load) * profile.slope).max(LEAST_SLOWED)
}

pub(super) fn group(live: Live, preferred: bool) -> Group {
    match live.gate {
        Gate::Open => Group::Open,
        Gate::Closed | Gate::HalfOpen if live.saturated() => Group::Saturated,
        Gate::HalfOpen => Group::HalfOpen,
        Gate::Closed if preferred => Group::Preferred,
        Gate::Closed => Group::Known,
    }
}
