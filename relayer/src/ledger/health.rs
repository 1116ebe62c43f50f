//! Whether the ledger can take another charge. It is asked before anything is sold: what cannot be charged must not be
//! served. A disk that is full, failing or stuck, or a writer that has ended, closes the door at once; it opens again only
//! when as much as many charges need has been written for good.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A commit that takes longer than this is one of a disk that is stuck.
const STALLED: Duration = Duration::from_secs(5);

/// Why nothing may be sold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The last write failed.
    #[error("a write failed: {0}")]
    Failing(String),
    /// A write takes too long.
    #[error("a write has taken more than {} seconds", STALLED.as_secs())]
    Stalled,
    /// The writer has ended: only a restart helps.
    #[error("the writer has ended; restart the relayer")]
    Ended,
    /// What is under way may still be charged.
    #[error("its disk has {free} bytes left and ledger.min_free_bytes is {wanted}")]
    DiskLow {
        /// Bytes left.
        free: u64,
        /// Bytes below which nothing is sold.
        wanted: u64,
    },
}

/// What the writer tells those who sell. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Instant,
    /// Milliseconds from `origin` to the start of the commit under way, or [`IDLE`].
    busy_since: AtomicU64,
    failing: Mutex<Option<String>>,
    ended: AtomicBool,
    failures: AtomicU64,
    free: AtomicU64,
    wanted: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl Health {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            origin: Instant::now(),
            busy_since: AtomicU64::new(IDLE),
            failing: Mutex::default(),
            ended: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            wanted: AtomicU64::new(0),
        }))
    }

    /// What stands in the way of the next charge.
    pub fn trouble(&self) -> Option<Trouble> {
        let inner = &self.0;
        if inner.ended.load(Ordering::Acquire) {
            return Some(Trouble::Ended);
        }
        if let Some(problem) = self.failing().as_ref() {
            return Some(Trouble::Failing(problem.clone()));
        }
        let busy_since = inner.busy_since.load(Ordering::Acquire);
        if busy_since != IDLE && self.now().saturating_sub(busy_since) > STALLED.as_millis() as u64 {
            return Some(Trouble::Stalled);
        }
        let (free, wanted) = (inner.free.load(Ordering::Relaxed), inner.wanted.load(Ordering::Relaxed));
        (free < wanted).then_some(Trouble::DiskLow { free, wanted })
    }

    /// Writes that failed since the ledger was opened.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Bytes left on the disk when it was last looked at.
    pub fn free(&self) -> Option<u64> {
        Some(self.0.free.load(Ordering::Relaxed)).filter(|free| *free != u64::MAX)
    }

    pub fn want_free(&self, bytes: u64) {
        self.0.wanted.store(bytes, Ordering::Relaxed);
    }

    pub fn set_free(&self, bytes: u64) {
        self.0.free.store(bytes, Ordering::Relaxed);
    }

    pub fn begin(&self) {
        self.0.busy_since.store(self.now(), Ordering::Release);
    }

    pub fn end(&self) {
        self.0.busy_since.store(IDLE, Ordering::Release);
    }

    pub fn fail(&self, problem: &str) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.failing();
        // The first failure is the cause, what follows from it is not.
        if failing.is_none() {
            *failing = Some(problem.to_owned());
            tracing::error!(problem, "the ledger cannot write: nothing is sold until it can");
        }
    }

    /// Says what stands in the way now, whatever did first: it was looked at anew.
    pub fn fail_anew(&self, problem: &str) {
        self.fail(problem);
        if let Some(known) = &mut *self.failing() {
            problem.clone_into(known);
        }
    }

    pub fn is_failing(&self) -> bool {
        self.failing().is_some()
    }

    pub fn recover(&self) {
        if self.failing().take().is_some() {
            tracing::info!("the ledger can write again");
        }
    }

    /// Tells of the writer's end when it is dropped, which a panic does too.
    pub fn lifeline(&self) -> Lifeline {
        Lifeline(self.clone())
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(IDLE - 1)
    }
}

/// See [`Health::lifeline`].
pub(super) struct Lifeline(Health);

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.0.ended.store(true, Ordering::Release);
        if std::thread::panicking() {
            tracing::error!("the ledger's writer has panicked: nothing is sold until the relayer is restarted");
        }
    }
}

/// Held while a job runs: its panic closes the door before those who wait for the job hear of it.
pub(super) struct Fuse<'a>(pub &'a Health);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.ended.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_does_not_end_is_trouble_until_it_does() {
        let health = Health::new();
        let origin = Instant::now().checked_sub(STALLED + Duration::from_secs(1)).unwrap();
        let health = Health(Arc::new(Inner { origin, ..Arc::into_inner(health.0).unwrap() }));
        health.begin();
        assert_eq!(health.trouble(), None, "it has only just begun");
        health.0.busy_since.store(0, Ordering::Release);
        assert_eq!(health.trouble(), Some(Trouble::Stalled));
        health.end();
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn a_disk_is_low_below_what_is_wanted() {
        let health = Health::new();
        health.want_free(100);
        assert_eq!(health.trouble(), None, "nobody has looked yet");
        health.set_free(99);
        assert_eq!(health.trouble(), Some(Trouble::DiskLow { free: 99, wanted: 100 }));
        health.set_free(100);
        assert_eq!(health.trouble(), None);
    }
}
