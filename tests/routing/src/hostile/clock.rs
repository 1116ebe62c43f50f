//! Virtual time, as the relayer's parts take it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use steam::clock::Clock;
use tokio::time::Instant;

/// Unix milliseconds at which a day begins.
pub(super) const DAWN_MS: i64 = 1_800_000_000_000;

/// The time of day.
#[derive(Debug)]
pub struct DayClock {
    began: Instant,
    ms: AtomicI64,
}

impl DayClock {
    /// A clock at the beginning of the day.
    pub fn new() -> Self {
        // Only differences of instants count, so that it does not matter when this one is.
        Self { began: Instant::now(), ms: AtomicI64::new(DAWN_MS) }
    }

    /// It is `now`, in seconds since the day began.
    pub fn set(&self, now: f64) {
        self.ms.store(DAWN_MS + (now * 1e3) as i64, Ordering::Relaxed);
    }

    /// The steady clock `now` seconds after the day began.
    pub fn instant(&self, now: f64) -> Instant {
        self.began + Duration::from_secs_f64(now)
    }
}

impl Default for DayClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for DayClock {
    fn unix_ms(&self) -> i64 {
        self.ms.load(Ordering::Relaxed)
    }
}
