//! When blocks are made: one for each slot of the time that has passed, so that the network's clock keeps up with this machine's.

use std::time::{Duration, Instant};

/// While the network makes up for a delay, blocks are made at twice the usual rate at most: a blockhash still holds for half the usual
/// time.
const CATCHING_UP: u32 = 2;
/// Slots after which a block that was asked for counts as made though nothing was heard of it.
const UNHEARD: u32 = 20;

/// The times at which blocks are due.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    slot: Duration,
    /// When the next block is due by the time that has passed since the first.
    planned: Instant,
    /// When it may be made.
    due: Instant,
    /// When the block under way was asked for.
    asked: Option<Instant>,
}

impl Pace {
    /// The first block is due a slot after `now`.
    pub fn new(slot: Duration, now: Instant) -> Self {
        Self { slot, planned: now + slot, due: now + slot, asked: None }
    }

    /// Whether a block is to be asked for; if so, it was.
    pub fn asks(&mut self, now: Instant) -> bool {
        if self.asked.is_some_and(|asked| now >= asked + self.slot * UNHEARD) {
            self.made();
        }
        let asks = self.asked.is_none() && now >= self.due;
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    /// The block that was asked for was made.
    pub fn made(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.planned += self.slot;
            // What the block took is no reason to wait for longer.
            self.due = self.planned.max(asked + self.slot / CATCHING_UP);
        }
    }

    /// Until when there is nothing to do but to hear of the block under way.
    pub fn rest(&self, now: Instant) -> Instant {
        if self.asked.is_some() { now + self.slot } else { self.due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Duration = Duration::from_millis(100);

    /// Asks for a block once it is due, and hears of it `took` later. Returns when that is.
    fn block(pace: &mut Pace, now: Instant, took: Duration) -> Instant {
        let at = pace.rest(now).max(now);
        assert!(pace.asks(at) && !pace.asks(at), "one at a time");
        pace.made();
        at + took
    }

    #[test]
    fn blocks_that_are_each_late_make_no_clock_that_is_ever_later() {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(SLOT, start), start);
        for _ in 0..36_000 {
            // A wait is always a little longer than it was to be.
            now = block(&mut pace, now, Duration::from_micros(900));
        }
        let late = now - start - SLOT * 36_000;
        assert!(late < Duration::from_millis(1), "{late:?} in an hour");
    }

    #[test]
    fn a_delay_is_made_up_for_and_not_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(SLOT, start);
        let mut now = block(&mut pace, start, Duration::from_secs(10));
        let (resumed, mut blocks) = (now, 1);
        while now - start > SLOT * (blocks + 1) {
            let next = block(&mut pace, now, Duration::ZERO);
            assert!(blocks == 1 || next - now >= SLOT / 2, "no faster than twice as fast");
            (now, blocks) = (next, blocks + 1);
        }
        let took = now - resumed;
        assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&took), "{took:?}");
    }

    #[test]
    fn a_machine_that_is_too_busy_makes_one_block_after_the_other() {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(SLOT, start), start);
        for _ in 0..100 {
            now = block(&mut pace, now, SLOT * 3 / 2);
        }
        assert_eq!(now - start, SLOT + SLOT * 150, "without a wait between them");
    }

    #[test]
    fn a_block_of_which_nothing_is_heard_does_not_stop_the_others() {
        let start = Instant::now();
        let mut pace = Pace::new(SLOT, start);
        assert!(pace.asks(start + SLOT) && !pace.asks(start + SLOT * 20));
        assert!(pace.asks(start + SLOT * 21), "it counts as made");
        // What is heard of none that was asked for changes nothing.
        let mut idle = Pace::new(SLOT, start);
        idle.made();
        assert!(!idle.asks(start + SLOT / 2) && idle.asks(start + SLOT));
    }
}
