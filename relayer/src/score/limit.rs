//! What an offer's 429s taught: how many requests at once and how many a second it takes. Both fall at a 429 and rise
//! again slowly, as TCP's congestion window does (additive increase, multiplicative decrease; Chiu and Jain 1989): the
//! limit may have been another client's doing, or gone. Seconds count from the scorer's beginning.

use super::stats::Decayed;

/// Half-life of the rate of requests, in seconds.
const HALF_LIFE: f64 = 10.0;
/// Part of the rate at which a 429 came that is taken as the offer's.
const BACK_OFF: f64 = 0.9;
/// The least rate that a 429 can teach, in requests a second.
const LEAST_RATE: f64 = 1.0 / 60.0;
/// Seconds in which a cap rises by one request, or by a tenth if that is more.
const RISE: f64 = 5.0;
/// Seconds without a 429 after which a cap is forgotten.
const FORGET: f64 = 300.0;

/// The learned caps of one offer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limit {
    starts: Decayed,
    /// Requests at once and requests a second, as of the last 429.
    learned: Option<(f64, f64)>,
    at: f64,
}

impl Limit {
    /// A request was sent.
    pub(super) fn started(&mut self, now: f64) {
        self.starts.add(1.0, now, HALF_LIFE);
    }

    /// A 429 came while `others` were being served, which is how many it takes. One that comes when nothing else is under
    /// way is about the rate.
    pub(super) fn limited(&mut self, others: u32, now: f64) {
        let at_once = self.at_once(now).unwrap_or(f64::INFINITY).min(f64::from(others.max(1)));
        let a_second = self.a_second(now).unwrap_or(f64::INFINITY).min(self.rate(now) * BACK_OFF).max(LEAST_RATE);
        self.learned = Some((at_once, a_second));
        self.at = now;
    }

    /// Most requests at once.
    pub(super) fn cap(&self, now: f64) -> Option<u32> {
        self.at_once(now).map(|cap| cap as u32)
    }

    /// Whether as many requests were sent lately as it takes a second.
    pub(super) fn paced(&self, now: f64) -> bool {
        self.a_second(now).is_some_and(|cap| self.rate(now) >= cap)
    }

    /// When to look at it again, though nothing happens.
    pub(super) fn until(&self, now: f64) -> f64 {
        // Rates and caps move smoothly: looking ten times a second is soon enough.
        self.learned.filter(|_| now - self.at < FORGET).map_or(f64::INFINITY, |_| now + 0.1)
    }

    fn rate(&self, now: f64) -> f64 {
        self.starts.at(now, HALF_LIFE) * std::f64::consts::LN_2 / HALF_LIFE
    }

    fn at_once(&self, now: f64) -> Option<f64> {
        self.risen(now).map(|(rises, tenfold, (at_once, _))| (at_once + rises).max(at_once * tenfold))
    }

    fn a_second(&self, now: f64) -> Option<f64> {
        self.risen(now).map(|(_, tenfold, (_, a_second))| a_second * tenfold)
    }

    fn risen(&self, now: f64) -> Option<(f64, f64, (f64, f64))> {
        let since = (now - self.at).max(0.0);
        self.learned.filter(|_| since < FORGET).map(|learned| (since / RISE, 1.1f64.powf(since / RISE), learned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_teaches_exactly_how_many_are_taken_at_once() {
        let mut limit = Limit::default();
        (0..10).for_each(|_| limit.started(0.0));
        // Of ten at once five are refused, one after the other.
        for others in [9, 8, 7, 6, 5] {
            limit.limited(others, 0.0);
        }
        assert_eq!(limit.cap(0.0), Some(5));
    }

    #[test]
    fn caps_rise_slowly_and_are_forgotten_in_the_end() {
        let mut limit = Limit::default();
        limit.limited(5, 0.0);
        assert_eq!([4.0, 5.0, 10.0].map(|now| limit.cap(now)), [Some(5), Some(6), Some(7)]);
        assert_eq!(limit.cap(FORGET), None);
        assert_eq!(limit.until(FORGET), f64::INFINITY);
    }

    #[test]
    fn a_rate_is_kept_below_the_one_that_was_refused() {
        let mut limit = Limit::default();
        (0..200).for_each(|i| limit.started(f64::from(i) * 0.1));
        assert!(!limit.paced(20.0));
        limit.limited(0, 20.0);
        assert!(limit.paced(20.0), "ten a second were too many");
        assert!(!limit.paced(25.0), "and half of it, later, is not");
    }

    #[test]
    fn a_cap_never_falls_below_one_request() {
        let mut limit = Limit::default();
        (0..9).for_each(|_| limit.limited(0, 0.0));
        assert_eq!(limit.cap(0.0), Some(1));
        assert!(!limit.paced(0.0), "nothing was sent");
    }
}
