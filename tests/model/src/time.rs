//! Time as SPEC.md has it: spans and deadlines count seconds and slots, and both must be over.

use borsh::{BorshDeserialize, BorshSerialize};

/// The moment an instruction runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Unix seconds.
    pub time: i64,
    /// Slot.
    pub slot: u64,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delay {
    /// Seconds.
    pub seconds: u32,
    /// Slots.
    pub slots: u32,
}

/// A moment to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Deadline {
    /// Unix seconds.
    pub time: i64,
    /// Slot.
    pub slot: u64,
}

/// Every span the deployment sets, in the order `Config` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Time")]
pub struct Delays {
    pub settle_interval: Delay,
    pub max_pause: Delay,
    pub price_grace: Delay,
    pub revoke_grace: Delay,
    pub withdraw_delay: Delay,
    pub price_notice: Delay,
    pub fee_notice: Delay,
}

impl Moment {
    /// The deadline that passes now.
    pub fn deadline(self) -> Deadline {
        Deadline { time: self.time, slot: self.slot }
    }

    /// The deadline `delay` from now.
    pub fn plus(self, delay: Delay) -> Deadline {
        self.deadline().plus(delay)
    }

    /// Whether `deadline` has passed, in seconds and in slots.
    pub fn is_past(self, deadline: Deadline) -> bool {
        self.time >= deadline.time && self.slot >= deadline.slot
    }
}

impl Deadline {
    /// The deadline `delay` later.
    pub fn plus(self, delay: Delay) -> Self {
        Self {
            time: self.time.saturating_add(delay.seconds.into()),
            slot: self.slot.saturating_add(delay.slots.into()),
        }
    }
}

impl Delays {
    /// All of them.
    pub fn each(&self) -> [Delay; 7] {
        [
            self.settle_interval,
            self.max_pause,
            self.price_grace,
            self.revoke_grace,
            self.withdraw_delay,
            self.price_notice,
            self.fee_notice,
        ]
    }
}
