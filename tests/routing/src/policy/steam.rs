//! The relayer's own scorer, called as the relayer calls it.

use super::withheld::{Teller, Withheld};
use super::{Policy, View};
use crate::draw::{self, Purpose};
use crate::market::{Request, address};
use rand_pcg::Pcg64Mcg;
use std::collections::HashMap;
use std::time::Duration;
use steam::score::{Ask, Coefficients, Outcome, Priors, Scorer, Ticket};
use tokio::time::Instant;

/// The scorer of [`steam::score`] in virtual time.
pub struct Steam {
    scorer: Scorer,
    teller: Teller,
    began: Instant,
    rng: Pcg64Mcg,
    /// What was ranked last.
    ranked: Ask,
    /// Attempts at each request, by the moment it was asked: what it was ranked for, and tickets by provider.
    attempts: HashMap<u64, (Ask, Vec<(usize, Ticket)>)>,
}

impl Steam {
    /// A scorer that knows nothing yet.
    pub fn new(coefficients: Coefficients, seed: u64) -> Self {
        Self::of(Scorer::new(coefficients), Withheld::Nothing, seed)
    }

    /// The released one that is not told what is `withheld`, and learns with these `priors`.
    pub fn without(withheld: Withheld, priors: Priors, seed: u64) -> Self {
        Self::of(Scorer::with_priors(Coefficients::default(), priors), withheld, seed)
    }

    fn of(scorer: Scorer, withheld: Withheld, seed: u64) -> Self {
        let rng = draw::at(seed, Purpose::Policy, 0, 0);
        let (teller, ranked, attempts) = (Teller::new(withheld), Ask::default(), HashMap::new());
        // Only differences of instants count, so that it does not matter when this one is.
        Self { scorer, teller, began: Instant::now(), rng, ranked, attempts }
    }

    fn instant(&self, now: f64) -> Instant {
        self.began + Duration::from_secs_f64(now)
    }
}

impl Policy for Steam {
    fn rank(&mut self, view: &View<'_>) -> Vec<usize> {
        let now = self.instant(view.now);
        let choice = self.scorer.rank(view.offers, &self.teller.ranked(view.ask), now, &mut self.rng);
        self.ranked = *choice.ask();
        choice.order(usize::MAX)
    }

    fn started(&mut self, id: usize, request: &Request, now: f64) {
        let now = self.instant(now);
        // The first attempt begins when the request was ranked, and later ones are of the same.
        let (ask, tickets) =
            self.attempts.entry(request.at.to_bits()).or_insert_with(|| (self.ranked, Vec::with_capacity(1)));
        let evidence = self.teller.evidence();
        let ticket = self.scorer.started_for(&address(id), ask, &evidence, now);
        tickets.push((id, ticket));
    }

    fn began(&mut self, id: usize, request: &Request, now: f64) {
        let now = self.instant(now);
        let Some((ask, tickets)) = self.attempts.get_mut(&request.at.to_bits()) else { return };
        let ticket = tickets.iter_mut().find(|(of, _)| *of == id).filter(|_| self.teller.tells_begin());
        if let Some((_, ticket)) = ticket {
            self.scorer.began(&address(id), ask, ticket, now);
        }
    }

    fn ended(&mut self, id: usize, request: &Request, outcome: &Outcome, now: f64) {
        let now = self.instant(now);
        let Some((ask, tickets)) = self.attempts.get_mut(&request.at.to_bits()) else { return };
        let Some(place) = tickets.iter().position(|(of, _)| *of == id) else { return };
        let (_, ticket) = tickets.swap_remove(place);
        let outcome = self.teller.outcome(id, request, outcome);
        self.scorer.ended_for(&address(id), (ask, &ticket), &outcome, &self.teller.evidence(), now);
    }
}
