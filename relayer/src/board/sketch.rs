//! A distribution in little space: counts by logarithmic bin, as in DDSketch (Masson, Rim and Lee, 2019). Sketches add
//! up, so that a window is the sum of its slots. Only bins in use are kept: the dense ones of the libraries take a
//! kilobyte each however few values they have seen, and the board keeps more than two hundred sketches an offer.

use borsh::{BorshDeserialize, BorshSerialize};

/// How far a quantile may be from the value itself, relative to it.
pub(super) const ACCURACY: f64 = 0.02;
/// Each bin ends at this many times its beginning.
const GAMMA: f64 = (1.0 + ACCURACY) / (1.0 - ACCURACY);
/// Values outside of this range count as its ends. Seconds, milliseconds and tokens a second all fit.
const LOWEST: f64 = 1e-3;
const HIGHEST: f64 = 1e7;

/// Counts by bin, in the order of the bins.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Sketch {
    bins: Vec<(u16, u32)>,
}

impl Sketch {
    pub(super) fn add(&mut self, value: f64) {
        self.count(bin(value), 1);
    }

    /// Adds all values of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for &(bin, count) in &other.bins {
            self.count(bin, count);
        }
    }

    fn count(&mut self, bin: u16, count: u32) {
        match self.bins.binary_search_by_key(&bin, |&(bin, _)| bin) {
            Ok(place) => self.bins[place].1 = self.bins[place].1.saturating_add(count),
            Err(place) => self.bins.insert(place, (bin, count)),
        }
    }

    /// Values seen.
    pub(super) fn samples(&self) -> u64 {
        self.bins.iter().map(|&(_, count)| u64::from(count)).sum()
    }

    /// The value that a share `q` of all values does not exceed, within [`ACCURACY`]. `None` before the first.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let last = self.samples().checked_sub(1)?;
        let rank = (q.clamp(0.0, 1.0) * last as f64) as u64;
        let mut below = 0;
        let found = self.bins.iter().find(|&&(_, count)| {
            below += u64::from(count);
            below > rank
        });
        found.map(|&(bin, _)| middle(bin))
    }
}

fn bin(value: f64) -> u16 {
    // A value that is not a number counts as the lowest.
    let value = if value > LOWEST { value.min(HIGHEST) } else { LOWEST };
    ((value / LOWEST).ln() / GAMMA.ln()).ceil() as u16
}

/// The value in a bin whose relative distance to both ends is the same.
fn middle(bin: u16) -> f64 {
    LOWEST * GAMMA.powi(i32::from(bin)) * 2.0 / (1.0 + GAMMA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|&value| sketch.add(value));
        sketch
    }

    proptest! {
        #[test]
        fn every_quantile_is_within_two_per_cent(values in prop::collection::vec(0.01..1e6f64, 1..300), q in 0.0..=1.0f64) {
            let sketch = of(&values);
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[(q * (sorted.len() - 1) as f64) as usize];
            let told = sketch.quantile(q).unwrap();
            prop_assert!((told / exact - 1.0).abs() <= ACCURACY + 1e-9, "{told} for {exact}");
        }

        #[test]
        fn a_sum_of_sketches_is_the_sketch_of_all(values in prop::collection::vec(0.01..1e6f64, 0..100), cut in 0..100usize) {
            let (one, other) = values.split_at(cut.min(values.len()));
            let mut sum = of(one);
            sum.merge(&of(other));
            prop_assert_eq!(sum, of(&values));
        }
    }

    #[test]
    fn no_value_grows_it_beyond_its_range() {
        let sketch = of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300]);
        assert_eq!((sketch.bins.len(), sketch.samples()), (2, 6));
        assert!(bin(HIGHEST) < 600, "{}", bin(HIGHEST));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}
