//! When blocks are made: one for each slot of the time that has passed, so that the network's clock keeps up with this machine's.

use std::time::{Duration, Instant};

/// Of a slot, what passes at least between two blocks while the network makes up for a delay: a blockhash still holds for most of the
/// usual time.
const CATCHING_UP: (u32, u32) = (4, 5);
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
            self.made(now);
        }
        let asks = self.asked.is_none() && now >= self.due;
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    /// A block was made.
    pub fn made(&mut self, now: Instant) {
        if self.asked.take().is_some() {
            self.planned += self.slot;
            let (part, whole) = CATCHING_UP;
            self.due = self.planned.max(now + self.slot * part / whole);
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
        pace.made(at + took);
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
            assert!(next - now >= SLOT * 4 / 5, "no faster than by a quarter");
            (now, blocks) = (next, blocks + 1);
        }
        let took = now - resumed;
        assert!((Duration::from_secs(30)..Duration::from_secs(50)).contains(&took), "{took:?}");
    }

    #[test]
    fn a_block_of_which_nothing_is_heard_does_not_stop_the_others() {
        let start = Instant::now();
        let mut pace = Pace::new(SLOT, start);
        assert!(pace.asks(start + SLOT) && !pace.asks(start + SLOT * 20));
        assert!(!pace.asks(start + SLOT * 21), "it counts as made, and the next one has its time");
        assert!(pace.asks(start + SLOT * 22));
        // What is heard of none that was asked for changes nothing.
        let mut idle = Pace::new(SLOT, start);
        idle.made(start);
        assert!(!idle.asks(start + SLOT / 2) && idle.asks(start + SLOT));
    }
}
