//! The choice itself, pure: the same candidates, coefficients, request and draws give the same order on every machine,
//! because only sums, products, quotients and square roots are used, which IEEE 754 rounds in one way.
//!
//! Each candidate belongs to a [`Group`]; the best group that has anybody shares the traffic ∝ `J^−k`, and what is
//! left after a bounded exploration and probes of those that may be back.

use super::ask::{Ask, Draws, Gate, Measured, Ranking, ScoreLine, Sort};
use super::coefficients::Coefficients;
use super::stats::{median_of_some, power};
use smallvec::{SmallVec, smallvec};
use std::cmp::Ordering;

/// Recent answers with which an offer is as well known as unknown: halves what it gets of the exploration.
const KNOWN: f64 = 8.0;
/// What reading any prompt takes, in tokens of prompt: half a second where 6,000 are read in one.
const ALWAYS: f64 = 3_000.0;
/// Requests at once that are taken for nothing: below, load does not show.
const LOAD_SCALE: f64 = 20.0;
/// Most requests at once that are believed to be usual.
const MOST_LOAD: f64 = 1e6;
/// An idle offer is taken to be at most this much faster.
const LEAST_SLOWED: f64 = 0.5;
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

/// Places of an order that are computed with the choice: more attempts than a request makes.
pub(super) const HEAD: usize = 8;

/// A figure of every candidate; on the stack where they are no more than this.
type Column<T = f64> = SmallVec<[T; 64]>;

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
    /// Rate of answers that break off.
    broken: f64,
    /// Requests it is usually working on.
    usual_load: f64,
    /// What one more or less than that slows or speeds it by, a factor of.
    slope: f64,
    /// How little is known about it, 0 to 1.
    need: f64,
    newcomer: bool,
}

impl Row {
    pub(super) fn of(m: &Measured) -> Self {
        let failure = within(m.failure.into(), 0.0, WORST_FAILURE);
        let usual_load = within_or(m.usual_load.into(), 0.0, MOST_LOAD, 0.0);
        Self {
            prompt: prompt_price(m, within_or(m.cache_hits.into(), 0.0, 1.0, 0.0)),
            output: billing(m) * m.price.output as f64 / 1e6,
            broken: within(m.broken.into(), 0.0, 1.0),
            usual_load,
            slope: (usual_load + LOAD_SCALE).recip(),
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
    /// Requests it is working on.
    pub(super) requests: u32,
    /// Most requests at once, as its 429s taught.
    pub(super) cap: u32,
    pub(super) gate: Gate,
    /// Was sent as many requests lately as it takes.
    pub(super) paced: bool,
    /// Works on several requests and ended none for far longer than usual.
    pub(super) silent: bool,
    /// Answered 429 lately.
    pub(super) limited: bool,
    /// When it changes though nothing happens, in seconds from the scorer's beginning.
    pub(super) until: f64,
}

impl Live {
    /// The cap of an offer that never said it had too much.
    pub(super) const UNCAPPED: u32 = u32::MAX;

    fn of(m: &Measured) -> Self {
        Self {
            tokens: m.outstanding_tokens,
            requests: m.outstanding_requests,
            cap: m.cap.unwrap_or(Self::UNCAPPED),
            gate: m.gate,
            paced: m.paced,
            silent: m.silent,
            limited: m.limited,
            until: f64::INFINITY,
        }
    }

    fn saturated(&self) -> bool {
        self.silent || self.paced || self.requests >= self.cap
    }
}

/// The candidates of one choice.
pub(super) trait Candidates {
    fn len(&self) -> usize;
    fn row(&self, index: usize) -> &Row;
    fn live(&self, index: usize) -> Live;
    fn incumbent(&self) -> Option<usize>;
    /// Who served the prompt's prefix last.
    fn sticky(&self) -> Option<Sticky>;
}

/// Who served the prompt's prefix last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sticky {
    index: usize,
    /// µUSDC a prompt token, given what it has cached.
    prompt: f64,
    /// Share of the prompt that it need not read again.
    hits: f64,
}

impl Sticky {
    pub(super) fn of(index: usize, m: &Measured, hits: f32) -> Self {
        let usual = within_or(m.cache_hits.into(), 0.0, 1.0, 0.0);
        let hits = within_or(hits.into(), 0.0, 1.0, 0.0).max(usual);
        Self { index, prompt: prompt_price(m, hits), hits }
    }
}

/// What the time to the first token of a prompt of `tokens` is, relative to one of 1,000: a part that is always there and
/// one for reading.
pub(super) fn reading(tokens: f64) -> f64 {
    (ALWAYS + tokens) / (ALWAYS + 1_000.0)
}

/// Tokens billed for one estimated.
fn billing(m: &Measured) -> f64 {
    within_or(m.billing.into(), 0.01, 100.0, 1.0)
}

/// µUSDC a prompt token, `hits` of the prompt being cached.
fn prompt_price(m: &Measured, hits: f64) -> f64 {
    billing(m) * ((1.0 - hits) * m.price.input as f64 + hits * m.price.cached as f64) / 1e6
}

/// `x` within its range; what is no number is the worst, the upper end.
fn within(x: f64, low: f64, high: f64) -> f64 {
    within_or(x, low, high, high)
}

fn within_or(x: f64, low: f64, high: f64, otherwise: f64) -> f64 {
    if x.is_nan() { otherwise } else { x.clamp(low, high) }
}

/// A figure for the record: with so few decimal digits that every reader of JSON takes it for the same number.
fn told(x: f64) -> f64 {
    if x.abs() < 1e5 { (x * 1e9).round() / 1e9 } else { x.round() }
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
        fn sticky(&self) -> Option<Sticky> {
            let index = self.measured.iter().position(|m| m.sticky.is_some())?;
            let m = &self.measured[index];
            Some(Sticky::of(index, m, m.sticky?))
        }
    }
    let stored = Stored { measured: candidates, rows: candidates.iter().map(Row::of).collect() };
    let verdict = Verdict::of(&coefficients.sane(), ask, &stored, draws);
    let scores = candidates.iter().enumerate().map(|(i, m)| {
        let (row, exploit) = (&stored.rows[i], verdict.exploit * verdict.weights[i]);
        ScoreLine {
            offer: m.offer,
            cost: told(verdict.costs[i]),
            time: told(verdict.times[i]),
            failure: told(within(m.failure.into(), 0.0, WORST_FAILURE)),
            score: told(verdict.scores[i]),
            share: told(verdict.floors[i] + exploit),
            explored_share: told(verdict.floors[i]),
            samples: m.samples,
            ttft: told(row.ttft),
            speed: told(row.token.recip()),
            outstanding: m.outstanding_tokens,
            available: verdict.groups[i].available(),
        }
    });
    Ranking { scores: scores.collect(), order: verdict.order(), explored: verdict.explored }
}

/// Everything a choice computes, by candidate.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    costs: Column,
    times: Column,
    scores: Column,
    groups: Column<Group>,
    limited: Column<bool>,
    /// Shares that explore or probe.
    floors: Column,
    /// Weights in what is left.
    weights: Column,
    /// Share of a weight of 1.
    exploit: f64,
    /// The best by objective.
    best: Option<usize>,
    /// The one chosen; `None` without candidates.
    first: Option<usize>,
    explored: bool,
}

impl Verdict {
    /// `coefficients` must be sane.
    pub(super) fn of(c: &Coefficients, ask: &Ask, candidates: &impl Candidates, draws: &Draws) -> Self {
        let mut verdict = Self::judge(c, ask, candidates);
        let Some(chosen) = verdict.groups.iter().copied().min() else { return verdict };
        let best = verdict.best(chosen);
        verdict.best = Some(best);
        let sticky = verdict.sticky(best, candidates);
        verdict.weigh(c, ask, candidates, best, sticky);
        verdict.draw(c, candidates, chosen, sticky, draws);
        verdict
    }

    /// Cost, time, group and objective of each candidate.
    fn judge(c: &Coefficients, ask: &Ask, candidates: &impl Candidates) -> Self {
        let n = candidates.len();
        let (input, output) = (f64::from(ask.input_tokens), f64::from(ask.expected_output));
        let slowest = ask.preferred_min_throughput.filter(|x| *x > 0.0).map_or(f64::INFINITY, |x| f64::from(x).recip());
        let latest = ask.preferred_max_latency.filter(|x| !x.is_nan()).map_or(f64::INFINITY, f64::from);
        let (mut costs, mut times) = (Column::with_capacity(n), Column::with_capacity(n));
        let (mut groups, mut limited) = (Column::<Group>::with_capacity(n), Column::<bool>::with_capacity(n));
        let prompt = reading(input);
        for i in 0..n {
            let (row, live) = (candidates.row(i), candidates.live(i));
            costs.push(input * row.prompt + (output * row.output + row.request));
            let ttft = row.ttft * prompt;
            times.push((ttft + output * row.token) * slowed(c, row, live));
            limited.push(live.limited);
            groups.push(group(row, live, row.token <= slowest && ttft <= latest));
        }
        if let Some(Sticky { index, prompt, hits }) = candidates.sticky() {
            let (row, live) = (candidates.row(index), candidates.live(index));
            costs[index] = input * prompt + (output * row.output + row.request);
            times[index] = (row.ttft * reading(input * (1.0 - hits)) + output * row.token) * slowed(c, row, live);
        }
        let mut verdict = Self {
            scores: Column::new(),
            floors: smallvec![0.0; n],
            weights: smallvec![0.0; n],
            exploit: 0.0,
            best: None,
            first: None,
            explored: false,
            costs,
            times,
            groups,
            limited,
        };
        verdict.objectives(c, ask.sort, candidates);
        verdict
    }

    fn objectives(&mut self, c: &Coefficients, sort: Sort, candidates: &impl Candidates) {
        let n = candidates.len();
        let relative_to = |middle: Option<f64>, weight: f64| middle.map_or((weight, 0.0), |m| (0.0, weight / m));
        let cost = relative_to(scale(n, |i| self.costs[i]), 1.0);
        let score =
            |value: f64, row: &Row| (value * row.factor + c.broken_weight * row.broken).clamp(OBJECTIVE.0, OBJECTIVE.1);
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
    fn sticky(&self, best: usize, candidates: &impl Candidates) -> Option<usize> {
        let Sticky { index, .. } = candidates.sticky()?;
        (self.groups[index] == self.groups[best] && self.scores[index] <= self.scores[best]).then_some(index)
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
    fn weigh(&mut self, c: &Coefficients, ask: &Ask, candidates: &impl Candidates, best: usize, sticky: Option<usize>) {
        let chosen = self.groups[best];
        let set_aside = self.explore(c, ask.sort, candidates, chosen, best) + self.probe(c, chosen);
        let best = self.scores[best];
        let edge = if c.exponent > 0.0 { power((1.0 + c.reach).recip(), c.exponent) } else { 0.0 };
        let mut sum = 0.0;
        for i in 0..self.scores.len() {
            if self.groups[i] != chosen {
                continue;
            }
            let weight = match (sticky, ask.sort) {
                (Some(sticky), _) => f64::from(u8::from(sticky == i)),
                (None, Sort::Balanced) => ((power(best / self.scores[i], c.exponent) - edge) / (1.0 - edge)).max(0.0),
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

    /// The best by objective: the one to beat.
    pub(super) fn leader(&self) -> Option<usize> {
        self.best
    }

    fn before(&self, a: usize, b: usize) -> Ordering {
        let place = |i: usize| (self.first != Some(i), self.groups[i]);
        place(a).cmp(&place(b)).then(self.scores[a].total_cmp(&self.scores[b])).then(a.cmp(&b))
    }

    /// From the third on, those that answered 429 lately come after the others: attempts are few, and who is cheap is
    /// often out of quota together.
    fn calmly(&self, a: usize, b: usize) -> Ordering {
        let place = |i: usize| (self.groups[i], self.limited[i]);
        place(a).cmp(&place(b)).then(self.scores[a].total_cmp(&self.scores[b])).then(a.cmp(&b))
    }

    /// The first candidates in the order in which they are tried.
    pub(super) fn head(&self) -> SmallVec<[u32; HEAD]> {
        let mut best = Smallest::<2>::default();
        let mut rest = Smallest::<HEAD>::default();
        for i in 0..self.scores.len() {
            best.offer(i as u32, |a, b| self.before(a as usize, b as usize));
            rest.offer(i as u32, |a, b| self.calmly(a as usize, b as usize));
        }
        let mut head: SmallVec<[u32; HEAD]> = best.0.iter().copied().collect();
        let others = rest.0.iter().copied().filter(|i| !best.0.contains(i));
        head.extend(others.take(HEAD - best.0.len()));
        head
    }

    /// All candidates in the order in which they are tried.
    fn order(&self) -> Vec<usize> {
        let mut best: Vec<usize> = (0..self.scores.len()).collect();
        best.sort_unstable_by(|&a, &b| self.before(a, b));
        if best.len() > 2 {
            best[2..].sort_unstable_by(|&a, &b| self.calmly(a, b));
        }
        best
    }
}

/// The `N` smallest of what it was offered, in order.
#[derive(Default)]
struct Smallest<const N: usize>(SmallVec<[u32; HEAD]>);

impl<const N: usize> Smallest<N> {
    fn offer(&mut self, item: u32, by: impl Fn(u32, u32) -> Ordering) {
        if self.0.len() == N {
            match self.0.last() {
                Some(&last) if by(item, last).is_lt() => self.0.truncate(N - 1),
                _ => return,
            }
        }
        let place = self.0.iter().rposition(|&other| by(other, item).is_lt()).map_or(0, |place| place + 1);
        self.0.insert(place, item);
    }
}

/// By what factor an offer is slower than it was measured, working on more than it usually did.
fn slowed(c: &Coefficients, row: &Row, live: Live) -> f64 {
    (1.0 + c.load_weight * (f64::from(live.requests) - row.usual_load) * row.slope).max(LEAST_SLOWED)
}

fn group(row: &Row, live: Live, preferred: bool) -> Group {
    match live.gate {
        Gate::Open => Group::Open,
        Gate::Closed | Gate::HalfOpen if live.saturated() => Group::Saturated,
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
