//! The public lists of models and offers. They are work to make, and anybody may ask for them at any rate: each is made once for
//! what it follows from, and given again for a second.

use crate::board::Board;
use crate::market::MarketView;
use crate::registry::Registry;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

/// For how long a list is given again: what was measured since is missing in it for that long.
const AGE: Duration = Duration::from_secs(1);
/// Lists that few ask for, kept at most. One has up to some megabytes.
const MOST_RARE: usize = 8;
/// How long a request waits while a list is made for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a list follows from besides measurements: when any of it changes, the list is made anew at once.
#[derive(Clone, Debug)]
pub struct Basis {
    /// Offers, prices and providers.
    pub registry: Arc<Registry>,
    /// With whom the operator deals.
    pub market: MarketView,
    flag_changes: u64,
}

impl Basis {
    /// The basis of a list that is made of these now.
    pub fn new(registry: Arc<Registry>, market: MarketView, board: &Board) -> Self {
        Self { registry, market, flag_changes: board.flag_changes() }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.registry, &other.registry)
            && self.market.is(&other.market)
            && self.flag_changes == other.flag_changes
    }
}

/// Whether a list is one of the few that everybody asks for. The others are made in a place of their own, and do not displace these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Without a query, or with a window alone.
    Common,
    /// With a query of which there are any number.
    Rare,
}

#[derive(Debug)]
struct Kept {
    basis: Basis,
    made: Instant,
    demand: Demand,
    body: Bytes,
}

/// Lists by their names.
#[derive(Debug, Default)]
pub struct Listings {
    kept: Mutex<HashMap<String, Kept>>,
    common: Arc<tokio::sync::Mutex<()>>,
    rare: Arc<tokio::sync::Mutex<()>>,
}

impl Listings {
    /// The list of this `name`, if one is kept that is new enough and follows from `basis`.
    pub fn get(&self, name: &str, basis: &Basis, now: Instant) -> Option<Bytes> {
        let lists = self.lock();
        let kept = lists.get(name)?;
        let fresh = now.saturating_duration_since(kept.made) < AGE && kept.basis.is(basis);
        fresh.then(|| kept.body.clone())
    }

    /// The place where lists of this `demand` are made, one at a time. `None` if it is not free for too long.
    pub async fn place(&self, demand: Demand) -> Option<OwnedMutexGuard<()>> {
        let place = match demand {
            Demand::Common => &self.common,
            Demand::Rare => &self.rare,
        };
        timeout(PATIENCE, place.clone().lock_owned()).await.ok()
    }

    /// Keeps the list of this `name`, which was made of `basis` at `made`.
    pub fn keep(&self, name: String, demand: Demand, basis: Basis, made: Instant, body: Bytes) {
        let mut lists = self.lock();
        // What follows from another basis is of no use to anybody.
        lists.retain(|_, kept| kept.basis.is(&basis));
        let rare = lists.iter().filter(|(_, kept)| kept.demand == Demand::Rare);
        if demand == Demand::Rare
            && rare.clone().count() >= MOST_RARE
            && let Some(oldest) = rare.min_by_key(|(_, kept)| kept.made).map(|(name, _)| name.clone())
        {
            lists.remove(&oldest);
        }
        lists.insert(name, Kept { basis, made, demand, body });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        // Lists stay usable whoever panicked while holding them.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Market as Policy;
    use crate::market::{Market, Proofs};
    use crate::relay::testing::registry;

    #[test]
    fn a_list_is_given_again_for_a_second_and_while_nothing_changed_that_it_follows_from() {
        let (lists, start) = (Listings::default(), Instant::now());
        let (market, board) = (Market::new(Policy::default()), Board::default());
        let read = Arc::new(registry(Vec::new()));
        let basis = || Basis::new(read.clone(), market.view(), &board);
        let keep = |text: &'static str| lists.keep("a".into(), Demand::Common, basis(), start, Bytes::from(text));
        keep("1");
        let millis = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(lists.get("a", &basis(), millis(999)), Some("1".into()));
        assert_eq!(lists.get("a", &basis(), millis(1_000)), None);
        assert_eq!(lists.get("b", &basis(), start), None);
        let again = Basis::new(Arc::new(registry(Vec::new())), market.view(), &board);
        assert_eq!(lists.get("a", &again, start), None, "the chain was read again");
        market.prove(Proofs::default());
        assert_eq!(lists.get("a", &basis(), start), None, "other proofs");
        keep("2");
        market.reload(Policy::default());
        assert_eq!(lists.get("a", &basis(), start), None, "another policy");
        keep("3");
        let flagged = Basis { flag_changes: 1, ..basis() };
        assert_eq!(lists.get("a", &flagged, start), None, "a flag");
        assert_eq!(lists.get("a", &basis(), start), Some("3".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_few_ask_for_is_bounded_and_displaces_nothing_and_is_made_one_at_a_time() {
        let (lists, start) = (Listings::default(), Instant::now());
        let (market, board) = (Market::new(Policy::default()), Board::default());
        let basis = Basis::new(Arc::new(registry(Vec::new())), market.view(), &board);
        let keep = |name: &str, demand, at: u64| {
            lists.keep(name.into(), demand, basis.clone(), start + Duration::from_millis(at), Bytes::new());
        };
        keep("common", Demand::Common, 0);
        (0..100).for_each(|n| keep(&n.to_string(), Demand::Rare, n));
        assert_eq!(lists.lock().len(), 1 + MOST_RARE);
        let kept = |name: &str| lists.get(name, &basis, start).is_some();
        assert!(kept("common") && kept("99") && !kept("91"), "the last ones");

        let place = lists.place(Demand::Rare).await;
        assert!(place.is_some() && lists.place(Demand::Rare).await.is_none(), "one at a time");
        assert!(lists.place(Demand::Common).await.is_some(), "which nobody else waits for");
        drop(place);
        assert!(lists.place(Demand::Rare).await.is_some());
    }
}
