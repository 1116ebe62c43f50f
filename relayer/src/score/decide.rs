//! The choice itself, pure: the same candidates, coefficients, request and draws give the same order on every machine,
//! because only sums, products, quotients and square roots are used, which IEEE 754 rounds in one way.
//!
//! Each candidate belongs to a [`Group`]; the best group that has anybody shares the traffic ∝ `J^−k`, and what is
//! left after a bounded exploration and probes of those that may be back.

use super::ask::{Ask, Draws, Gate, Measured, Ranking, ScoreLine, Sort};
use super::coefficients::Coefficients;
use super::stats::{median_of_some, power};

/// Recent answers with which an offer is as well known as unknown: halves what it gets of the exploration.
const KNOWN: f64 = 8.0;
/// Longest time that is expected of anything, in seconds; a measurement that is no number counts as this.
const LONGEST: f64 = 1e6;
/// Speeds that are believed, in tokens a second.
const SPEEDS: (f64, f64) = (1e-3, 1e6);
/// The objective's range: keeps its powers finite, and a free and instant offer from getting everything.
const OBJECTIVE: (f64, f64) = (1e-3, 1e6);
/// A failure rate counts as at most this.
const WORST_FAILURE: f64 = 0.99;
/// A penalty counts as at most this.
const WORST_PENALTY: f64 = 1e3;
/// Costs below this part of the median do not make the others look infinitely dear to exploration.
const LEAST_REFERENCE: f64 = 0.1;

/// Who is asked before whom, whatever the objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Known, free, and as the client prefers.
    Preferred,
    /// Known and free, but slower than the client prefers.
    Known,
    /// Too new for a share, as the client prefers.
    PreferredNewcomer,
    /// Too new for a share, and slower than the client prefers.
    Newcomer,
    /// May be back.
    HalfOpen,
    /// At its cap.
    Saturated,
    /// Failing, or asked to be left alone.
    Open,
}

impl Group {
    fn preferred(self) -> bool {
        matches!(self, Self::Preferred | Self::PreferredNewcomer)
    }

    fn explorable(self, chosen: Self) -> bool {
        self <= Self::Newcomer && (self.preferred() || !chosen.preferred())
    }

    pub(super) fn available(self) -> bool {
        self <= Self::HalfOpen
    }
}

/// What of a candidate does not depend on the request, in the form the arithmetic wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// µUSDC a prompt token.
    prompt: f64,
    /// µUSDC an output token.
    output: f64,
    /// µUSDC a request.
    request: f64,
    /// Seconds to the first token.
    ttft: f64,
    /// Seconds an output token.
    token: f64,
    /// `penalty / (1 − f)`.
    factor: f64,
    /// How little is known about it, 0 to 1.
    need: f64,
    newcomer: bool,
}

impl Row {
    pub(super) fn of(m: &Measured) -> Self {
        let failure = within(m.failure.into(), 0.0, WORST_FAILURE);
        Self {
            prompt: prompt_price(m, within_or(m.cache_hits.into(), 0.0, 1.0, 0.0)),
            output: m.price.output as f64 / 1e6,
            request: m.price.request as f64,
            ttft: within(m.ttft.into(), 0.0, LONGEST),
            token: within_or(m.speed.into(), SPEEDS.0, SPEEDS.1, SPEEDS.0).recip(),
            factor: within(m.penalty.into(), 1.0, WORST_PENALTY) / (1.0 - failure),
            need: KNOWN / (KNOWN + f64::from(m.samples)),
            newcomer: m.newcomer,
        }
    }
}

/// What of a candidate changes with every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// Tokens it is working on.
    pub(super) tokens: u32,
    pub(super) gate: Gate,
    pub(super) saturated: bool,
}

impl Live {
    fn of(m: &Measured) -> Self {
        Self { tokens: m.outstanding_tokens, gate: m.gate, saturated: m.saturated() }
    }
}

/// The candidates of one choice.
pub(super) trait Candidates {
    fn len(&self) -> usize;
    fn row(&self, index: usize) -> &Row;
    fn live(&self, index: usize) -> Live;
    fn incumbent(&self) -> Option<usize>;
    /// Who served the prompt's prefix last, and its price of a prompt token given what it has cached.
    fn sticky(&self) -> Option<(usize, f64)>;
}

/// µUSDC a prompt token, `hits` of the prompt being cached.
pub(super) fn prompt_price(m: &Measured, hits: f64) -> f64 {
    ((1.0 - hits) * m.price.input as f64 + hits * m.price.cached as f64) / 1e6
}

/// The price of a prompt token of `m` as the one that served the prefix last.
pub(super) fn sticky_price(m: &Measured, hits: f32) -> f64 {
    let hits = within_or(hits.into(), 0.0, 1.0, 0.0);
    prompt_price(m, hits.max(within_or(m.cache_hits.into(), 0.0, 1.0, 0.0)))
}

/// `x` within its range; what is no number is the worst, the upper end.
fn within(x: f64, low: f64, high: f64) -> f64 {
    within_or(x, low, high, high)
}

fn within_or(x: f64, low: f64, high: f64, otherwise: f64) -> f64 {
    if x.is_nan() { otherwise } else { x.clamp(low, high) }
}

/// Ranks `candidates` for `ask`.
pub fn decide(coefficients: &Coefficients, ask: &Ask, candidates: &[Measured], draws: &Draws) -> Ranking {
    struct Stored<'a> {
        measured: &'a [Measured],
        rows: Vec<Row>,
    }
    impl Candidates for Stored<'_> {
        fn len(&self) -> usize {
            self.measured.len()
        }
        fn row(&self, index: usize) -> &Row {
            &self.rows[index]
        }
        fn live(&self, index: usize) -> Live {
            Live::of(&self.measured[index])
        }
        fn incumbent(&self) -> Option<usize> {
            self.measured.iter().position(|m| m.incumbent)
        }
        fn sticky(&self) -> Option<(usize, f64)> {
            let index = self.measured.iter().position(|m| m.sticky.is_some())?;
            let m = &self.measured[index];
            Some((index, sticky_price(m, m.sticky?)))
        }
    }
    let stored = Stored { measured: candidates, rows: candidates.iter().map(Row::of).collect() };
    let verdict = Verdict::of(&coefficients.sane(), ask, &stored, draws);
    let scores = candidates.iter().enumerate().map(|(i, m)| {
        let (row, exploit) = (&stored.rows[i], verdict.exploit * verdict.weights[i]);
        ScoreLine {
            offer: m.offer,
            cost: verdict.costs[i],
            time: verdict.times[i],
            failure: within(m.failure.into(), 0.0, WORST_FAILURE),
            score: verdict.scores[i],
            share: verdict.floors[i] + exploit,
            explored_share: verdict.floors[i],
            samples: m.samples,
            ttft: row.ttft,
            speed: row.token.recip(),
            outstanding: m.outstanding_tokens,
            available: verdict.groups[i].available(),
        }
    });
    Ranking { scores: scores.collect(), order: verdict.order(usize::MAX), explored: verdict.explored }
}

/// Everything a choice computes, by candidate.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    costs: Vec<f64>,
    times: Vec<f64>,
    scores: Vec<f64>,
    groups: Vec<Group>,
    /// Shares that explore or probe.
    floors: Vec<f64>,
    /// Weights in what is left.
    weights: Vec<f64>,
    /// Share of a weight of 1.
    exploit: f64,
    /// The one chosen; `None` without candidates.
    first: Option<usize>,
    explored: bool,
}

impl Verdict {
    /// `coefficients` must be sane.
    pub(super) fn of(c: &Coefficients, ask: &Ask, candidates: &impl Candidates, draws: &Draws) -> Self {
        let mut verdict = Self::judge(c, ask, candidates);
        let Some(chosen) = verdict.groups.iter().copied().min() else { return verdict };
        let sticky = verdict.sticky(chosen, candidates);
        verdict.weigh(c, ask, candidates, chosen, sticky);
        verdict.draw(c, candidates, chosen, sticky, draws);
        verdict
    }

    /// Cost, time, group and objective of each candidate.
    fn judge(c: &Coefficients, ask: &Ask, candidates: &impl Candidates) -> Self {
        let n = candidates.len();
        let (input, output) = (f64::from(ask.input_tokens), f64::from(ask.expected_output));
        let slowest = ask.preferred_min_throughput.filter(|x| *x > 0.0).map_or(f64::INFINITY, |x| f64::from(x).recip());
        let latest = ask.preferred_max_latency.filter(|x| !x.is_nan()).map_or(f64::INFINITY, f64::from);
        let (mut costs, mut times, mut groups) = (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
        for i in 0..n {
            let row = candidates.row(i);
            costs.push(input * row.prompt + (output * row.output + row.request));
            times.push(row.ttft + output * row.token);
            groups.push(group(row, candidates.live(i), row.token <= slowest && row.ttft <= latest));
        }
        if let Some((index, price)) = candidates.sticky() {
            let row = candidates.row(index);
            costs[index] = input * price + (output * row.output + row.request);
        }
        let mut verdict = Self {
            scores: Vec::new(),
            floors: vec![0.0; n],
            weights: vec![0.0; n],
            exploit: 0.0,
            first: None,
            explored: false,
            costs,
            times,
            groups,
        };
        verdict.objectives(c, ask.sort, candidates);
        verdict
    }

    fn objectives(&mut self, c: &Coefficients, sort: Sort, candidates: &impl Candidates) {
        let n = candidates.len();
        let relative_to = |middle: Option<f64>, weight: f64| middle.map_or((weight, 0.0), |m| (0.0, weight / m));
        let cost = relative_to(scale(n, |i| self.costs[i]), 1.0);
        let score = |value: f64, row: &Row| (value * row.factor).clamp(OBJECTIVE.0, OBJECTIVE.1);
        self.scores = match sort {
            Sort::Balanced => {
                let time = relative_to(scale(n, |i| self.times[i]), c.time_weight);
                let constant = cost.0 + time.0;
                (0..n)
                    .map(|i| score(constant + (self.costs[i] * cost.1 + self.times[i] * time.1), candidates.row(i)))
                    .collect()
            }
            Sort::Price => (0..n).map(|i| score(cost.0 + self.costs[i] * cost.1, candidates.row(i))).collect(),
            Sort::Throughput => {
                let token = relative_to(scale(n, |i| candidates.row(i).token), 1.0);
                (0..n).map(|i| score(token.0 + candidates.row(i).token * token.1, candidates.row(i))).collect()
            }
            Sort::Latency => {
                let ttft = relative_to(scale(n, |i| candidates.row(i).ttft), 1.0);
                (0..n).map(|i| score(ttft.0 + candidates.row(i).ttft * ttft.1, candidates.row(i))).collect()
            }
        };
        if let Some(incumbent) = candidates.incumbent() {
            self.scores[incumbent] *= 1.0 - c.hysteresis;
        }
    }

    /// The offer that served the prompt's prefix last, if with what it has cached it beats everybody: the saving
    /// exceeds the loss.
    fn sticky(&self, chosen: Group, candidates: &impl Candidates) -> Option<usize> {
        let (index, _) = candidates.sticky().filter(|&(index, _)| self.groups[index] == chosen)?;
        (self.best(chosen) == index || self.scores[index] <= self.scores[self.best(chosen)]).then_some(index)
    }

    /// The best of a group that is not empty.
    fn best(&self, group: Group) -> usize {
        let mut best = (f64::INFINITY, 0);
        for (i, &score) in self.scores.iter().enumerate() {
            if self.groups[i] == group && score < best.0 {
                best = (score, i);
            }
        }
        best.1
    }

    /// Shares: exploration, probes, and by objective what is left.
    fn weigh(
        &mut self,
        c: &Coefficients,
        ask: &Ask,
        candidates: &impl Candidates,
        chosen: Group,
        sticky: Option<usize>,
    ) {
        let best = self.best(chosen);
        let set_aside = self.explore(c, ask.sort, candidates, chosen, best) + self.probe(c, chosen);
        let best = self.scores[best];
        let mut sum = 0.0;
        for i in 0..self.scores.len() {
            if self.groups[i] != chosen {
                continue;
            }
            let weight = match (sticky, ask.sort) {
                (Some(sticky), _) => f64::from(u8::from(sticky == i)),
                (None, Sort::Balanced) => power(best / self.scores[i], c.exponent),
                // Equals share alike, and who is twice as far off gets nothing: no edge at which traffic jumps.
                (None, Sort::Price | Sort::Throughput | Sort::Latency) => {
                    let off = self.scores[i] / best - 1.0;
                    if off <= c.near { 1.0 } else { (2.0 - off / c.near).max(0.0) }
                }
            };
            self.weights[i] = weight;
            sum += weight;
        }
        self.exploit = (1.0 - set_aside) / sum;
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
        let n = self.costs.len();
        let mut needs = 0.0;
        for i in 0..n {
            if self.groups[i].explorable(chosen) {
                needs += candidates.row(i).need;
            }
        }
        let middle = scale(n, |i| self.costs[i]).unwrap_or_default();
        let reference = self.costs[best].max(middle * LEAST_REFERENCE);
        let premium = c.exploration_premium / c.exploration;
        let mut sum = 0.0;
        for i in 0..n {
            if self.groups[i].explorable(chosen) {
                let extra = self.costs[i] - reference;
                let affordable = if extra > premium * reference { premium * reference / extra } else { 1.0 };
                let share = c.exploration * candidates.row(i).need / needs * affordable;
                self.floors[i] = share;
                sum += share;
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
        draws: &Draws,
    ) {
        let set_aside: f64 = self.floors.iter().sum();
        self.explored = uniform(draws.explore) < set_aside;
        let weights = if self.explored { &self.floors } else { &self.weights };
        let mut picked = drawn(weights, uniform(draws.pick));
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
        let equal =
            |i: usize| i != picked && self.groups[i] == chosen && self.scores[i] >= low && self.scores[i] <= high;
        let equals = (0..self.scores.len()).filter(|&i| equal(i)).count();
        let place = (pair * equals as f64) as usize;
        let work = |i: usize| f64::from(candidates.live(i).tokens) * candidates.row(i).token;
        match (0..self.scores.len()).filter(|&i| equal(i)).nth(place) {
            Some(other) if work(other) < work(picked) => other,
            _ => picked,
        }
    }

    /// The first `most` candidates in the order in which they are tried.
    pub(super) fn order(&self, most: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        let by = |&a: &usize, &b: &usize| {
            let first = |i| self.first != Some(i);
            first(a)
                .cmp(&first(b))
                .then(self.groups[a].cmp(&self.groups[b]))
                .then(self.scores[a].total_cmp(&self.scores[b]))
                .then(a.cmp(&b))
        };
        if most > 0 && most < order.len() {
            order.select_nth_unstable_by(most - 1, by);
        }
        order.truncate(most);
        order.sort_unstable_by(by);
        order
    }
}

fn group(row: &Row, live: Live, preferred: bool) -> Group {
    match live.gate {
        Gate::Open => Group::Open,
        Gate::Closed | Gate::HalfOpen if live.saturated => Group::Saturated,
        Gate::HalfOpen => Group::HalfOpen,
        Gate::Closed => match (row.newcomer, preferred) {
            (false, true) => Group::Preferred,
            (false, false) => Group::Known,
            (true, true) => Group::PreferredNewcomer,
            (true, false) => Group::Newcomer,
        },
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

/// Whom `uniform` picks by `weights`.
fn drawn(weights: &[f64], uniform: f64) -> Option<usize> {
    let mut left = uniform * weights.iter().sum::<f64>();
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        left -= weight;
        last = Some(index);
        if left < 0.0 {
            break;
        }
    }
    // The weights' sum may fall short by rounding.
    last
}
