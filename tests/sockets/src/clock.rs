//! Seconds since a market began, the same in every process, and how late this process is at its own appointments.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use steam_simulator::stats::quantile;
use tokio::time::{Instant, sleep, sleep_until};

/// Between two looks at how late this process is.
const EVERY: Duration = Duration::from_millis(10);

/// A market's time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// One that is 0 at `nanos` of Unix time.
    pub fn from(nanos: u64) -> Self {
        let now = u64::try_from(unix().as_nanos()).unwrap_or(u64::MAX);
        let instant = Instant::now();
        let (ahead, ago) =
            (Duration::from_nanos(nanos.saturating_sub(now)), Duration::from_nanos(now.saturating_sub(nanos)));
        // A machine that started later than the market began has no such instant.
        Self((instant + ahead).checked_sub(ago).unwrap_or(instant))
    }

    /// Unix time in so long from now, in nanoseconds.
    pub fn within(wait: Duration) -> u64 {
        u64::try_from((unix() + wait).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Seconds since the market began; 0 before that.
    pub fn now(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// The instant at which so many seconds have passed.
    pub fn instant(&self, seconds: f64) -> Instant {
        self.0 + Duration::from_secs_f64(seconds.max(0.0))
    }

    /// Waits until so many seconds have passed.
    pub async fn until(&self, seconds: f64) {
        sleep_until(self.instant(seconds)).await;
    }
}

/// A clock that is set once, by whoever says when the market begins.
#[derive(Debug, Default)]
pub struct Start(OnceLock<Clock>);

impl Start {
    /// The market begins at `nanos` of Unix time.
    pub fn set(&self, nanos: u64) {
        // Only the first word counts.
        let _ = self.0.set(Clock::from(nanos));
    }

    /// Its clock, if it was set.
    pub fn clock(&self) -> Option<Clock> {
        self.0.get().copied()
    }
}

fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How late this process was, in seconds, each time that it looked.
#[derive(Clone, Debug, Default)]
pub struct Lag(Rc<RefCell<Vec<f32>>>);

impl Lag {
    /// Looks for as long as it is polled.
    pub async fn watch(self) {
        loop {
            let due = Instant::now() + EVERY;
            sleep(EVERY).await;
            self.0.borrow_mut().push(due.elapsed().as_secs_f32());
        }
    }

    /// The milliseconds that one look in a hundred was late by, or more.
    pub fn p99_ms(&self) -> f64 {
        let mut late = self.0.borrow().clone();
        late.sort_by(f32::total_cmp);
        if late.is_empty() { 0.0 } else { quantile(&late, 0.99) * 1e3 }
    }
}

/// CPU time of the machine so far, busy and in all, in ticks; nothing where the system does not tell.
pub fn cpu() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: u64 = ticks.iter().take(8).sum();
    Some((all - idle, all))
}

/// The share of the machine's CPU time that was used between two readings.
pub fn busy(before: Option<(u64, u64)>, after: Option<(u64, u64)>) -> Option<f64> {
    let ((busy, all), (busier, more)) = (before?, after?);
    (more > all).then(|| (busier - busy) as f64 / (more - all) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_that_are_told_the_same_moment_agree_on_the_time() {
        let nanos = Clock::within(Duration::from_millis(50));
        let clocks = [Clock::from(nanos), Clock::from(nanos)];
        assert_eq!(clocks[0].now(), 0.0, "it has not begun");
        std::thread::sleep(Duration::from_millis(120));
        let [a, b] = clocks.map(|clock| clock.now());
        assert!((a - b).abs() < 0.03 && a > 0.06, "{a} {b}");
        let past = Clock::from(Clock::within(Duration::ZERO) - 1_000_000_000);
        assert!(past.now() >= 1.0 && past.now() < 2.0, "{}", past.now());
    }

    #[test]
    fn what_is_late_is_seen() {
        let lag = Lag::default();
        lag.0.borrow_mut().extend((0..98).map(|_| 0.001));
        lag.0.borrow_mut().extend([0.03, 0.04]);
        assert!((lag.p99_ms() - 30.0).abs() < 0.1, "{}", lag.p99_ms());
        assert_eq!(busy(Some((1, 10)), Some((4, 20))), Some(0.3));
        assert_eq!(busy(None, Some((4, 20))), None);
    }
}
