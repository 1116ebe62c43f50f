//! A market's true state in real time: for a provider process, which lives through it, and for an oracle beside it.

use super::{World, oracle};
use crate::market::Market;
use crate::market::provider::Fate;
use crate::policy::View;
use std::time::Duration;

/// The market as one client finds it: what it has under way, what is left of its limits, what is cached of it.
pub struct Live<'a> {
    world: World<'a>,
    /// Changes of the registry that were taken over.
    changes: usize,
}

/// An attempt that begins.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// How it will go.
    pub fate: Fate,
    /// What a 429 says.
    pub retry_after: Option<Duration>,
    /// Prompt tokens in the cache.
    pub cached: u32,
}

impl<'a> Live<'a> {
    /// Before anything happened.
    pub fn new(market: &'a Market) -> Self {
        Self { world: World::new(market), changes: 0 }
    }

    /// It is `now`, in seconds since the market began.
    fn set(&mut self, now: f64) {
        self.world.now = now;
        let seen = self.world.market.changes.partition_point(|&at| at <= now);
        if seen > self.changes {
            self.changes = seen;
            self.world.relist(now);
        }
    }

    /// Begins an attempt of the request in place `index` at provider `id`.
    pub fn begin(&mut self, id: usize, index: usize, now: f64) -> Begun {
        self.set(now);
        let cached = self.world.cached(id, &self.world.market.requests[index]);
        let (fate, retry_after) = self.world.admit(id, index);
        Begun { fate, retry_after, cached }
    }

    /// An attempt at provider `id` is over; `kept` is the request whose prompt and answer it has from now on.
    pub fn end(&mut self, id: usize, kept: Option<usize>, now: f64) {
        self.set(now);
        self.world.own[id] -= 1;
        if let Some(index) = kept {
            self.world.hold(id, &self.world.market.requests[index]);
        }
    }

    /// What a policy may know of the request in place `index`.
    pub fn view(&mut self, index: usize, now: f64) -> View<'_> {
        self.set(now);
        self.world.view(&self.world.market.requests[index])
    }

    /// The providers listed, by position.
    pub fn ids(&self) -> &[usize] {
        &self.world.ids
    }

    /// The oracle's order of positions for the request in place `index`.
    pub fn best(&mut self, index: usize, now: f64) -> Vec<usize> {
        self.set(now);
        oracle::rank(&self.world, &self.world.market.requests[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Limit, Provider};
    use crate::testing::{market, request, steady};

    #[test]
    fn what_is_under_way_takes_room_until_it_ends_and_offers_appear_when_they_are_listed() {
        let narrow = Provider { at_once: Some(1), ..steady() };
        let market = market(vec![narrow, Provider { listed: 5.0, ..steady() }], vec![request(0.0, 0)]);
        let mut live = Live::new(&market);
        assert!(matches!(live.begin(0, 0, 0.0).fate, Fate::Served { .. }));
        assert!(matches!(live.begin(0, 0, 0.1).fate, Fate::Failed { .. }), "it takes one at a time");
        assert_eq!((live.view(0, 4.0).offers.len(), live.view(0, 5.0).offers.len()), (1, 2));
        assert_eq!(live.best(0, 5.0), [1, 0], "the oracle knows who is full");
        live.end(0, None, 6.0);
        live.end(0, Some(0), 6.0);
        assert!(matches!(live.begin(0, 0, 7.0).fate, Fate::Served { .. }));
    }

    #[test]
    fn a_limit_is_counted_and_says_when() {
        let limit = Limit { rate: 0.5, burst: 1.0, says_when: true };
        let market = market(vec![Provider { limit: Some(limit), ..steady() }], vec![request(0.0, 0)]);
        let mut live = Live::new(&market);
        assert_eq!(live.begin(0, 0, 0.0).retry_after, None);
        assert_eq!(live.begin(0, 0, 0.0).retry_after, Some(Duration::from_secs(2)));
        assert!(matches!(live.begin(0, 0, 2.0).fate, Fate::Served { .. }));
    }
}
