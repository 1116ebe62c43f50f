//! The table of all offers: their trackers, and apart from them their loads in one piece of memory, so that a choice among
//! hundreds reads the loads in order. Seconds count from the scorer's beginning.

use super::Outcome;
use super::ask::Ask;
use super::candidate::Live;
use super::evidence::Evidence;
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
    changed: bool,
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

    pub(super) fn started(&mut self, slot: u32, tokens: u32, counts: bool, now: f64) {
        self.change(slot, now, |tracker| tracker.started(tokens, counts, now));
    }

    /// `asked` is the request, and whether its prompt's beginning was served by this offer before; `evidence` is what it says,
    /// and whether the relayer probes; `q` are the quantiles wanted.
    pub(super) fn observe(
        &mut self,
        slot: u32,
        outcome: &Outcome,
        asked: (Option<&Ask>, bool),
        evidence: (&Evidence, bool),
        q: [f64; 2],
        now: f64,
    ) {
        self.change(slot, now, |tracker| {
            tracker.observe(outcome, asked, evidence, now);
            tracker.answers.refresh(q, now);
        });
    }

    /// Opens the breaker of an outlier.
    pub(super) fn eject(&mut self, slot: u32, now: f64) {
        self.change(slot, now, |tracker| tracker.eject(now));
        self.changed = true;
    }

    /// Whether anybody was ejected since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn change(&mut self, slot: u32, now: f64, change: impl FnOnce(&mut Tracker)) {
        let tracker = &mut self.trackers[slot as usize];
        change(tracker);
        self.lives[slot as usize] = tracker.live(now);
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
