//! The breaker of one offer: after failures in a row it opens for a pause that doubles each time, then lets one request
//! through as a probe. If the probe is served the breaker closes; if it fails the breaker opens again, and more requests must
//! pass it by before the next probe: a probe that waits in vain for an answer costs its client the whole timeout, so that
//! probes are few among the requests, however seldom those come. Seconds count from the scorer's beginning.

use super::ask::Gate;
use crate::chain::Pubkey;

/// Failures in a row that open the breaker.
pub(super) const FAILURES_TO_OPEN: f64 = 2.0;
/// Sums of weights below the failures to open by less than this are whole.
const ROUNDING: f64 = 1e-6;
/// How long opening the breaker for everybody waits for a probe of the relayer's own, in seconds.
const PROBE_WAIT: f64 = 15.0;
/// How long it stays open the first time, in seconds.
const FIRST_PAUSE: f64 = 5.0;
/// How long it stays open at most, in seconds.
const LONGEST_PAUSE: f64 = 10.0;
/// Requests that must pass it by before the next probe, at most: they double with the pause.
const MOST_PASSED: u32 = 24;
/// Longest `Retry-After` that is honoured, in seconds: a provider cannot take itself out for a day by mistake.
const LONGEST_RETRY_AFTER: f64 = 600.0;
/// A probe that has not ended counts as lost after this, in seconds.
const PROBE_LOST: f64 = 660.0;

/// Who says that a provider fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// One vault: believed together with another.
    Vault(Pubkey),
    /// The relayer itself, or a connection that was never made: nobody else could have caused it.
    Own,
}

/// The breaker of one offer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Breaker {
    /// Failures in a row, by weight.
    in_a_row: f64,
    /// The vault that saw the first of them.
    first: Option<Pubkey>,
    /// Whether another vault saw one.
    several: bool,
    /// Since when it waits for a probe before it opens.
    suspected_at: Option<f64>,
    openings: u32,
    open_until: Option<f64>,
    /// End of the cooldown that the provider asked for with `Retry-After`.
    cooldown_until: f64,
    probing: bool,
    /// Requests that must still pass it by before the next probe.
    to_pass: u32,
}

impl Breaker {
    pub(super) fn state(&self, now: f64) -> Gate {
        match self.open_until {
            None => Gate::Closed,
            Some(until) if now < until => Gate::Open,
            Some(until) if self.probing && now < until + PROBE_LOST => Gate::Open,
            Some(_) if self.waits_for_requests() => Gate::Open,
            Some(_) => Gate::HalfOpen,
        }
    }

    /// Whether the next probe waits for requests to pass it by.
    pub(super) fn waits_for_requests(&self) -> bool {
        self.to_pass > 0
    }

    /// A request that may not be the probe passes it by. Returns whether that was the last one to wait for.
    pub(super) fn passed(&mut self) -> bool {
        let waited = self.waits_for_requests();
        self.to_pass = self.to_pass.saturating_sub(1);
        waited && !self.waits_for_requests()
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

    /// The request was served.
    pub(super) fn served(&mut self) {
        // One success halves the next pause and does not reset it: a flapping provider keeps long pauses.
        *self = Self { openings: self.openings.saturating_sub(1), ..Self::default() };
    }

    /// The request failed. `retry_after` is the provider's `Retry-After` in seconds, if it sent one; `counts` is how many
    /// failures this one counts as.
    pub(super) fn failed(&mut self, now: f64, retry_after: Option<f64>, counts: f64) {
        self.in_a_row += counts;
        let was_probe = std::mem::take(&mut self.probing);
        if let Some(pause) = retry_after {
            let pause = pause.clamp(0.0, LONGEST_RETRY_AFTER);
            self.cooldown_until = self.cooldown_until.max(now + pause);
            self.open_for(pause, now);
        } else if self.in_a_row >= FAILURES_TO_OPEN - ROUNDING && (self.open_until.is_none() || was_probe) {
            self.open(now);
        }
    }

    /// The request failed, as `witness` says. Nobody closes a provider to everybody alone: failures of a single vault wait
    /// for those of another, and where the relayer `probes`, both wait a while for a probe.
    pub(super) fn accused(&mut self, now: f64, retry_after: Option<f64>, counts: f64, witness: Witness, probes: bool) {
        if let Witness::Vault(vault) = witness {
            self.several |= self.first.is_some_and(|first| first != vault);
            self.first.get_or_insert(vault);
            let enough = self.in_a_row + counts >= FAILURES_TO_OPEN - ROUNDING;
            if retry_after.is_none() && enough && self.open_until.is_none() && self.waits(now, probes) {
                self.in_a_row += counts;
                return;
            }
        }
        self.failed(now, retry_after, counts);
    }

    /// Whether it is not opened yet though failures in a row are enough.
    fn waits(&mut self, now: f64, probes: bool) -> bool {
        let since = *self.suspected_at.get_or_insert(now);
        !self.several || (probes && now < since + PROBE_WAIT)
    }

    /// Whether a probe should tell if it fails everybody.
    pub(super) fn suspected(&self) -> bool {
        self.suspected_at.is_some() && self.open_until.is_none()
    }

    /// Opens for the next pause. After the first one the next request may be the probe.
    fn open(&mut self, now: f64) {
        let doubled = 1 << self.openings.min(16);
        let pause = FIRST_PAUSE * f64::from(doubled);
        self.to_pass = (doubled - 1).min(MOST_PASSED);
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
        for _ in 0..2 {
            breaker.failed(now, None, 1.0);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_in_between_does_not() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(0.0, None, 1.0);
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
        breaker.failed(5.0, None, 1.0);
        assert!(breaker.passed(), "one request goes elsewhere");
        assert_eq!((breaker.state(14.9), breaker.state(15.0)), (Gate::Open, Gate::HalfOpen));
        breaker.started();
        breaker.served();
        assert_eq!(breaker.state(15.0), Gate::Closed);
    }

    #[test]
    fn probes_become_fewer_among_the_requests_within_bounds_whatever_time_passes() {
        let mut breaker = dead_at(0.0);
        let (mut now, mut passed) = (0.0, Vec::new());
        for _ in 0..40 {
            now += 3_600.0;
            let mut requests = 0;
            while breaker.state(now) == Gate::Open {
                breaker.passed();
                requests += 1;
            }
            passed.push(requests);
            breaker.started();
            breaker.failed(now, None, 1.0);
        }
        assert_eq!(passed[..7], [0, 1, 3, 7, 15, MOST_PASSED, MOST_PASSED]);
        assert_eq!(passed.iter().max(), Some(&MOST_PASSED));
        // However many requests pass, a pause is one of time as well, and not too long.
        (0..100).for_each(|_| _ = breaker.passed());
        let at = |seconds: f64| breaker.state(now + seconds);
        assert_eq!((at(LONGEST_PAUSE - 0.1), at(LONGEST_PAUSE)), (Gate::Open, Gate::HalfOpen));
    }

    #[test]
    fn retry_after_is_honoured_at_once_within_reason() {
        let mut breaker = Breaker::default();
        breaker.failed(0.0, Some(30.0), 1.0);
        assert_eq!((breaker.cooldown(10.0), breaker.cooldown(30.0)), (Some(20.0), None));
        assert_eq!(dead_at(0.0).cooldown(0.0), None, "failing is not asking to be left alone");
        assert_eq!((breaker.state(29.0), breaker.state(30.0)), (Gate::Open, Gate::HalfOpen));
        breaker.failed(30.0, Some(f64::MAX), 1.0);
        assert_eq!(breaker.state(30.0 + LONGEST_RETRY_AFTER), Gate::HalfOpen);
    }

    #[test]
    fn failures_of_requests_sent_before_it_opened_do_not_prolong_it() {
        let mut breaker = dead_at(0.0);
        for _ in 0..20 {
            breaker.failed(0.5, None, 1.0);
        }
        assert_eq!(breaker.state(FIRST_PAUSE), Gate::HalfOpen);
    }

    #[test]
    fn one_failure_that_says_it_is_dead_is_enough() {
        let mut breaker = Breaker::default();
        breaker.failed(0.0, None, FAILURES_TO_OPEN);
        assert_eq!(breaker.state(0.0), Gate::Open);
    }

    #[test]
    fn a_lost_probe_does_not_lock_it_for_ever() {
        let mut breaker = dead_at(0.0);
        breaker.started();
        assert_eq!(breaker.state(FIRST_PAUSE + PROBE_LOST), Gate::HalfOpen);
    }

    #[test]
    fn one_vault_closes_nobody_to_the_others_and_two_wait_for_a_probe() {
        let at = |seed: u8| Witness::Vault(Pubkey::new_from_array([seed; 32]));
        let mut breaker = Breaker::default();
        (0..50).for_each(|_| breaker.accused(0.0, None, 1.0, at(1), false));
        assert_eq!((breaker.state(0.0), breaker.suspected()), (Gate::Closed, true), "one vault, however often");
        breaker.accused(0.0, None, 1.0, at(2), false);
        assert_eq!(breaker.state(0.0), Gate::Open, "two vaults, and no probes");

        let mut breaker = Breaker::default();
        [1, 2, 1, 2].into_iter().for_each(|seed| breaker.accused(0.0, None, 1.0, at(seed), true));
        assert_eq!(breaker.state(0.0), Gate::Closed, "a probe is to say so first");
        let mut cleared = breaker;
        cleared.served();
        assert!(!cleared.suspected());
        let mut confirmed = breaker;
        confirmed.accused(1.0, None, 1.0, Witness::Own, true);
        assert_eq!(confirmed.state(1.0), Gate::Open);
        breaker.accused(PROBE_WAIT, None, 1.0, at(1), true);
        assert_eq!(breaker.state(PROBE_WAIT), Gate::Open, "no probe came");
    }

    #[test]
    fn light_failures_need_more_of_each_other() {
        let mut breaker = Breaker::default();
        for _ in 0..7 {
            breaker.failed(0.0, None, 0.25);
            assert_eq!(breaker.state(0.0), Gate::Closed);
        }
        breaker.failed(0.0, None, 0.25);
        assert_eq!(breaker.state(0.0), Gate::Open);
    }
}
