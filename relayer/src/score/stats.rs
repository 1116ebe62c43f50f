//! The few statistics scoring needs. None of them panics on an empty slice or yields a NaN from finite input.

/// The value at quantile `q` of `sorted`, by nearest rank; `None` without values.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The middle of `values`, the mean of the two middle ones for an even number; `None` without values.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// An own estimate of `weight` samples, pulled towards `common` as if that had `prior` samples.
pub(super) fn shrink(own: f64, weight: f64, common: f64, prior: f64) -> f64 {
    if weight <= 0.0 { common } else { (own * weight + common * prior) / (weight + prior) }
}

/// `value` relative to the middle of all `values`: what the formula calls `x / x̃`. Where the median is zero (most
/// are free) the mean takes its place, and where everything is zero all are equal.
pub(super) struct Relative(Option<f64>);

impl Relative {
    pub(super) fn to(values: &[f64]) -> Self {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let middle = median(values.iter().copied()).filter(|&m| m > 0.0).unwrap_or(mean);
        Self((middle > 0.0).then_some(middle))
    }

    pub(super) fn of(&self, value: f64) -> f64 {
        self.0.map_or(1.0, |middle| value / middle)
    }
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
    fn relative_survives_zeros() {
        assert_eq!(Relative::to(&[]).of(3.0), 1.0);
        assert_eq!(Relative::to(&[0.0, 0.0]).of(0.0), 1.0);
        assert_eq!(Relative::to(&[0.0, 0.0, 3.0]).of(3.0), 3.0);
        assert_eq!(Relative::to(&[1.0, 2.0, 30.0]).of(4.0), 2.0);
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
