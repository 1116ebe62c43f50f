//! How an offer bills, against what was counted: by a slow memory, which is hard to bend, and a fast one, so that who billed
//! honestly until now and no longer does is known by few bills. Bills weigh by the fees that their vaults paid. Seconds count
//! from the scorer's beginning.

use super::stats::{Decay, Decayed, Mean};

/// Half-life of the slow memory, in seconds.
const SLOW: f64 = 3_600.0;
/// How bills count in the fast one.
const FAST: Decay = Decay { seconds: 600.0, samples: 3.0 };
/// The fast memory counts where it has so many times the bills of the slow one: what is nearer is the luck of the answers.
const DEARER: f64 = 1.5;

/// Tokens by the relayer's own count, and as they were billed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Billed {
    counted: Decayed,
    billed: Decayed,
    lately_counted: Mean,
    lately_billed: Mean,
}

impl Billed {
    /// For `counted` tokens so many were billed, to a vault that weighs `weight`.
    pub(super) fn add(&mut self, counted: u32, billed: u32, weight: f64, now: f64) {
        let (counted, billed) = (f64::from(counted), f64::from(billed));
        self.counted.add(counted * weight, now, SLOW);
        self.billed.add(billed * weight, now, SLOW);
        self.lately_counted.add(counted, weight, now, FAST);
        self.lately_billed.add(billed, weight, now, FAST);
    }

    /// Tokens billed for one that was counted, and the tokens counted.
    pub(super) fn ratio(&self, now: f64) -> Option<(f64, f64)> {
        let counted = self.counted.at(now, SLOW);
        let slow = (counted >= 1.0).then(|| (self.billed.at(now, SLOW) / counted, counted))?;
        let fast = self.lately(now).filter(|(ratio, _)| *ratio > DEARER * slow.0);
        Some(fast.unwrap_or(slow))
    }

    fn lately(&self, now: f64) -> Option<(f64, f64)> {
        let (counted, billed) = (self.lately_counted.value()?, self.lately_billed.value()?);
        let tokens = counted * self.lately_counted.weight(now, FAST);
        (tokens >= 1.0).then(|| (billed / counted, tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long honest past, and then answers that bill ten times what was counted, each ten seconds after the last.
    fn switched(bills: u32, weight: f64) -> Billed {
        let mut billed = Billed::default();
        (0..1_000).for_each(|_| billed.add(200, 200, 1.0, 0.0));
        (0..bills).for_each(|i| billed.add(200, 2_000, weight, f64::from(i) * 10.0));
        billed
    }

    #[test]
    fn who_bills_more_from_now_on_is_known_by_two_bills() {
        assert_eq!(switched(0, 1.0).ratio(0.0).map(|(ratio, _)| ratio), Some(1.0));
        let (ratio, tokens) = switched(2, 1.0).ratio(10.0).unwrap();
        assert!(ratio > 4.0 && (400.0..1_500.0).contains(&tokens), "{ratio} of {tokens} tokens");
    }

    #[test]
    fn one_dear_bill_is_forgotten_and_light_ones_say_less() {
        let mut billed = switched(1, 1.0);
        (0..12).for_each(|_| billed.add(200, 200, 1.0, 10.0));
        assert!(billed.ratio(10.0).unwrap().0 < 1.1);
        let of = |weight: f64| switched(1, weight).ratio(0.0).unwrap().0;
        assert!(of(0.5) < of(1.0), "{} {}", of(0.5), of(1.0));
    }
}
