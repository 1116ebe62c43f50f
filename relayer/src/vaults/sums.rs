//! Sums of money that refuse rather than overflow.

pub(super) use crate::ledger::saturating_sum as add;
use steam_protocol::units::{MicroUsdc, Pico};

/// Whether `needed` is there; otherwise what is, and what is needed.
pub(super) fn covered(available: Pico, needed: Pico) -> Result<(), (MicroUsdc, MicroUsdc)> {
    if needed <= available {
        return Ok(());
    }
    Err((rounded_down(available), rounded_up(needed)))
}

/// Whole micro-dollars that are there of a sum, as far as they can be told.
pub(super) fn rounded_down(sum: Pico) -> MicroUsdc {
    sum.floor_micro().unwrap_or(MicroUsdc(u64::MAX))
}

/// Whole micro-dollars that cover a sum, as far as they can be told.
pub(super) fn rounded_up(sum: Pico) -> MicroUsdc {
    sum.ceil_micro().unwrap_or(MicroUsdc(u64::MAX))
}
