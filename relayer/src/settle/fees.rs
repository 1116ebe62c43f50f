//! The price of a compute unit: what recent transactions that wrote the same accounts paid, within bounds, and twice as much
//! each time that was not enough.

use crate::config::SettleConfig;

/// Lamports a transaction with one signature costs, priority aside.
pub const TRANSACTION_FEE: u64 = 5_000;
/// The share of recent slots whose price is matched, in quarters.
const QUARTERS: usize = 3;

/// What `recent` slots suggest, in micro-lamports a compute unit: enough for three in four of them.
pub fn suggested(mut recent: Vec<u64>) -> u64 {
    recent.sort_unstable();
    recent.get(recent.len() * QUARTERS / 4).copied().unwrap_or_default()
}

/// Micro-lamports a compute unit for a transaction that was signed `before` so often and did not land: what is suggested,
/// at least the configured floor, twice as much each time, at most the configured cap.
pub fn price(suggested: u64, before: u32, config: &SettleConfig) -> u64 {
    let base = suggested.max(config.priority_fee).max(u64::from(before > 0));
    base.saturating_mul(1u64.checked_shl(before).unwrap_or(u64::MAX)).min(config.max_priority_fee)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(priority_fee: u64, max_priority_fee: u64) -> SettleConfig {
        SettleConfig { priority_fee, max_priority_fee, ..SettleConfig::default() }
    }

    #[test]
    fn the_price_is_what_three_in_four_recent_slots_took() {
        assert_eq!(suggested(vec![]), 0);
        assert_eq!(suggested(vec![9]), 9);
        assert_eq!(suggested(vec![40, 10, 30, 20]), 40);
        assert_eq!(suggested((1..=100).collect()), 76);
    }

    #[test]
    fn the_price_is_never_below_the_floor_nor_above_the_cap() {
        assert_eq!(price(0, 0, &config(1_000, 5_000)), 1_000);
        assert_eq!(price(3_000, 0, &config(1_000, 5_000)), 3_000);
        assert_eq!(price(u64::MAX, 0, &config(1_000, 5_000)), 5_000);
        assert_eq!(price(u64::MAX, u32::MAX, &config(1_000, 5_000)), 5_000);
    }

    #[test]
    fn what_did_not_land_is_signed_anew_for_twice_as_much() {
        let doubling: Vec<u64> = (0..5).map(|before| price(1_500, before, &config(1_000, 20_000))).collect();
        assert_eq!(doubling, [1_500, 3_000, 6_000, 12_000, 20_000]);
        assert_eq!([0, 1, 2].map(|before| price(0, before, &config(0, 100))), [0, 2, 4], "also from nothing");
    }
}
