//! The order in which a plan's candidates are tried. Checking a decision record calls the same functions.

use super::{Asker, Plan, Route};
use crate::score::{Choice, Scorer};
use rand::RngCore;
use tokio::time::Instant;

/// A candidate of a plan, and what its turn depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether its breaker is open.
    pub open: bool,
    /// Which of the plan's routes it is of.
    pub route: usize,
    /// Which of the route's candidates it is.
    pub candidate: usize,
}

impl Place {
    /// When its turn is: after all whose breaker is closed, if its own is open, and model by model.
    pub fn turn(&self) -> (bool, usize) {
        (self.open, self.route)
    }
}

/// Whom a request tries.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whom it tries if nobody answers 429, in this order.
    pub scheduled: Vec<Place>,
    /// Of each route, whom it may try: all of them, or the first ones.
    ranked: Vec<Ranked>,
}

#[derive(Clone, Debug)]
struct Ranked {
    places: Vec<Place>,
    /// Whether there are no others.
    whole: bool,
}

impl Order {
    /// The next of a route of which `taken` were scheduled; `choice` is the route's.
    pub fn next(&self, route: usize, taken: usize, choice: &Choice) -> Option<Place> {
        let ranked = self.ranked.get(route)?;
        if ranked.whole || taken < ranked.places.len() {
            return ranked.places.get(taken).copied();
        }
        preferred_first(choice.places(route, usize::MAX), |_| None, |place| place.open, false).get(taken).copied()
    }
}

impl Plan {
    /// The order in which candidates are tried, model by model, `attempts` of them unless some answer 429, and the choice
    /// of each route.
    pub fn rank(
        &self,
        asked: Asker<'_>,
        scorer: &Scorer,
        attempts: u32,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> (Order, Vec<Choice>) {
        let attempts = attempts as usize;
        // As many as are tried in all: a route has no more of them, and one at least.
        let most = attempts.max(self.routes.len());
        let routes = self.routes.iter().enumerate();
        let (ranked, choices): (Vec<Ranked>, Vec<Choice>) =
            routes.map(|(number, route)| route.rank(number, asked, scorer, most, now, rng)).unzip();
        let orders: Vec<Vec<Place>> = ranked.iter().map(|ranked| ranked.places.clone()).collect();
        let scheduled = schedule(orders, |lengths| places(lengths, attempts), |place| place.open);
        (Order { scheduled, ranked }, choices)
    }
}

impl Route {
    /// The first `most` candidates at least in the order in which they are tried, and the choice behind it.
    fn rank(
        &self,
        number: usize,
        asked: Asker<'_>,
        scorer: &Scorer,
        most: usize,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> (Ranked, Choice) {
        let offers: Vec<_> = self.candidates.iter().map(|candidate| candidate.offer.clone()).collect();
        let choice = scorer.rank_for(asked.vault, &offers, &self.ask, now, rng);
        let controls = &asked.request.controls;
        // Whom the client names may stand anywhere; of the others only the first are tried.
        let order = choice.places(number, if controls.order.is_empty() { most } else { usize::MAX });
        let only_first = !controls.allow_fallbacks && controls.order.is_empty();
        let whole = only_first || order.len() == self.candidates.len();
        let rank = |place: &Place| asked.named.rank_of(&self.candidates.get(place.candidate)?.offer);
        let places = preferred_first(order, rank, |place| place.open, only_first);
        (Ranked { places, whole }, choice)
    }
}

impl Choice {
    /// The first `most` of its order at least, or all, as candidates of the plan's route with this `number`.
    fn places(&self, number: usize, most: usize) -> Vec<Place> {
        let place = |candidate| Place { open: self.is_open(candidate), route: number, candidate };
        self.order(most).into_iter().map(place).collect()
    }
}

/// Puts the candidates that the client prefers first, by their `rank`, and keeps the order of the others; those whose
/// breaker `is_open` come last, whoever prefers them.
pub fn preferred_first<T>(
    mut ranked: Vec<T>,
    rank: impl Fn(&T) -> Option<usize>,
    is_open: impl Fn(&T) -> bool,
    only_first: bool,
) -> Vec<T> {
    // Stable: those not named keep the scorer's order behind those that are.
    ranked.sort_by_key(|candidate| (is_open(candidate), rank(candidate).unwrap_or(usize::MAX)));
    if only_first {
        ranked.truncate(1);
    }
    ranked
}

/// How many candidates of each model are tried, of `attempts` in all, of which every model has at least one: a model with
/// many providers must not leave those after it without any.
pub fn places(lengths: &[usize], attempts: usize) -> Vec<usize> {
    let mut later = lengths.iter().filter(|length| **length > 0).count();
    let mut left = attempts.max(later);
    let mut of = |length: usize| {
        later -= usize::from(length > 0);
        let most = length.min(left - later);
        left -= most;
        most
    };
    lengths.iter().map(|length| of(*length)).collect()
}

/// The first of each model's candidates, as many as `places` says by how many there are; those whose breaker `is_open` come
/// after all other models'.
pub fn schedule<T>(
    orders: Vec<Vec<T>>,
    places: impl FnOnce(&[usize]) -> Vec<usize>,
    is_open: impl Fn(&T) -> bool,
) -> Vec<T> {
    let lengths: Vec<usize> = orders.iter().map(Vec::len).collect();
    let first = orders.into_iter().zip(places(&lengths)).flat_map(|(order, most)| order.into_iter().take(most));
    let mut scheduled: Vec<T> = first.collect();
    scheduled.sort_by_key(|candidate| is_open(candidate));
    scheduled
}
