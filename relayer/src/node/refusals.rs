//! Which providers are believed when they call a request wrong. A provider's 400 goes back to the client, because the
//! request would be wrong anywhere. A provider that refuses more often than it answers is not believed: another provider
//! is asked, and if that one serves the request, the refusal was a failure.

use crate::chain::Pubkey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Refusals believed before there were any answers.
const CREDIT: f64 = 2.0;
/// Refusals believed for each answer.
const PER_ANSWER: f64 = 0.1;
/// Half-life of both, in seconds.
const HALF_LIFE: f64 = 300.0;
/// Number of offers from which those are forgotten whose tally is [`NOTHING`].
const MAX_OFFERS: usize = 8_192;
/// A tally below this is forgotten.
const NOTHING: f64 = 0.01;

/// The recent answers and refusals of each offer.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Pubkey, Tally>>);

#[derive(Clone, Copy, Debug)]
struct Tally {
    answered: f64,
    refused: f64,
    at: Instant,
}

impl Tally {
    fn decay(&mut self, now: Instant) {
        let left = (-now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE).exp2();
        (self.answered, self.refused, self.at) = (self.answered * left, self.refused * left, now.max(self.at));
    }
}

impl Refusals {
    /// `offer` served a request.
    pub fn answered(&self, offer: &Pubkey, now: Instant) {
        self.change(offer, now, |tally| tally.answered += 1.0);
    }

    /// `offer` calls a request wrong. Returns whether it is believed; if not, another provider is to be asked.
    pub fn believes(&self, offer: &Pubkey, now: Instant) -> bool {
        self.change(offer, now, |tally| {
            let believed = tally.refused + 1.0 <= CREDIT + PER_ANSWER * tally.answered;
            if believed {
                tally.refused += 1.0;
            }
            believed
        })
    }

    /// Another provider served what `offer` had refused.
    pub fn contradicted(&self, offer: &Pubkey, now: Instant) {
        self.change(offer, now, |tally| tally.refused += 1.0);
    }

    fn change<T>(&self, offer: &Pubkey, now: Instant, change: impl FnOnce(&mut Tally) -> T) -> T {
        let mut tallies = self.lock();
        if tallies.len() >= MAX_OFFERS && !tallies.contains_key(offer) {
            tallies.retain(|_, tally| {
                tally.decay(now);
                tally.answered + tally.refused > NOTHING
            });
        }
        let tally = tallies.entry(*offer).or_insert(Tally { answered: 0.0, refused: 0.0, at: now });
        tally.decay(now);
        change(tally)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pubkey, Tally>> {
        // Counts stay usable whoever panicked while holding them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const OFFER: Pubkey = Pubkey::new_from_array([1; 32]);

    #[test]
    fn who_answers_is_believed_and_who_only_refuses_is_not() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let believed = |n: usize| (0..n).filter(|_| refusals.believes(&OFFER, now)).count();
        assert_eq!(believed(10), 2, "on credit");
        (0..100).for_each(|_| refusals.answered(&OFFER, now));
        assert_eq!(believed(100), 10, "one in ten");
        let other = Pubkey::new_from_array([2; 32]);
        assert!(refusals.believes(&other, now), "each by its own");
    }

    #[test]
    fn a_contradicted_refusal_counts_and_time_forgives() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.contradicted(&OFFER, now);
        refusals.contradicted(&OFFER, now);
        assert!(!refusals.believes(&OFFER, now));
        assert!(refusals.believes(&OFFER, now + Duration::from_secs(900)));
    }
}
