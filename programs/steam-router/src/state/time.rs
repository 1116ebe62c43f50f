//! Time on a chain that measures it twice: in seconds the validators vote on and in slots. A deadline is fixed at the
//! event it follows from, and needs both to pass.

use anchor_lang::prelude::*;

/// A span of time.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// In seconds of the chain's clock.
    pub seconds: u32,
    /// In slots.
    pub slots: u32,
}

/// A moment both the chain's clock and its slot must reach.
#[derive(
    AnchorSerialize,
    AnchorDeserialize,
    InitSpace,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[repr(C)]
pub struct Deadline {
    /// Unix seconds.
    pub time: i64,
    /// Slot.
    pub slot: u64,
}

impl Delay {
    /// Whether it is longer than nothing, in both units.
    pub fn is_some(&self) -> bool {
        self.seconds > 0 && self.slots > 0
    }

    /// Whether it is shorter than `other`, in both units.
    pub fn shorter_than(&self, other: &Delay) -> bool {
        self.seconds < other.seconds && self.slots < other.slots
    }

    /// Whether it is no longer than `other`, in both units.
    pub fn at_most(&self, other: &Delay) -> bool {
        self.seconds <= other.seconds && self.slots <= other.slots
    }

    /// Both delays in a row, or `None` on overflow.
    pub fn checked_add(&self, other: &Delay) -> Option<Delay> {
        Some(Delay { seconds: self.seconds.checked_add(other.seconds)?, slots: self.slots.checked_add(other.slots)? })
    }
}

impl Deadline {
    /// The present.
    pub fn now(clock: &Clock) -> Self {
        Self { time: clock.unix_timestamp, slot: clock.slot }
    }

    /// `delay` later. Saturates: a deadline beyond the end of time never passes.
    pub fn after(self, delay: Delay) -> Self {
        Self {
            time: self.time.saturating_add(delay.seconds.into()),
            slot: self.slot.saturating_add(delay.slots.into()),
        }
    }

    /// Whether both its time and its slot have been reached.
    pub fn passed(&self, clock: &Clock) -> bool {
        clock.unix_timestamp >= self.time && clock.slot >= self.slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(unix_timestamp: i64, slot: u64) -> Clock {
        Clock { unix_timestamp, slot, ..Clock::default() }
    }

    #[test]
    fn a_deadline_needs_time_and_slot() {
        let deadline = Deadline::now(&clock(100, 50)).after(Delay { seconds: 10, slots: 5 });
        for (time, slot, passed) in
            [(109, 54, false), (110, 54, false), (109, 55, false), (110, 55, true), (111, 90, true)]
        {
            assert_eq!(deadline.passed(&clock(time, slot)), passed, "{time} {slot}");
        }
    }

    #[test]
    fn a_deadline_beyond_the_end_of_time_never_passes() {
        let deadline = Deadline { time: i64::MAX - 1, slot: 1 }.after(Delay { seconds: 10, slots: 5 });
        assert_eq!(deadline.time, i64::MAX);
        assert!(!deadline.passed(&clock(i64::MAX - 1, u64::MAX)));
    }
}
