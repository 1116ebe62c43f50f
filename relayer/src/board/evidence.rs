//! A running test of whether a provider is honest, as a bet against it (Shafer, 2021). Someone who doubts it stakes a
//! part of a fortune on each observation: `L = 1 + stake · (x − null)`. While the mean of `x` is at most `null`, given
//! the past, the fortune is not expected to grow, whatever the distribution of `x`. The doubter may begin anew with 1
//! at any time, so that a long good past hides nothing: the best of all these bets is at most their sum, which is
//! expected to be at most the number of observations, and by Doob's inequality
//!
//! > P(an honest provider is flagged within N observations) ≤ N / 10⁸.
//!
//! A flag clears when the evidence is used up, that is when as much speaks against the suspicion as spoke for it. Each
//! further offence within three days of the last needs as many times that much, up to eight times.

use borsh::{BorshDeserialize, BorshSerialize};

/// Natural logarithm of the fortune at which a provider is flagged: 10⁸.
const THRESHOLD: f64 = 18.420_680_743_952_367;
/// Offences that count.
const MAX_OFFENCES: u32 = 8;
/// After this long without a flag, offences are forgotten: three days, in milliseconds.
const FORGET_MS: i64 = 72 * 3_600 * 1_000;

/// A test: the hypothesis that a provider is honest, and the stake against it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    /// The highest mean an honest provider may have.
    pub(super) null: f64,
    /// Part of the fortune that is staked on each observation.
    pub(super) stake: f64,
    /// Observations below count as this.
    pub(super) low: f64,
    /// Observations above count as this.
    pub(super) high: f64,
}

/// The evidence of one test against one offer.
#[derive(Clone, Debug, Default, PartialEq, BorshSerialize, BorshDeserialize)]
pub(super) struct Evidence {
    /// Logarithm of the doubter's fortune.
    log: f64,
    /// Observations since the fortune was last 1 or less: those the suspicion rests on.
    observed: u64,
    /// Observations among them that are above the null.
    against: u64,
    /// Sum of the observations.
    sum: f64,
    /// Since when it is flagged, Unix milliseconds.
    since_ms: Option<i64>,
    offences: u32,
    cleared_ms: i64,
    /// Whether there is enough of it, and a probe is to confirm it.
    #[borsh(skip)]
    suspected: bool,
}

/// Where an observation comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// A client's request, which weighs so much.
    Client(f64),
    /// The same, where a probe confirms what would raise a flag.
    ToConfirm(f64),
    /// A probe of the operator's.
    Probe,
}

impl Source {
    fn weight(self) -> f64 {
        match self {
            Self::Client(weight) | Self::ToConfirm(weight) => weight,
            Self::Probe => 1.0,
        }
    }
}

/// What an observation changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Flagged,
    Cleared,
}

impl Evidence {
    /// Takes an observation into account.
    pub(super) fn observe(&mut self, test: &Test, x: f64, from: Source, now_ms: i64) -> Change {
        let x = x.clamp(test.low, test.high);
        // A sample of less weight stakes less; the bet stays fair.
        let step = (from.weight() * test.stake * (x - test.null)).ln_1p();
        if self.suspected && from == Source::Probe && x <= test.null {
            // The relayer's own probe saw nothing wrong: the suspicion of clients begins anew.
            (self.suspected, self.log) = (false, 0.0);
        }
        if self.since_ms.is_none() && self.log <= 0.0 {
            // The doubter begins anew with 1.
            *self = Self { offences: self.offences, cleared_ms: self.cleared_ms, ..Self::default() };
        }
        self.observed += 1;
        self.against += u64::from(x > test.null);
        self.sum += x;
        self.log += step;
        match self.since_ms {
            None if self.log >= THRESHOLD && matches!(from, Source::ToConfirm(_)) => {
                (self.suspected, self.log) = (true, THRESHOLD);
                Change::None
            }
            None if self.log >= THRESHOLD => {
                self.suspected = false;
                if now_ms.saturating_sub(self.cleared_ms) > FORGET_MS {
                    self.offences = 0;
                }
                self.offences = (self.offences + 1).min(MAX_OFFENCES);
                self.since_ms = Some(now_ms);
                self.log = self.ceiling();
                Change::Flagged
            }
            None => Change::None,
            Some(_) if self.log <= 0.0 => {
                *self = Self { offences: self.offences, cleared_ms: now_ms, ..Self::default() };
                Change::Cleared
            }
            Some(_) => {
                self.log = self.log.min(self.ceiling());
                Change::None
            }
        }
    }

    fn ceiling(&self) -> f64 {
        THRESHOLD * f64::from(self.offences)
    }

    /// Whether there is enough of it, and a probe is to confirm it.
    pub(super) fn is_suspected(&self) -> bool {
        self.suspected
    }

    /// Since when it is flagged, Unix milliseconds.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.since_ms
    }

    /// Observations the suspicion rests on, those of them above the null, and their mean.
    pub(super) fn counts(&self) -> (u64, u64, f64) {
        (self.observed, self.against, if self.observed > 0 { self.sum / self.observed as f64 } else { 0.0 })
    }

    /// Whether it differs from new evidence in anything that matters.
    pub(super) fn matters(&self) -> bool {
        self.log > 0.0 || self.since_ms.is_some() || self.offences > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const COIN: Test = Test { null: 0.1, stake: 4.0, low: 0.0, high: 1.0 };

    fn until(evidence: &mut Evidence, x: f64, wanted: Change, from_ms: i64) -> u64 {
        (1..10_000).find(|&n| evidence.observe(&COIN, x, Source::Client(1.0), from_ms + n as i64) == wanted).unwrap()
    }

    #[test]
    fn an_observation_beyond_the_range_counts_as_its_end() {
        let (mut one, mut clamped) = (Evidence::default(), Evidence::default());
        one.observe(&COIN, 1.0, Source::Client(1.0), 0);
        clamped.observe(&COIN, 1e9, Source::Client(1.0), 0);
        assert_eq!(one, clamped);
    }

    #[test]
    fn a_provider_at_the_null_is_flagged_no_more_often_than_stated() {
        // 100 providers at the very worst an honest one may be, 5,000 observations each: 5 flags in 1,000 such
        // experiments are the most that is stated.
        let mut rng = StdRng::seed_from_u64(1);
        let flags: usize = (0..100)
            .map(|_| {
                let mut evidence = Evidence::default();
                let mut throw = || f64::from(u8::from(rng.random::<f64>() < COIN.null));
                (0..5_000)
                    .filter(|&t| evidence.observe(&COIN, throw(), Source::Client(1.0), t) == Change::Flagged)
                    .count()
            })
            .sum();
        assert_eq!(flags, 0);
    }

    #[test]
    fn a_good_past_delays_a_flag_by_nothing() {
        let (mut new, mut old) = (Evidence::default(), Evidence::default());
        for t in 0..100_000 {
            old.observe(&COIN, 0.0, Source::Client(1.0), t);
        }
        assert_eq!(until(&mut new, 1.0, Change::Flagged, 0), until(&mut old, 1.0, Change::Flagged, 0));
    }

    #[test]
    fn a_flag_clears_by_good_behaviour_and_more_slowly_each_time() {
        let mut evidence = Evidence::default();
        let mut clean = Vec::new();
        for _ in 0..3 {
            until(&mut evidence, 1.0, Change::Flagged, 0);
            assert!(evidence.since_ms().is_some());
            clean.push(until(&mut evidence, 0.0, Change::Cleared, 0));
            assert!(evidence.since_ms().is_none());
        }
        assert_eq!(clean, [37, 73, 109]);
    }

    #[test]
    fn bad_behaviour_while_flagged_adds_up_to_a_bound() {
        let mut evidence = Evidence::default();
        until(&mut evidence, 1.0, Change::Flagged, 0);
        for t in 0..10_000 {
            evidence.observe(&COIN, 1.0, Source::Client(1.0), t);
        }
        assert_eq!(until(&mut evidence, 0.0, Change::Cleared, 0), 37);
    }

    #[test]
    fn offences_are_forgotten_after_three_days() {
        let mut evidence = Evidence::default();
        until(&mut evidence, 1.0, Change::Flagged, 0);
        until(&mut evidence, 0.0, Change::Cleared, 0);
        until(&mut evidence, 1.0, Change::Flagged, FORGET_MS + 1_000);
        assert_eq!(until(&mut evidence, 0.0, Change::Cleared, FORGET_MS + 2_000), 37);
    }

    #[test]
    fn a_light_vault_needs_more_and_a_probe_confirms_or_clears() {
        let count = |from: Source| {
            let mut evidence = Evidence::default();
            (1..1_000).find(|&t| evidence.observe(&COIN, 1.0, from, t) == Change::Flagged)
        };
        assert!(count(Source::Client(0.5)).unwrap() > count(Source::Client(1.0)).unwrap());
        assert_eq!(count(Source::ToConfirm(1.0)), None, "clients alone raise no flag where there are probes");
        for (probe, changed, left) in [(1.0, Change::Flagged, false), (0.0, Change::None, false)] {
            let mut evidence = Evidence::default();
            for t in 0..100 {
                evidence.observe(&COIN, 1.0, Source::ToConfirm(1.0), t);
            }
            assert!(evidence.is_suspected());
            assert_eq!(evidence.observe(&COIN, probe, Source::Probe, 100), changed);
            assert_eq!((evidence.is_suspected(), evidence.log > THRESHOLD / 2.0), (left, probe > 0.5));
        }
    }
}
