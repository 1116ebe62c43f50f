//! Randomness by address: the same seed, purpose and place give the same numbers, whatever else was drawn before.

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

/// What numbers are drawn for. Each purpose has its own, so that a change to one leaves the others as they were.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// What kind of market it is, and what its providers are like.
    Market,
    /// What happens to them.
    Episodes,
    /// Who asks for what, and when.
    Traffic,
    /// How one attempt at one provider goes.
    Attempt,
    /// What a policy draws.
    Policy,
    /// Which market takes the place of one that nobody could serve.
    Again,
    /// What attackers draw.
    Attack,
    /// Who is there on a day, and what happens then.
    Day,
}

/// A generator for one place: `a` and `b` say which, for instance request and provider.
pub fn at(seed: u64, purpose: Purpose, a: u64, b: u64) -> Pcg64Mcg {
    let place = [purpose as u64, a, b].into_iter().fold(seed, |hash, part| mix(hash ^ mix(part)));
    Pcg64Mcg::seed_from_u64(place)
}

/// The finalizer of SplitMix64, offset so that zero does not stay zero.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Lognormal: `median · e^(sigma·N)`.
pub fn lognormal(rng: &mut impl Rng, median: f64, sigma: f64) -> f64 {
    let normal: f64 = StandardNormal.sample(rng);
    median * (sigma * normal).exp()
}

/// Exponential with the given mean.
pub fn exponential(rng: &mut impl Rng, mean: f64) -> f64 {
    // 1 − u is above zero.
    -mean * (1.0 - rng.random::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_numbers_and_keeps_them() {
        let first = |seed, purpose, a, b| at(seed, purpose, a, b).random::<u64>();
        let here = first(1, Purpose::Attempt, 2, 3);
        assert_eq!(here, first(1, Purpose::Attempt, 2, 3));
        let elsewhere = [
            first(2, Purpose::Attempt, 2, 3),
            first(1, Purpose::Policy, 2, 3),
            first(1, Purpose::Attempt, 3, 2),
            first(1, Purpose::Attempt, 2, 4),
        ];
        assert!(elsewhere.iter().all(|&other| other != here));
    }

    #[test]
    fn distributions_have_the_stated_middle() {
        let mut rng = at(7, Purpose::Market, 0, 0);
        let mut values: Vec<f64> = (0..10_001).map(|_| lognormal(&mut rng, 60.0, 0.5)).collect();
        values.sort_by(f64::total_cmp);
        assert!((values[5_000] / 60.0 - 1.0).abs() < 0.03, "{}", values[5_000]);
        let mean = (0..10_000).map(|_| exponential(&mut rng, 4.0)).sum::<f64>() / 1e4;
        assert!((mean / 4.0 - 1.0).abs() < 0.05, "{mean}");
    }
}
