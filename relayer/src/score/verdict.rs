//! Objectives, shares and the draw. Each candidate belongs to a [`Group`]; the best group that has anybody shares the
//! traffic ∝ `J^−k`, and what is left after a bounded exploration and probes of those that may be back.

use super::ask::{Ask, Draws, Sort};
use super::candidate::{Candidates, Group, Row, Sticky, group, reading, slowed};
use super::coefficients::Coefficients;
use super::order::{Column, HEAD, Keys};
use super::stats::{median_of_some, power};
use smallvec::SmallVec;

/// The objective's range: keeps its powers finite, and a free and instant offer from getting everything.
const OBJECTIVE: (f64, f64) = (1e-3, 1e6);
/// Costs below this part of the median do not make the others look infinitely dear to exploration.
const LEAST_REFERENCE: f64 = 0.1;

/// Everything a choice computes, by candidate.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) costs: Column,
    pub(super) times: Column,
    pub(super) scores: Column,
    pub(super) groups: Column<Group>,
    limited: Column<bool>,
    /// Shares that explore or probe.
    pub(super) floors: Column,
    /// Weights in what is left.
    pub(super) weights: Column,
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

impl Verdict {
    /// `coefficients` must be sane.
    pub(super) fn of(c: &Coefficients, ask: &Ask, candidates: &impl Candidates, draws: &Draws) -> Self {
        let mut verdict = Self::default();
        verdict.judge(c, ask, candidates);
        let Some(chosen) = verdict.groups.iter().copied().min() else { return verdict };
        verdict.objectives(c, ask.sort, candidates);
        let best = verdict.best(chosen);
        verdict.best = Some(best);
        let sticky = verdict.sticky(best, candidates);
        let sums = verdict.weigh(c, ask, candidates, best, sticky);
        verdict.draw(c, candidates, chosen, sticky, sums, draws);
        verdict
    }

    /// Cost, time and group of each candidate.
    fn judge(&mut self, c: &Coefficients, ask: &Ask, candidates: &impl Candidates) {
        let n = candidates.len();
        let (input, output) = (f64::from(ask.input_tokens), f64::from(ask.expected_output));
        let slowest = ask.preferred_min_throughput.filter(|x| *x > 0.0).map_or(f64::INFINITY, |x| f64::from(x).recip());
        let latest = ask.preferred_max_latency.filter(|x| !x.is_nan()).map_or(f64::INFINITY, f64::from);
        let prompt = reading(input);
        self.costs.resize(n, 0.0);
        self.times.resize(n, 0.0);
        self.groups.resize(n, Group::Open);
        self.limited.resize(n, false);
        let columns = self.costs.iter_mut().zip(&mut self.times).zip(&mut self.groups).zip(&mut self.limited);
        for (i, (((cost, time), of), limited)) in columns.enumerate() {
            let (row, live) = (candidates.row(i), candidates.live(i));
            *cost = input * row.prompt + (output * row.output + row.request);
            let ttft = row.ttft * prompt;
            *time = (ttft + output * row.token) * slowed(c, row, live);
            *limited = live.limited;
            *of = group(row, live, row.token <= slowest && ttft <= latest);
        }
        if let Some(Sticky { index, prompt, hits }) = candidates.sticky() {
            let (row, live) = (candidates.row(index), candidates.live(index));
            self.costs[index] = input * prompt + (output * row.output + row.request);
            self.times[index] = (row.ttft * reading(input * (1.0 - hits)) + output * row.token) * slowed(c, row, live);
        }
    }

    /// The objective of each candidate.
    fn objectives(&mut self, c: &Coefficients, sort: Sort, candidates: &impl Candidates) {
        let n = candidates.len();
        self.usual_cost = scale(n, |i| self.costs[i]);
        // A part that is the same for all, what is multiplied with the cost, and with the other figure that counts.
        let relative = |middle: Option<f64>, weight: f64| middle.map_or((weight, 0.0), |m| (0.0, weight / m));
        let (of_cost, time_weight) = match sort {
            Sort::Balanced => (relative(self.usual_cost, 1.0), c.time_weight),
            Sort::Price => (relative(self.usual_cost, 1.0), 0.0),
            Sort::Throughput | Sort::Latency => ((0.0, 0.0), 1.0),
        };
        let other = |i: usize| match sort {
            Sort::Balanced | Sort::Price => self.times[i],
            Sort::Throughput => candidates.row(i).token,
            Sort::Latency => candidates.row(i).ttft,
        };
        let of_other = relative(scale(n, other), time_weight);
        let constant = of_cost.0 + of_other.0;
        self.scores.resize(n, 0.0);
        for (i, (score, cost)) in self.scores.iter_mut().zip(&self.costs).enumerate() {
            let Row { factor, broken, .. } = candidates.row(i);
            let value = constant + (cost * of_cost.1 + other(i) * of_other.1);
            *score = (value * factor + c.broken_weight * broken).clamp(OBJECTIVE.0, OBJECTIVE.1);
        }
        if let Some(incumbent) = candidates.incumbent() {
            self.scores[incumbent] *= 1.0 - c.hysteresis;
        }
    }

    /// The offer that served the prompt's prefix last, if with what it has cached it beats everybody: the saving
    /// exceeds the loss.
    fn sticky(&self, best: usize, candidates: &impl Candidates) -> Option<usize> {
        let Sticky { index, .. } = candidates.sticky()?;
        (self.groups[index] == self.groups[best] && self.scores[index] <= self.scores[best]).then_some(index)
    }

    /// The best of a group that is not empty.
    fn best(&self, group: Group) -> usize {
        let mut best = (f64::INFINITY, 0);
        for (i, (&score, &of)) in self.scores.iter().zip(&self.groups).enumerate() {
            if of == group && score < best.0 {
                best = (score, i);
            }
        }
        best.1
    }

    /// Shares: exploration, probes, and by objective what is left. Returns what is set aside for the former, and the sum
    /// of the weights.
    fn weigh(
        &mut self,
        c: &Coefficients,
        ask: &Ask,
        candidates: &impl Candidates,
        best: usize,
        sticky: Option<usize>,
    ) -> (f64, f64) {
        let chosen = self.groups[best];
        self.floors.resize(self.scores.len(), 0.0);
        let set_aside = self.explore(c, ask.sort, candidates, chosen, best) + self.probe(c, chosen);
        let best = self.scores[best];
        let edge = if c.exponent > 0.0 { power((1.0 + c.reach).recip(), c.exponent) } else { 0.0 };
        // Beyond it the weight is nothing: most of many candidates need no power.
        let reach = if c.exponent > 0.0 { best * (1.0 + c.reach) } else { f64::INFINITY };
        let weight = |i: usize, score: f64| match (sticky, ask.sort) {
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
        self.weights.resize(self.scores.len(), 0.0);
        let mut sum = 0.0;
        for (i, ((of, &score), &group)) in self.weights.iter_mut().zip(&self.scores).zip(&self.groups).enumerate() {
            if group == chosen {
                *of = weight(i, score);
                sum += *of;
            }
        }
        self.exploit = (1.0 - set_aside) / sum;
        (set_aside, sum)
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
        for (i, group) in self.groups.iter().enumerate() {
            if group.explorable(chosen) {
                needs += candidates.row(i).need;
            }
        }
        let reference = self.costs[best].max(self.usual_cost.unwrap_or_default() * LEAST_REFERENCE);
        let premium = c.exploration_premium / c.exploration * reference;
        let unit = c.exploration / needs;
        let mut sum = 0.0;
        for (i, ((floor, cost), group)) in self.floors.iter_mut().zip(&self.costs).zip(&self.groups).enumerate() {
            if group.explorable(chosen) {
                let extra = cost - reference;
                let affordable = if extra > premium { premium / extra } else { 1.0 };
                *floor = unit * candidates.row(i).need * affordable;
                sum += *floor;
            }
        }
        sum
    }

    /// Divides the probes' share among the half-open: mere exploration would take minutes to notice that one is back.
    fn probe(&mut self, c: &Coefficients, chosen: Group) -> f64 {
        let waiting = self.groups.iter().filter(|&&group| group == Group::HalfOpen).count();
        if waiting == 0 || chosen >= Group::HalfOpen {
            return 0.0;
        }
        for (floor, _) in self.floors.iter_mut().zip(&self.groups).filter(|(_, group)| **group == Group::HalfOpen) {
            *floor = c.probe_share / waiting as f64;
        }
        c.probe_share
    }

    fn draw(
        &mut self,
        c: &Coefficients,
        candidates: &impl Candidates,
        chosen: Group,
        sticky: Option<usize>,
        (set_aside, weight): (f64, f64),
        draws: &Draws,
    ) {
        self.explored = uniform(draws.explore) < set_aside;
        let (weights, sum) = if self.explored { (&self.floors, set_aside) } else { (&self.weights, weight) };
        let mut picked = drawn(weights, uniform(draws.pick) * sum);
        if !self.explored && sticky.is_none() {
            picked = picked.map(|picked| self.lighter(c, candidates, chosen, picked, uniform(draws.pair)));
        }
        self.first = picked;
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
        let (low, high) = (self.scores[picked] / near, self.scores[picked] * near);
        let equal = |i: usize| {
            let score = self.scores[i];
            score >= low && score <= high && self.groups[i] == chosen && i != picked
        };
        let equals = (0..self.scores.len()).filter(|&i| equal(i)).count();
        let other = (0..self.scores.len()).filter(|&i| equal(i)).nth((pair * equals as f64) as usize);
        let work = |i: usize| f64::from(candidates.live(i).tokens) * candidates.row(i).token;
        other.filter(|&other| work(other) < work(picked)).unwrap_or(picked)
    }

    fn keys(&self) -> Keys<'_> {
        Keys { groups: &self.groups, limited: &self.limited, scores: &self.scores, first: self.first }
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
fn drawn(weights: &[f64], point: f64) -> Option<usize> {
    let mut left = point;
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate() {
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
