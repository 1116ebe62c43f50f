//! Baselines that go by the posted price.

use super::View;
use super::baseline::{Preference, lowest};
use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// The lowest posted price of this request.
pub struct Cheapest;

impl Preference for Cheapest {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], _rng: &mut Pcg64Mcg) -> Vec<usize> {
        lowest(candidates, |position| view.cost(position))
    }
}

/// Chosen by chance in proportion to price to the power of minus `exponent`, the rest as fallbacks from the cheapest
/// on: with 2, and providers without an outage in the last 30 seconds first, OpenRouter's documented default.
pub struct InversePrice {
    /// 2 for the inverse square.
    pub exponent: f64,
}

impl Preference for InversePrice {
    fn order(&mut self, view: &View<'_>, candidates: &[usize], rng: &mut Pcg64Mcg) -> Vec<usize> {
        let mut order = lowest(candidates, |position| view.cost(position));
        let least = view.cost(order[0]).max(f64::MIN_POSITIVE);
        let weights: Vec<f64> =
            candidates.iter().map(|&position| (least / view.cost(position)).powf(self.exponent)).collect();
        let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
        let drawn = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        let first = drawn.map_or(order[0], |index| candidates[index]);
        order.retain(|&position| position != first);
        order.insert(0, first);
        order
    }
}
