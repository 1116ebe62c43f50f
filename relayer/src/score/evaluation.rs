//! What a user loses by each candidate, in µUSDC: money, time at what a second is worth, and failures. The least is chosen;
//! a bounded share of the requests goes to whom one more request would teach more than it loses.

use super::ask::{Ask, AskedWrites, Draws, Sort, Terms};
use super::candidate::{CandidateEvaluation, Candidates, Group, Live, Profile, Rates, Sticky, group, reading, slowed};
use super::coefficients::Coefficients;
use super::order::{HEAD, Keys};
use smallvec::SmallVec;

/// The objective's range, in µUSDC: what is worse is worse than anything.
const OBJECTIVE: (f64, f64) = (1e-9, 1e18);
/// Part of everything but money that counts where the lowest price is asked for: equals are told apart by it.
const TRIFLE: f64 = 1e-6;

/// The candidates of a choice; on the stack where they are no more than this.
pub(super) type CandidateEvaluations = SmallVec<[CandidateEvaluation; 64]>;

/// Everything a choice computes.
#[derive(Debug, Default)]
pub(super) struct Evaluation {
    /// By candidate.
    pub(super) evaluated: CandidateEvaluations,
    /// The best by objective, or one that would be and may be back.
    pub(super) best: Option<usize>,
    /// The one that is worth a look, if any is.
    pub(super) unknown: Option<usize>,
    /// Whether this request has the look.
    pub(super) explored: bool,
}

/// How cost, time and what is lost to failures count, in µUSDC: for what the request asks to be best.
#[derive(Clone, Copy)]
struct Weights {
    cost: f64,
    second: f64,
    failure: f64,
}

impl Weights {
    fn of(sort: Sort, terms: &Terms) -> Self {
        let (second, failure) = (f64::from(terms.second), f64::from(terms.failure));
        match sort {
            Sort::Balanced => Self { cost: 1.0, second, failure },
            Sort::Price => Self { cost: 1.0, second: second * TRIFLE, failure: failure * TRIFLE },
            Sort::Throughput | Sort::Latency => Self { cost: TRIFLE, second, failure },
        }
    }
}

impl Evaluation {
    /// `c` must be sane.
    pub(super) fn of(c: &Coefficients, ask: &Ask, terms: &Terms, candidates: &impl Candidates, draws: &Draws) -> Self {
        let mut evaluation = Self::default();
        evaluation.judge(ask, terms, candidates);
        let evaluated = &evaluation.evaluated;
        let Some(chosen) = evaluated.iter().map(|candidate| candidate.group).min() else { return evaluation };
        let best = least(evaluated, |candidate| candidate.group == chosen);
        evaluation.best = evaluation.back(best).or(best);
        if let Some(best) = best.filter(|_| ask.sort != Sort::Price && c.exploration > 0.0) {
            evaluation.unknown = evaluation.worth_a_look(terms, candidates, best);
        }
        evaluation.explored = evaluation.unknown.is_some() && uniform(draws.explore) < c.exploration;
        evaluation
    }

    /// Cost, time, objective and group of each candidate.
    fn judge(&mut self, ask: &Ask, terms: &Terms, candidates: &impl Candidates) {
        let (input, output) = (f64::from(ask.input_tokens), f64::from(ask.expected_output));
        let received = f64::from(ask.expected_received.unwrap_or(ask.expected_output));
        let weights = Weights::of(ask.sort, terms);
        let slowest = ask.preferred_min_throughput.filter(|x| *x > 0.0).map_or(f64::INFINITY, |x| f64::from(x).recip());
        let at_most = |x: Option<f32>| x.filter(|x| !x.is_nan()).map_or(f64::INFINITY, f64::from);
        let (latest, patience) = (at_most(ask.preferred_max_latency), at_most(ask.patience));
        // To the first token alone, or to the last.
        let written = if ask.sort == Sort::Latency { 0.0 } else { received };
        let read = reading(input);
        let sticky = candidates.sticky();
        self.evaluated.reserve_exact(candidates.len());
        for index in 0..candidates.len() {
            let (profile, live) = (candidates.profile(index), candidates.live(index));
            let rates = profile.rates(input);
            let (cost, read) = match &sticky {
                Some(sticky) if sticky.index == index => kept(sticky, profile, (input, output), ask.cache_writes),
                _ => (rates.cost(input, output, ask.cache_writes), read),
            };
            let ttft = profile.ttft * read;
            let slowed = slowed(profile, live);
            let time = (ttft + written * profile.token) * slowed;
            // Nobody waits for more than this, so that who takes longer serves nobody.
            let awaited = awaited(ask, profile, ttft) * slowed;
            let group = group(live, profile.token <= slowest && ttft <= latest && awaited <= patience);
            let well = weights.cost * cost + weights.second * time + weights.failure * profile.broken;
            // Who may be back is looked at as if it were: that is what the look is for.
            let lost = if group == Group::HalfOpen { 0.0 } else { profile.lost };
            let score = ((well + weights.second * lost) * profile.penalty).clamp(OBJECTIVE.0, OBJECTIVE.1);
            self.evaluated.push(CandidateEvaluation { cost, time, score, group, limited: live.limited });
        }
    }

    /// One that failed and may be back, if it would be better than the `best`.
    fn back(&self, best: Option<usize>) -> Option<usize> {
        let best = &self.evaluated[best?];
        least(&self.evaluated, |candidate| candidate.group == Group::HalfOpen && candidate.score < best.score)
            .filter(|_| best.group <= Group::Known)
    }

    /// The candidate of which one more request is expected to teach most beyond what it loses, if that is more than nothing:
    /// how much better than the best it may turn out to be, for as many requests as will profit from knowing it.
    fn worth_a_look(&self, terms: &Terms, candidates: &impl Candidates, best: usize) -> Option<usize> {
        let known = &self.evaluated[best];
        let horizon = f64::from(terms.horizon);
        let second = f64::from(terms.second);
        let mut most = (0.0, None);
        for (index, candidate) in self.evaluated.iter().enumerate() {
            let probe = candidate.group == Group::HalfOpen;
            if index == best || !(probe || candidate.group.explorable(known.group)) {
                continue;
            }
            let profile = candidates.profile(index);
            let loss = candidate.score - known.score;
            let doubt = profile.doubt * candidate.time * second;
            let gain = horizon * may_be_better(loss, doubt) - loss;
            // What is on its way will teach as well.
            let worth = gain / (1.0 + f64::from(candidates.live(index).requests));
            if worth > most.0 {
                most = (worth, Some(index));
            }
        }
        most.1
    }

    /// The one chosen.
    fn first(&self) -> Option<usize> {
        if self.explored { self.unknown } else { self.best }
    }

    /// Share of such requests that the candidate at `index` gets, and the part of it that only serves to learn about it.
    pub(super) fn share(&self, c: &Coefficients, index: usize) -> (f64, f64) {
        let explored = if self.unknown.is_some() { c.exploration } else { 0.0 };
        let look = if self.unknown == Some(index) { explored } else { 0.0 };
        let best = if self.best == Some(index) { 1.0 - explored } else { 0.0 };
        (best + look, look)
    }

    fn keys(&self) -> Keys<'_> {
        Keys { evaluated: &self.evaluated, first: self.first() }
    }

    /// The first candidates in the order in which they are tried.
    pub(super) fn head(&self) -> SmallVec<[u32; HEAD]> {
        self.keys().head()
    }

    /// All candidates in the order in which they are tried.
    pub(super) fn order(&self) -> Vec<usize> {
        self.keys().order()
    }
}

/// Seconds until there is something to hand on, of an offer that begins after `ttft`: of a whole answer all of it.
fn awaited(ask: &Ask, profile: &Profile, ttft: f64) -> f64 {
    let received = f64::from(ask.expected_received.unwrap_or(ask.expected_output));
    if ask.streamed { ttft } else { ttft + received * profile.token }
}

/// The same as things are, wherever the beginning of its prompt is cached.
pub(super) fn awaited_now(ask: &Ask, profile: &Profile, live: Live) -> f64 {
    awaited(ask, profile, profile.ttft * reading(ask.input_tokens.into())) * slowed(profile, live)
}

/// Cost of a request at the offer that has the beginning of its prompt, and how long what is left of it takes to read.
fn kept(sticky: &Sticky, profile: &Profile, (input, output): (f64, f64), writes: AskedWrites) -> (f64, f64) {
    let prompt = if profile.is_long(input) { sticky.long_prompt } else { sticky.prompt };
    let cost = Rates { prompt, ..*profile.rates(input) }.cost(input, output, writes);
    (cost, reading(input * (1.0 - sticky.hits)))
}

/// The candidate with the least objective of those that `counts`.
fn least(evaluated: &[CandidateEvaluation], counts: impl Fn(&CandidateEvaluation) -> bool) -> Option<usize> {
    let mut least = (f64::INFINITY, None);
    for (index, candidate) in evaluated.iter().enumerate() {
        if counts(candidate) && candidate.score < least.0 {
            least = (candidate.score, Some(index));
        }
    }
    least.1
}

/// By how much something is expected to be better than what it is worse than by `loss`, where it is better, if its
/// standard error is `doubt`: close to the normal distribution's, with a heavier tail, and of operations that every machine
/// rounds alike.
fn may_be_better(loss: f64, doubt: f64) -> f64 {
    if doubt <= 0.0 {
        return 0.0;
    }
    let off = loss / doubt;
    let root = ((off * off + 2.0).sqrt() - off) / 2.0;
    doubt * root * root * root
}

/// A draw in 0..1.
fn uniform(draw: u32) -> f64 {
    f64::from(draw) / 4_294_967_296.0
}
