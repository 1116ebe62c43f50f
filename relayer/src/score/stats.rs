//! The few statistics scoring needs. None of them panics on an empty slice or yields a NaN from finite input.

/// The value at quantile `q` of `sorted`, by nearest rank; `None` without values.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
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
}

/// How a mean forgets: half of a sample's weight is gone after so many seconds, and after so many samples that follow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    pub(super) seconds: f64,
    pub(super) samples: f64,
}

/// A mean that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: f64,
    weight: f64,
    at: f64,
}

impl Mean {
    pub(super) fn add(&mut self, value: f64, weight: f64, now: f64, decay: Decay) {
        let kept = (-(now - self.at).max(0.0) / decay.seconds - weight / decay.samples).exp2();
        *self =
            Self { sum: self.sum * kept + value * weight, weight: self.weight * kept + weight, at: now.max(self.at) };
    }

    /// The mean; `None` without samples.
    pub(super) fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }

    /// Samples, by what is left of their weight.
    pub(super) fn weight(&self, now: f64, decay: Decay) -> f64 {
        self.weight * (-(now - self.at).max(0.0) / decay.seconds).exp2()
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
    fn half_is_forgotten_each_half_life() {
        let mut sum = Decayed::default();
        sum.add(8.0, 0.0, 10.0);
        assert!((sum.at(10.0, 10.0) - 4.0).abs() < 1e-9);
        sum.add(1.0, 20.0, 10.0);
        assert!((sum.at(20.0, 10.0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_mean_forgets_by_time_and_by_what_came_since() {
        let decay = Decay { seconds: 10.0, samples: 4.0 };
        let mut mean = Mean::default();
        assert_eq!(mean.value(), None);
        (0..100).for_each(|_| mean.add(1.0, 1.0, 0.0, decay));
        assert!(
            (5.0..7.0).contains(&mean.weight(0.0, decay)),
            "a hundred at once count as some: {}",
            mean.weight(0.0, decay)
        );
        (0..4).for_each(|_| mean.add(3.0, 1.0, 0.0, decay));
        assert!((mean.value().unwrap() - 2.0).abs() < 1e-6, "four outweigh half of what was before");
        assert!((mean.weight(10.0, decay) / mean.weight(0.0, decay) - 0.5).abs() < 1e-9);
    }
}
