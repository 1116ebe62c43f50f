//! A baseline: a preference among the providers in good health, those tried last behind them, in the order in which
//! they come back.

use super::health::{Exclusion, Health};
use super::{Policy, View};
use crate::draw::{self, Purpose};
use crate::market::Request;
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use steam::score::Outcome;

/// Prefers some candidates to others.
pub trait Preference {
    /// The `candidates`, positions in `view`, best first.
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize>;

    /// A request was sent to provider `id`.
    fn started(&mut self, _id: usize) {}

    /// It ended.
    fn observe(&mut self, _id: usize, _outcome: &Outcome, _now: f64) {}
}

/// A preference with the health checks and the failover everybody has.
pub struct Baseline {
    preference: Box<dyn Preference>,
    health: Health,
    rng: Pcg64Mcg,
}

impl Baseline {
    /// `preference` among providers that are not excluded.
    pub fn new(preference: Box<dyn Preference>, exclusion: Exclusion, seed: u64) -> Self {
        Self { preference, health: Health::new(exclusion), rng: draw::at(seed, Purpose::Policy, 0, 0) }
    }
}

impl Policy for Baseline {
    fn rank(&mut self, view: &View<'_>) -> Vec<usize> {
        let until = |&position: &usize| self.health.until(view.ids[position]);
        let (well, mut excluded): (Vec<usize>, Vec<usize>) =
            (0..view.offers.len()).partition(|position| until(position) <= view.now);
        let mut order = if well.is_empty() { Vec::new() } else { self.preference.order(view, &well, &mut self.rng) };
        excluded.sort_by(|a, b| until(a).total_cmp(&until(b)));
        order.extend(excluded);
        order
    }

    fn started(&mut self, id: usize, _request: &Request, _now: f64) {
        self.preference.started(id);
    }

    fn ended(&mut self, id: usize, _request: &Request, outcome: &Outcome, now: f64) {
        self.health.observe(id, outcome, now);
        self.preference.observe(id, outcome, now);
    }
}

/// Everybody alike, by chance.
pub struct Random;

impl Preference for Random {
    fn order(&mut self, _view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let mut left = candidates.to_vec();
        (0..candidates.len()).map(|_| left.swap_remove(rng.random_range(0..left.len()))).collect()
    }
}

/// Everybody in turn.
#[derive(Default)]
pub struct RoundRobin {
    /// Whose turn it was.
    last: Option<usize>,
}

impl Preference for RoundRobin {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], _rng: &mut Pcg64Mcg) -> Vec<usize> {
        let next = candidates.iter().position(|&position| Some(view.ids[position]) > self.last).unwrap_or(0);
        self.last = Some(view.ids[candidates[next]]);
        candidates.iter().cycle().skip(next).take(candidates.len()).copied().collect()
    }
}

/// The `candidates` by `key`, lowest first, equals in the order they came.
pub fn lowest(candidates: &[usize], key: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> = candidates.iter().map(|&position| (key(position), position)).collect();
    let by = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    order.sort_by(by);
    order.into_iter().map(|(_, position)| position).collect()
}
