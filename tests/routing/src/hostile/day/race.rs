//! Attempts that race each other, as `relay/failover/hedge.rs` has it: who is late is raced by the next, and the first that has
//! something to hand on has won.

use super::Day;
use super::state::{Attempt, Flight, asker, is_healthy};
use crate::market::provider::Fate;
use std::time::Duration;
use steam::relay::decision::OVERTAKEN;
use steam::relay::plan::Place;
use steam::score::{FailureKind, Outcome};

impl Day {
    /// The first token of an attempt came: it has won.
    pub(super) fn first(&mut self, place: usize, number: u64) {
        let at = self.relayer.clock.instant(self.now);
        let Some((flight, found)) = self.find(place, number) else { return };
        let mut winner = flight.running.swap_remove(found);
        let slower = std::mem::take(&mut flight.running);
        self.relayer.scorer.began(&winner.offer.address, &winner.ask, &mut winner.ticket, at);
        let Some(mut flight) = self.flights[place].take() else { return };
        self.overtaken(&mut flight, slower);
        flight.running.push(winner);
        self.flights[place] = Some(flight);
    }

    /// An attempt is late, and the one that began last: the next provider is raced against it.
    pub(super) fn late(&mut self, place: usize, number: u64) {
        let (now, at) = (self.now, self.relayer.clock.instant(self.now));
        let Some((flight, found)) = self.find(place, number) else { return };
        let attempt = &flight.running[found];
        let began = attempt.began + attempt.fate.first(flight.request.streamed) <= now;
        if began || flight.running.iter().any(|attempt| attempt.number > number) {
            return;
        }
        flight.running[found].late = true;
        let vault = flight.evidence.vault;
        if !self.relayer.limits.retries.take(vault, at) {
            return;
        }
        if let Some(mut flight) = self.flights[place].take() {
            flight.permits += 1;
            self.attempt(place, flight);
        }
    }

    /// Others answered first: these attempts are aborted, and paid nothing.
    pub(super) fn overtaken(&mut self, flight: &mut Flight, slower: Vec<Attempt>) {
        let at = self.relayer.clock.instant(self.now);
        for attempt in slower {
            self.leaves(attempt.id);
            self.note(flight, &attempt, OVERTAKEN);
            let waited = self.now - attempt.began;
            let outcome = if attempt.late {
                let (input_tokens, waited) = (flight.request.input, Duration::from_secs_f64(waited));
                Outcome::Overtaken { input_tokens, waited, late: true }
            } else {
                Outcome::Neutral
            };
            let asked = (&attempt.ask, &attempt.ticket);
            self.relayer.scorer.ended_for(&attempt.offer.address, asked, &outcome, &flight.evidence, at);
            if let Some(sybil) = self.offers.of(attempt.id) {
                let given_up = Fate::Failed { after: waited, kind: FailureKind::FirstTokenTimeout };
                sybil.ended(&flight.request, &given_up, 0.0, asker(flight.who));
            }
            self.tell(flight, &attempt, 0.0);
        }
    }
}

/// When the attempt at `turn`, which is the last that began, is late, as `relay/failover/hedge.rs` has it.
pub(super) fn late_after(flight: &Flight, turn: Place) -> Option<Duration> {
    let admitted = &flight.admitted;
    let next = admitted.candidate(*admitted.order.scheduled.get(flight.tried)?)?;
    let offer = &admitted.candidate(turn)?.offer;
    let waits = !admitted.request.controls.allow_fallbacks || admitted.named.contains(&offer.provider);
    if waits || !is_healthy(flight, &next.offer) {
        return None;
    }
    admitted.ranked.get(turn.route)?.late_after(&offer.address, &next.offer.address)
}
