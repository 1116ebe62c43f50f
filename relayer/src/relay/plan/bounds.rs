//! Bounds on what strangers' offers may take of a request: comparisons, memory, its record, and what is held for it.

use super::{Plan, Route};
use crate::registry::Offer;

/// Most exclusions of a model that are kept: of the others it is kept how many there were.
const KEPT: usize = 16;

impl Route {
    /// Keeps the exclusions of the offers that were closest to serving, and how many more there were: strangers decide how many
    /// offers there are.
    pub(super) fn summarise(&mut self) {
        if self.excluded.len() <= KEPT {
            return;
        }
        self.excluded.sort_by_key(|exclusion| std::cmp::Reverse(exclusion.filter));
        let more = self.excluded.len() - KEPT;
        self.excluded.truncate(KEPT);
        if let Some(last) = self.excluded.last_mut() {
            last.reason = format!("{}; {more} more cannot either", last.reason);
        }
    }

    /// Keeps `most` candidates: those that `known` says have served before, and of those alike the cheaper ones. A quarter is
    /// left to those that are new.
    fn bound(&mut self, most: usize, known: impl Fn(&Offer) -> bool) {
        if self.candidates.len() <= most {
            return;
        }
        let (mut old, mut new): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.candidates).into_iter().enumerate().partition(|(_, one)| known(&one.offer));
        old.sort_by_key(|(_, candidate)| candidate.ceiling);
        new.sort_by_key(|(_, candidate)| candidate.ceiling);
        old.truncate(most - new.len().min(most / 4));
        new.truncate(most - old.len());
        old.append(&mut new);
        // The order they had: those of the client's dialect first, and each as the market knows them, which is faster to look up.
        old.sort_by_key(|(place, _)| *place);
        self.candidates = old.into_iter().map(|(_, candidate)| candidate).collect();
    }
}

impl Plan {
    /// The same plan with at most `most` candidates for each model: those that `known` says have served before come first.
    pub fn bounded(mut self, most: usize, known: impl Fn(&Offer) -> bool) -> Self {
        for route in &mut self.routes {
            route.bound(most, &known);
        }
        let ceilings = self.routes.iter().flat_map(|route| &route.candidates).map(|candidate| candidate.ceiling);
        self.ceiling = ceilings.max().unwrap_or(self.ceiling);
        self
    }
}
