//! The breaker of one offer: after failures in a row it opens for a pause that doubles each time, then lets one request
//! through as a probe. If the probe is served the breaker closes; if it fails the breaker opens again. Seconds count from the
//! scorer's beginning.

use super::ask::Gate;

/// Failures in a row that open the breaker.
pub(super) const FAILURES_TO_OPEN: u32 = 2;
/// How long it stays open the first time, in seconds.
const FIRST_PAUSE: f64 = 5.0;
/// How long it stays open at most, in seconds.
const LONGEST_PAUSE: f64 = 80.0;
/// Longest `Retry-After` that is honoured, in seconds: a provider cannot take itself out for a day by mistake.
const LONGEST_RETRY_AFTER: f64 = 600.0;
/// A probe that has not ended counts as lost after this, in seconds.
const PROBE_LOST: f64 = 660.0;

/// How much a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// One of several that open the breaker together.
    Single,
    /// An outage until shown otherwise: one is enough.
    Outage,
}

/// The breaker of one offer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Breaker {
    in_a_row: u32,
    openings: u32,
    open_until: Option<f64>,
    /// End of the cooldown that the provider asked for with `Retry-After`.
    cooldown_until: f64,
    probing: bool,
}

impl Breaker {
    pub(super) fn state(&self, now: f64) -> Gate {
        match self.open_until {
            None => Gate::Closed,
            Some(until) if now < until => Gate::Open,
            Some(until) if self.probing && now < until + PROBE_LOST => Gate::Open,
            Some(_) => Gate::HalfOpen,
        }
    }

    /// What is left of the cooldown that the provider asked for, in seconds.
    pub(super) fn cooldown(&self, now: f64) -> Option<f64> {
        (now < self.cooldown_until).then_some(self.cooldown_until - now)
    }

    /// When its state changes by time alone.
    pub(super) fn until(&self, now: f64) -> f64 {
        let changes = self.open_until.map(|until| if now < until { until } else { until + PROBE_LOST });
        changes.filter(|_| self.state(now) == Gate::Open).unwrap_or(f64::INFINITY)
    }

    /// A request was sent; while not closed, it is the probe.
    pub(super) fn started(&mut self) {
        self.probing = self.open_until.is_some();
    }

    /// The request ended and says nothing about the provider.
    pub(super) fn neutral(&mut self) {
        self.probing = false;
    }

    /// The request was served. Returns whether that closed the breaker.
    pub(super) fn served(&mut self) -> bool {
        let closed = self.open_until.is_some();
        // One success halves the next pause and does not reset it: a flapping provider keeps long pauses.
        *self = Self { openings: self.openings.saturating_sub(1), ..Self::default() };
        closed
    }

    /// The request failed. `retry_after` is the provider's `Retry-After` in seconds, if it sent one.
    pub(super) fn failed(&mut self, now: f64, retry_after: Option<f64>, severity: Severity) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let was_probe = std::mem::take(&mut self.probing);
        if let Some(pause) = retry_after {
            let pause = pause.clamp(0.0, LONGEST_RETRY_AFTER);
            self.cooldown_until = self.cooldown_until.max(now + pause);
            self.open_for(pause, now);
        } else if (severity == Severity::Outage || self.in_a_row >= FAILURES_TO_OPEN)
            && (self.open_until.is_none() || was_probe)
        {
            self.open(now);
        }
    }

    /// Opens for the next pause: also for an offer that fails far more often than its peers.
    pub(super) fn open(&mut self, now: f64) {
        let pause = FIRST_PAUSE * f64::from(self.openings.min(16)).exp2();
        self.openings = self.openings.saturating_add(1);
        self.open_for(pause.min(LONGEST_PAUSE), now);
    }

    fn open_for(&mut self, pause: f64, now: f64) {
        self.open_until = Some(self.open_until.unwrap_or(now).max(now + pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_at(now: f64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(now, None, Severity::Single);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_in_between_does_not() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(0.0, None, Severity::Single);
            assert_eq!(breaker.state(0.0), Gate::Closed);
            breaker.served();
        }
        assert_eq!(dead_at(0.0).state(0.0), Gate::Open);
    }

    #[test]
    fn one_probe_at_a_time_after_the_pause_and_the_pause_doubles() {
        let mut breaker = dead_at(0.0);
        assert_eq!((breaker.state(4.9), breaker.until(4.9)), (Gate::Open, 5.0));
        assert_eq!(breaker.state(5.0), Gate::HalfOpen);
        breaker.started();
        assert_eq!(breaker.state(5.0), Gate::Open, "a second probe waits for the first");
        breaker.failed(5.0, None, Severity::Single);
        assert_eq!((breaker.state(14.9), breaker.state(15.0)), (Gate::Open, Gate::HalfOpen));
        breaker.started();
        assert!(breaker.served());
        assert_eq!(breaker.state(15.0), Gate::Closed);
    }

    #[test]
    fn the_pause_is_bounded() {
        let mut breaker = dead_at(0.0);
        let mut now = 0.0;
        for _ in 0..40 {
            now += LONGEST_PAUSE;
            assert_eq!(breaker.state(now), Gate::HalfOpen);
            breaker.started();
            breaker.failed(now, None, Severity::Single);
        }
    }

    #[test]
    fn retry_after_is_honoured_at_once_within_reason() {
        let mut breaker = Breaker::default();
        breaker.failed(0.0, Some(30.0), Severity::Single);
        assert_eq!((breaker.cooldown(10.0), breaker.cooldown(30.0)), (Some(20.0), None));
        assert_eq!(dead_at(0.0).cooldown(0.0), None, "failing is not asking to be left alone");
        assert_eq!((breaker.state(29.0), breaker.state(30.0)), (Gate::Open, Gate::HalfOpen));
        breaker.failed(30.0, Some(f64::MAX), Severity::Single);
        assert_eq!(breaker.state(30.0 + LONGEST_RETRY_AFTER), Gate::HalfOpen);
    }

    #[test]
    fn failures_of_requests_sent_before_it_opened_do_not_prolong_it() {
        let mut breaker = dead_at(0.0);
        for _ in 0..20 {
            breaker.failed(0.5, None, Severity::Single);
        }
        assert_eq!(breaker.state(FIRST_PAUSE), Gate::HalfOpen);
    }

    #[test]
    fn one_failure_that_says_it_is_dead_is_enough() {
        let mut breaker = Breaker::default();
        breaker.failed(0.0, None, Severity::Outage);
        assert_eq!(breaker.state(0.0), Gate::Open);
    }

    #[test]
    fn a_lost_probe_does_not_lock_it_for_ever() {
        let mut breaker = dead_at(0.0);
        breaker.started();
        assert_eq!(breaker.state(FIRST_PAUSE + PROBE_LOST), Gate::HalfOpen);
    }
}
