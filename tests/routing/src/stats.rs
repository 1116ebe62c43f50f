//! Means over seeds with what they are worth, and quantiles.

/// A mean and the half width of its 95 % confidence interval, by Student's t over independent seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half of the interval's width; infinite for less than two values.
    pub half: f64,
}

impl Mean {
    /// Of independent `values`.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Self { mean, half: f64::INFINITY };
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        Self { mean, half: t(n - 1) * (variance / n as f64).sqrt() }
    }
}

/// Student's t at 97.5 % for `freedom` degrees of freedom; between the listed ones the next smaller, which is wider.
fn t(freedom: usize) -> f64 {
    const TABLE: [(usize, f64); 17] = [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (5, 2.571),
        (6, 2.447),
        (7, 2.365),
        (8, 2.306),
        (9, 2.262),
        (11, 2.201),
        (14, 2.145),
        (15, 2.131),
        (19, 2.093),
        (24, 2.064),
        (29, 2.045),
        (39, 2.023),
        (59, 2.001),
    ];
    TABLE.iter().rev().find(|(listed, _)| *listed <= freedom).map_or(f64::INFINITY, |(_, value)| *value)
}

/// The value at quantile `q` of `sorted`, by nearest rank; not a number without values.
pub fn quantile(sorted: &[f32], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).map_or(f64::NAN, |value| f64::from(*value))
}

/// The middle value, the upper one of an even number; not a number without values.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        // Mean 3, standard deviation √2.5, n = 5: 2.776 · √2.5 / √5.
        let mean = Mean::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(mean.mean, 3.0);
        assert!((mean.half - 1.963).abs() < 1e-3, "{}", mean.half);
        assert_eq!(Mean::of(&[1.0]).half, f64::INFINITY, "one value proves nothing");
    }

    #[test]
    fn between_listed_degrees_of_freedom_the_wider_one_counts() {
        assert_eq!((t(1), t(10), t(19), t(1_000), t(0)), (12.706, 2.262, 2.093, 2.001, f64::INFINITY));
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let hundred: Vec<f32> = (1..=100u8).map(f32::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|q| quantile(&hundred, q)), [1.0, 50.0, 99.0, 100.0]);
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }
}
