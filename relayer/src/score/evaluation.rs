//! Objectives, shares and the draw. Each candidate belongs to a [`Group`]; the best group that has anybody shares the
//! traffic ∝ `J^−k`, and what is left after a bounded exploration and probes of those that may be back.

use super::ask::{Ask, Draws, Sort};
use super::candidate::{CandidateEvaluation, Candidates, Group, Profile, Rates, Sticky, group, reading, slowed};
use super::coefficients::Coefficients;
use super::order::{HEAD, Keys};
use super::stats::{median_of_some, power};
use smallvec::SmallVec;

/// The objective's range: keeps its powers finite, and a free and instant offer from getting everything.
const OBJECTIVE: (f64, f64) = (1e-3, 1e6);
/// Costs below this part of the median do not make the others look infinitely dear to exploration.
const LEAST_REFERENCE: f64 = 0.1;

/// The candidates of a choice; on the stack where they are no more than this.
pub(super) type CandidateEvaluations = SmallVec<[CandidateEvaluation; 64]>;

/// Everything a choice computes.
#[derive(Debug, Default)]
pub(super) struct Evaluation {
    /// By candidate.
    pub(super) evaluated: CandidateEvaluations,
    /// Share of a weight of 1.
    pub(super) exploit: f64,
    /// What the formula calls `C̃`.
    usual_cost: Option<f64>,
    /// The best by objective: the one to beat.
    pub(super) best: Option<usize>,
    /// The one chosen; `None` without candidates.
    first: Option<usize>,
    pub(super) explored: bool,
}

/// What is to be shared out, and among whom.
#[derive(Clone, Copy)]
struct Sums {
    /// Share that explores or probes.
    set_aside: f64,
    /// Of the weights.
    weight: f64,
}

impl Evaluation {
    /// `coefficients` must be sane.
    pub(super) fn of(c: &Coefficients, ask: &Ask, candidates: &impl Candidates, draws: &Draws) -> Self {
        let mut evaluation = Self::default();
        let Some(chosen) = evaluation.judge(c, ask, candidates) else { return evaluation };
        let best = evaluation.objectives(c, ask.sort, candidates, chosen);
        evaluation.best = Some(best);
        let sticky = evaluation.sticky(best, candidates);
        let sums = evaluation.weigh(c, ask, candidates, best, sticky);
        evaluation.draw(c, candidates, chosen, sticky, sums, draws);
        evaluation
    }

    /// Cost, time and group of each candidate. Returns the group that is chosen from, if there is anybody.
    fn judge(&mut self, c: &Coefficients, ask: &Ask, candidates: &impl Candidates) -> Option<Group> {
        let (input, output) = (f64::from(ask.input_tokens), f64::from(ask.expected_output));
        let slowest = ask.preferred_min_throughput.filter(|x| *x > 0.0).map_or(f64::INFINITY, |x| f64::from(x).recip());
        let latest = ask.preferred_max_latency.filter(|x| !x.is_nan()).map_or(f64::INFINITY, f64::from);
        let prompt = reading(input);
        self.evaluated.reserve_exact(candidates.len());
        for index in 0..candidates.len() {
            let (profile, live) = (candidates.profile(index), candidates.live(index));
            let ttft = profile.ttft * prompt;
            self.evaluated.push(CandidateEvaluation {
                cost: profile.rates(input).cost(input, output),
                time: (ttft + output * profile.token) * slowed(c, profile, live),
                score: 0.0,
                floor: 0.0,
                weight: 0.0,
                group: group(profile, live, profile.token <= slowest && ttft <= latest),
                limited: live.limited,
            });
        }
        if let Some(Sticky { index, prompt, long_prompt, hits }) = candidates.sticky() {
            let (profile, live) = (candidates.profile(index), candidates.live(index));
            let candidate = &mut self.evaluated[index];
            let prompt = if profile.is_long(input) { long_prompt } else { prompt };
            candidate.cost = Rates { prompt, ..*profile.rates(input) }.cost(input, output);
            candidate.time =
                (profile.ttft * reading(input * (1.0 - hits)) + output * profile.token) * slowed(c, profile, live);
        }
        self.evaluated.iter().map(|candidate| candidate.group).min()
    }

    /// The objective of each candidate. Returns the best of the group that is `chosen` from.
    fn objectives(&mut self, c: &Coefficients, sort: Sort, candidates: &impl Candidates, chosen: Group) -> usize {
        let evaluated = &mut self.evaluated[..];
        let n = evaluated.len();
        self.usual_cost = scale(n, |i| evaluated[i].cost);
        // A part that is the same for all, what is multiplied with the cost, and with the other figure that counts.
        let relative = |middle: Option<f64>, weight: f64| middle.map_or((weight, 0.0), |m| (0.0, weight / m));
        let (of_cost, time_weight) = match sort {
            Sort::Balanced => (relative(self.usual_cost, 1.0), c.time_weight),
            Sort::Price => (relative(self.usual_cost, 1.0), 0.0),
            Sort::Throughput | Sort::Latency => ((0.0, 0.0), 1.0),
        };
        let other = |candidate: &CandidateEvaluation, profile: &Profile| match sort {
            Sort::Balanced | Sort::Price => candidate.time,
            Sort::Throughput => profile.token,
            Sort::Latency => profile.ttft,
        };
        let of_other = relative(scale(n, |i| other(&evaluated[i], candidates.profile(i))), time_weight);
        let constant = of_cost.0 + of_other.0;
        let incumbent = candidates.incumbent().unwrap_or(usize::MAX);
        let mut best = (f64::INFINITY, 0);
        for (i, candidate) in evaluated.iter_mut().enumerate() {
            let profile = candidates.profile(i);
            let value = constant + (candidate.cost * of_cost.1 + other(candidate, profile) * of_other.1);
            candidate.score =
                (value * profile.factor + c.broken_weight * profile.broken).clamp(OBJECTIVE.0, OBJECTIVE.1);
            if i == incumbent {
                candidate.score *= 1.0 - c.hysteresis;
            }
            if candidate.group == chosen && candidate.score < best.0 {
                best = (candidate.score, i);
            }
        }
        best.1
    }

    /// The offer that served the prompt's prefix last, if with what it has cached it beats everybody: the saving
    /// exceeds the loss.
    fn sticky(&self, best: usize, candidates: &impl Candidates) -> Option<usize> {
        let Sticky { index, .. } = candidates.sticky()?;
        let (last, best) = (&self.evaluated[index], &self.evaluated[best]);
        (last.group == best.group && last.score <= best.score).then_some(index)
    }

    /// Shares: exploration, probes, and by objective what is left.
    fn weigh(
        &mut self,
        c: &Coefficients,
        ask: &Ask,
        candidates: &impl Candidates,
        best: usize,
        sticky: Option<usize>,
    ) -> Sums {
        let chosen = self.evaluated[best].group;
        let set_aside = self.explore(c, ask.sort, candidates, chosen, best) + self.probe(c, chosen);
        let best = self.evaluated[best].score;
        let edge = if c.exponent > 0.0 { power((1.0 + c.reach).recip(), c.exponent) } else { 0.0 };
        // Beyond it the weight is nothing: most of many candidates need no power.
        let reach = if c.exponent > 0.0 { best * (1.0 + c.reach) } else { f64::INFINITY };
        let of = |i: usize, score: f64| match (sticky, ask.sort) {
            (Some(sticky), _) => f64::from(u8::from(sticky == i)),
            (None, Sort::Balanced) if score < reach => {
                ((power(best / score, c.exponent) - edge) / (1.0 - edge)).max(0.0)
            }
            (None, Sort::Balanced) => 0.0,
            // Equals share alike, and who is twice as far off gets nothing: no edge at which traffic jumps.
            (None, Sort::Price | Sort::Throughput | Sort::Latency) => {
                let off = score / best - 1.0;
                if off <= c.near { 1.0 } else { (2.0 - off / c.near).max(0.0) }
            }
        };
        let mut weight = 0.0;
        for (i, candidate) in self.evaluated.iter_mut().enumerate().filter(|(_, candidate)| candidate.group == chosen) {
            candidate.weight = of(i, candidate.score);
            weight += candidate.weight;
        }
        self.exploit = (1.0 - set_aside) / weight;
        Sums { set_aside, weight }
    }

    /// Spreads at most `ε` over the candidates by how little is known about them, those that are dearer than the best
    /// getting the less the dearer they are, so that in expectation all of it adds at most the premium to the best's
    /// cost. Returns how much it came to.
    fn explore(
        &mut self,
        c: &Coefficients,
        sort: Sort,
        candidates: &impl Candidates,
        chosen: Group,
        best: usize,
    ) -> f64 {
        // Price needs no exploration: it is posted, not measured.
        if sort == Sort::Price || c.exploration <= 0.0 || chosen > Group::Newcomer {
            return 0.0;
        }
        let mut needs = 0.0;
        for (i, candidate) in
            self.evaluated.iter_mut().enumerate().filter(|(_, candidate)| candidate.group.explorable(chosen))
        {
            candidate.floor = candidates.profile(i).need;
            needs += candidate.floor;
        }
        let reference = self.evaluated[best].cost.max(self.usual_cost.unwrap_or_default() * LEAST_REFERENCE);
        let premium = c.exploration_premium / c.exploration * reference;
        let unit = c.exploration / needs;
        let mut sum = 0.0;
        for candidate in self.evaluated.iter_mut().filter(|candidate| candidate.group.explorable(chosen)) {
            let extra = candidate.cost - reference;
            let affordable = if extra > premium { premium / extra } else { 1.0 };
            candidate.floor = unit * candidate.floor * affordable;
            sum += candidate.floor;
        }
        sum
    }

    /// Divides the probes' share among the half-open: mere exploration would take minutes to notice that one is back.
    fn probe(&mut self, c: &Coefficients, chosen: Group) -> f64 {
        if chosen >= Group::HalfOpen {
            return 0.0;
        }
        let waiting = self.evaluated.iter().filter(|candidate| candidate.group == Group::HalfOpen).count();
        if waiting == 0 {
            return 0.0;
        }
        for candidate in self.evaluated.iter_mut().filter(|candidate| candidate.group == Group::HalfOpen) {
            candidate.floor = c.probe_share / waiting as f64;
        }
        c.probe_share
    }

    fn draw(
        &mut self,
        c: &Coefficients,
        candidates: &impl Candidates,
        chosen: Group,
        sticky: Option<usize>,
        sums: Sums,
        draws: &Draws,
    ) {
        self.explored = uniform(draws.explore) < sums.set_aside;
        let point = uniform(draws.pick);
        self.first = if self.explored {
            drawn(self.evaluated.iter().map(|candidate| candidate.floor), point * sums.set_aside)
        } else {
            drawn(self.evaluated.iter().map(|candidate| candidate.weight), point * sums.weight)
        };
        if !self.explored && sticky.is_none() {
            let pair = uniform(draws.pair);
            self.first = self.first.map(|picked| self.lighter(c, candidates, chosen, picked, pair));
        }
    }

    /// Of `picked` and another that is nearly as good, the one with less work before it: the power of two choices.
    fn lighter(
        &self,
        c: &Coefficients,
        candidates: &impl Candidates,
        chosen: Group,
        picked: usize,
        pair: f64,
    ) -> usize {
        let near = 1.0 + c.near;
        let (low, high) = (self.evaluated[picked].score / near, self.evaluated[picked].score * near);
        let equal = |(i, candidate): &(usize, &CandidateEvaluation)| {
            candidate.score >= low && candidate.score <= high && candidate.group == chosen && *i != picked
        };
        let equals = || self.evaluated.iter().enumerate().filter(equal);
        let other = equals().nth((pair * equals().count() as f64) as usize);
        let work = |i: usize| f64::from(candidates.live(i).tokens) * candidates.profile(i).token;
        other.map(|(other, _)| other).filter(|&other| work(other) < work(picked)).unwrap_or(picked)
    }

    fn keys(&self) -> Keys<'_> {
        Keys { evaluated: &self.evaluated, first: self.first }
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

/// What the formula calls `x̃`: the median of `n` values, of 63 spread evenly over them where there are more. Where it
/// is zero (most are free) the mean takes its place; `None` where everything is zero and all are equal.
fn scale(n: usize, value: impl Fn(usize) -> f64) -> Option<f64> {
    let middle = median_of_some(n, &value).filter(|m| *m > 0.0);
    middle.or_else(|| Some((0..n).map(value).sum::<f64>() / n as f64).filter(|mean| *mean > 0.0))
}

/// A draw in 0..1.
fn uniform(draw: u32) -> f64 {
    f64::from(draw) / 4_294_967_296.0
}

/// Whom a point in the sum of `weights` picks.
fn drawn(weights: impl Iterator<Item = f64>, point: f64) -> Option<usize> {
    let mut left = point;
    let mut last = None;
    for (index, weight) in weights.enumerate() {
        if weight > 0.0 {
            left -= weight;
            last = Some(index);
            if left < 0.0 {
                break;
            }
        }
    }
    // The weights' sum may fall short by rounding.
    last
}
