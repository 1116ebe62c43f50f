//! The table of all offers: their trackers, and apart from them their loads in one piece of memory, so that a choice among
//! hundreds reads the loads in order. Seconds count from the scorer's beginning.

use super::Outcome;
use super::ask::Ask;
use super::candidate::Live;
use super::evidence::Evidence;
use super::ticket::Ticket;
use super::tracker::Tracker;
use crate::chain::Pubkey;
use std::collections::HashMap;

/// Offers that are tracked at most before idle ones are forgotten.
pub(super) const MOST: usize = 8_192;

/// Every offer that was seen and not forgotten since.
#[derive(Debug, Default)]
pub(super) struct OfferTable {
    slots: HashMap<Pubkey, u32>,
    trackers: Vec<Tracker>,
    lives: Vec<Live>,
}

impl OfferTable {
    /// Offers tracked.
    pub(super) fn len(&self) -> usize {
        self.trackers.len()
    }

    /// The slot of `offer` if it is tracked.
    pub(super) fn known(&self, offer: &Pubkey) -> Option<u32> {
        self.slots.get(offer).copied()
    }

    /// The slot of `offer`.
    pub(super) fn slot(&mut self, offer: &Pubkey, now: f64) -> u32 {
        if let Some(&slot) = self.slots.get(offer) {
            return slot;
        }
        let slot = self.trackers.len() as u32;
        let tracker = Tracker::new(now);
        self.lives.push(tracker.live(now));
        self.trackers.push(tracker);
        self.slots.insert(*offer, slot);
        slot
    }

    pub(super) fn tracker(&mut self, slot: u32) -> &mut Tracker {
        &mut self.trackers[slot as usize]
    }

    /// The load of a slot as of now.
    pub(super) fn live(&mut self, slot: u32, now: f64) -> Live {
        let live = &mut self.lives[slot as usize];
        if now >= live.until {
            *live = self.trackers[slot as usize].live(now);
        }
        *live
    }

    /// A request passes by the offer at `slot`, whose breaker is open.
    pub(super) fn passed(&mut self, slot: u32, now: f64) {
        if self.tracker(slot).passed() {
            self.change(slot, now, |_| ());
        }
    }

    /// The offer at `slot` is sent the request `ask`, which says as much as `weight`; `hits` of its prompt should be cached.
    pub(super) fn started(&mut self, slot: u32, ask: &Ask, hits: f64, weight: f32, now: f64) -> Ticket {
        self.change(slot, now, |tracker| tracker.started(ask, hits, weight, now))
    }

    /// Whether the offer at `slot` is a newcomer, see [`Tracker::newcomer`].
    pub(super) fn newcomer(&mut self, slot: u32, established: bool, answers: u32, now: f64) -> bool {
        let before = self.tracker(slot).is_new;
        let is_new = self.tracker(slot).newcomer(established, answers);
        if is_new != before {
            self.change(slot, now, |_| ());
        }
        is_new
    }

    /// `asked` is the request, and whether its prompt's beginning was served by this offer before; `evidence` is what it says,
    /// and whether the relayer probes.
    pub(super) fn observe(
        &mut self,
        slot: u32,
        outcome: &Outcome,
        ticket: Option<&Ticket>,
        asked: (Option<&Ask>, bool),
        evidence: (&Evidence, bool),
        now: f64,
    ) {
        self.change(slot, now, |tracker| tracker.observe(outcome, ticket, asked, evidence, now));
    }

    fn change<T>(&mut self, slot: u32, now: f64, change: impl FnOnce(&mut Tracker) -> T) -> T {
        let tracker = &mut self.trackers[slot as usize];
        let result = change(tracker);
        self.lives[slot as usize] = tracker.live(now);
        result
    }

    /// Forgets idle offers. Slots change.
    pub(super) fn forget_idle(&mut self, now: f64) {
        let mut offers: Vec<(u32, Pubkey)> = self.slots.drain().map(|(offer, slot)| (slot, offer)).collect();
        offers.sort_unstable_by_key(|(slot, _)| *slot);
        let trackers = std::mem::take(&mut self.trackers);
        self.lives.clear();
        for ((_, offer), tracker) in offers.into_iter().zip(trackers).filter(|(_, tracker)| !tracker.idle(now)) {
            self.slots.insert(offer, self.trackers.len() as u32);
            self.lives.push(tracker.live(now));
            self.trackers.push(tracker);
        }
    }
}
