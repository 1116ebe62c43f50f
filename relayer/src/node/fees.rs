//! The fees that vaults paid lately: what a vault's requests say of providers weighs by them. Opening a second vault is cheap,
//! and whoever pays a provider of their own still pays the fee.

use crate::chain::Pubkey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use steam_protocol::units::Pico;
use tokio::time::Instant;

/// Half-life of a fee, in seconds: a day.
const HALF_LIFE: f64 = 86_400.0;
/// The weight of a vault that paid nothing lately.
const LEAST_WEIGHT: f32 = 0.5;
/// The fees with which a vault weighs in full are this part of what the usual payer paid, within these bounds, in
/// micro-USDC.
const FULL_PART: f64 = 0.25;
const FULL: (f64, f64) = (10.0, 1_000.0);
/// Seconds after which what the usual payer paid is computed anew.
const REFRESH: f64 = 10.0;
/// Vaults whose fees are kept at most.
const MAX_VAULTS: usize = 16_384;

/// The fees of all vaults.
#[derive(Debug, Default)]
pub struct Fees(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    /// Fees in micro-USDC, and when they were that much.
    paid: HashMap<Pubkey, (f64, f64)>,
    full: f64,
    full_at: Option<f64>,
}

impl Fees {
    /// `vault` paid `fee`.
    pub fn paid(&self, vault: &Pubkey, fee: Pico, now: Instant) {
        let mut state = self.lock();
        let now = state.seconds(now);
        if state.paid.len() >= MAX_VAULTS && !state.paid.contains_key(vault) {
            state.make_room(now);
        }
        let (sum, at) = state.paid.entry(*vault).or_insert((0.0, now));
        *sum = decayed(*sum, now - *at) + fee.0 as f64 / 1e6;
        *at = now;
    }

    /// How much what `vault` sees counts for everybody, from a half to 1.
    pub fn weight(&self, vault: &Pubkey, now: Instant) -> f32 {
        let mut state = self.lock();
        let now = state.seconds(now);
        let full = state.full(now);
        let paid = state.paid.get(vault).map_or(0.0, |(sum, at)| decayed(*sum, now - at));
        LEAST_WEIGHT + (1.0 - LEAST_WEIGHT) * (paid / full).min(1.0) as f32
    }

    /// Vaults whose fees are kept.
    pub fn vaults(&self) -> usize {
        self.lock().paid.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Sums stay usable whoever panicked while holding them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seconds(&mut self, now: Instant) -> f64 {
        now.saturating_duration_since(*self.began.get_or_insert(now)).as_secs_f64()
    }

    /// The fees with which a vault weighs in full. Each payer counts by what it paid, so that many vaults that paid next to
    /// nothing change nothing.
    fn full(&mut self, now: f64) -> f64 {
        if self.full_at.is_none_or(|at| now - at >= REFRESH) {
            let fees = || self.paid.values().map(|(sum, at)| decayed(*sum, now - at));
            let (sum, squares) = fees().fold((0.0, 0.0), |(sum, squares), fee| (sum + fee, squares + fee * fee));
            let usual = if sum > 0.0 { squares / sum } else { 0.0 };
            self.full = (usual * FULL_PART).clamp(FULL.0, FULL.1);
            self.full_at = Some(now);
        }
        self.full
    }

    /// Forgets the half that paid least.
    fn make_room(&mut self, now: f64) {
        let mut fees: Vec<f64> = self.paid.values().map(|(sum, at)| decayed(*sum, now - at)).collect();
        let middle = fees.len() / 2;
        let (_, least, _) = fees.select_nth_unstable_by(middle, f64::total_cmp);
        let least = *least;
        let mut left = middle;
        self.paid.retain(|_, (sum, at)| {
            let keep = decayed(*sum, now - *at) > least || left == 0;
            left -= usize::from(!keep);
            keep
        });
    }
}

fn decayed(sum: f64, seconds: f64) -> f64 {
    sum * (-seconds.max(0.0) / HALF_LIFE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seed: u16) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_le_bytes());
        Pubkey::new_from_array(bytes)
    }

    #[test]
    fn who_pays_weighs_more_up_to_a_bound_and_not_for_ever() {
        let (fees, now) = (Fees::default(), Instant::now());
        assert_eq!(fees.weight(&at(1), now), LEAST_WEIGHT);
        fees.paid(&at(1), Pico(5_000_000), now);
        assert_eq!(fees.weight(&at(1), now), 0.75, "half of the least that is enough");
        fees.paid(&at(1), Pico(1_000_000_000_000), now);
        assert_eq!(fees.weight(&at(1), now), 1.0);
        assert!(fees.weight(&at(1), now + Duration::from_secs(86_400 * 40)) < 0.6);
    }

    #[test]
    fn many_vaults_that_pay_next_to_nothing_weigh_no_more_for_being_many() {
        let (fees, now) = (Fees::default(), Instant::now());
        fees.paid(&at(0), Pico(4_000_000_000), now);
        (1..2_000).for_each(|vault| fees.paid(&at(vault), Pico(10_000_000), now));
        assert!(fees.weight(&at(0), now) > 0.99);
        assert!(fees.weight(&at(7), now) < 0.55, "{}", fees.weight(&at(7), now));
    }

    #[test]
    fn many_vaults_do_not_fill_memory_and_those_that_pay_stay() {
        let (fees, now) = (Fees::default(), Instant::now());
        fees.paid(&at(0), Pico(4_000_000_000), now);
        (1..MAX_VAULTS as u16 + 100).for_each(|vault| fees.paid(&at(vault), Pico(1), now));
        assert!(fees.lock().paid.len() <= MAX_VAULTS);
        assert_eq!(fees.weight(&at(0), now), 1.0);
    }
}
