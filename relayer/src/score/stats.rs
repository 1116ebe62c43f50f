//! The few statistics scoring needs. None of them panics on an empty slice or yields a NaN from finite input.

/// The value at quantile `q` of `sorted`, by nearest rank; `None` without values.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The value at quantile `q` of `sorted` pairs of value and weight, and their weight in all; `None` without weight.
pub(super) fn weighted_quantile(sorted: impl Iterator<Item = (f64, f64)> + Clone, q: f64) -> Option<(f64, f64)> {
    let total: f64 = sorted.clone().map(|(_, weight)| weight).sum();
    let mut before = 0.0;
    let mut last = None;
    for (value, weight) in sorted {
        before += weight;
        last = Some(value);
        if before >= q * total * (1.0 - 1e-12) {
            break;
        }
    }
    last.map(|value| (value, total))
}

/// The middle of `values`, the mean of the two middle ones for an even number; `None` without values.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values = &mut values.collect::<Vec<f64>>();
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let (low, &mut middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    if count % 2 == 1 {
        return Some(middle);
    }
    low.iter().copied().reduce(f64::max).map(|below| f64::midpoint(below, middle))
}

/// An own estimate of `weight` samples, pulled towards `common` as if that had `prior` samples.
pub(super) fn shrink(own: f64, weight: f64, common: f64, prior: f64) -> f64 {
    if weight <= 0.0 { common } else { (own * weight + common * prior) / (weight + prior) }
}

/// Values a median is taken of at most.
const MOST: usize = 63;

/// The median of `n` values, none negative, of [`MOST`] spread evenly over them where there are more; `None` without
/// values.
pub(super) fn median_of_some(n: usize, value: impl Fn(usize) -> f64) -> Option<f64> {
    // The bits of numbers that are not negative order as they do, and compare faster.
    let mut some = [0; MOST];
    let count = n.min(MOST);
    for (place, slot) in some.iter_mut().enumerate().take(count) {
        *slot = value(if n <= MOST { place } else { place * n / MOST }).to_bits();
    }
    if count == 0 {
        return None;
    }
    let (low, &mut middle, _) = some[..count].select_nth_unstable(count / 2);
    let middle = f64::from_bits(middle);
    if count % 2 == 1 {
        return Some(middle);
    }
    low.iter().copied().max().map(|below| f64::midpoint(f64::from_bits(below), middle))
}

/// `base` to the power of `exponent`, a multiple of ½ that is not negative: by products and a square root, which every
/// machine rounds alike.
pub(super) fn power(base: f64, exponent: f64) -> f64 {
    let mut left = exponent as u32;
    let mut square = base;
    let mut result = if exponent.fract() >= 0.5 { base.sqrt() } else { 1.0 };
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

/// A sum that forgets: half of it is gone after each half-life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decayed {
    sum: f64,
    /// Seconds since the scorer began.
    at: f64,
}

impl Decayed {
    pub(super) fn at(&self, now: f64, half_life: f64) -> f64 {
        self.sum * (-(now - self.at).max(0.0) / half_life).exp2()
    }

    pub(super) fn add(&mut self, amount: f64, now: f64, half_life: f64) {
        *self = Self { sum: self.at(now, half_life) + amount, at: now.max(self.at) };
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.sum *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.9, 0.99, 1.0].map(|q| quantile(&ten, q)), [1.0, 5.0, 9.0, 10.0, 10.0].map(Some));
    }

    #[test]
    fn weights_move_a_quantile() {
        let of = |pairs: &[(f64, f64)], q| weighted_quantile(pairs.iter().copied(), q);
        assert_eq!(of(&[], 0.5), None);
        assert_eq!(of(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)], 0.5), Some((2.0, 3.0)));
        assert_eq!(of(&[(1.0, 1.0), (2.0, 1.0), (3.0, 6.0)], 0.5), Some((3.0, 8.0)));
    }

    #[test]
    fn the_median_of_many_is_that_of_an_even_spread() {
        let of = |values: &[f64]| median_of_some(values.len(), |i| values[i]);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some(3.0));
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        let many: Vec<f64> = (0..500).map(f64::from).collect();
        assert!((of(&many).unwrap() - 250.0).abs() < 8.0);
    }

    #[test]
    fn powers_are_products_and_roots() {
        assert_eq!([0.0, 0.5, 1.0, 2.5, 8.0].map(|k| power(4.0, k)), [1.0, 2.0, 4.0, 32.0, 65_536.0]);
        assert_eq!(power(0.0, 2.0), 0.0);
    }

    #[test]
    fn half_is_forgotten_each_half_life() {
        let mut sum = Decayed::default();
        sum.add(8.0, 0.0, 10.0);
        assert!((sum.at(10.0, 10.0) - 4.0).abs() < 1e-9);
        sum.add(1.0, 20.0, 10.0);
        assert!((sum.at(20.0, 10.0) - 3.0).abs() < 1e-9);
    }
}
