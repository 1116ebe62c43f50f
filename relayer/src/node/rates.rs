//! Rate limits of keys: each has a bucket of one minute's requests, filled evenly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// Number of keys from which those that were quiet for a minute are forgotten.
const SWEEP_AT: usize = 16_384;

/// A key has made all the requests that it may make for now.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this key may make {limit} requests a minute here; try again in {} seconds", retry_after.as_secs())]
pub struct RateLimited {
    /// Requests a minute.
    pub limit: u32,
    /// The time until the next request is allowed.
    pub retry_after: Duration,
}

/// How many requests a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests a minute.
    pub limit: u32,
    /// Those that it may make at once.
    pub remaining: u32,
    /// The time until all of them are there again.
    pub reset: Duration,
}

/// The buckets of all keys.
#[derive(Debug)]
pub struct Rates {
    /// Requests a minute; 0 is without limit.
    limit: u32,
    /// When each key's bucket is full again.
    full_at: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Rates {
    /// Buckets for `limit` requests a minute and key.
    pub fn new(limit: u32) -> Self {
        Self { limit, full_at: Mutex::default() }
    }

    /// Takes one request out of `key`'s bucket. Returns what is left in it, if there is a limit.
    ///
    /// # Errors
    /// [`RateLimited`] if the bucket is empty.
    pub fn take(&self, key: &[u8; 32], now: Instant) -> Result<Option<Left>, RateLimited> {
        if self.limit == 0 {
            return Ok(None);
        }
        let each = MINUTE / self.limit;
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SWEEP_AT && !buckets.contains_key(key) {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.get(key).copied().unwrap_or(now).max(now) + each;
        let excess = full_at.duration_since(now).saturating_sub(MINUTE);
        if !excess.is_zero() {
            let retry_after = Duration::from_secs(excess.as_secs() + 1);
            return Err(RateLimited { limit: self.limit, retry_after });
        }
        buckets.insert(*key, full_at);
        let reset = full_at.duration_since(now);
        let remaining = MINUTE.saturating_sub(reset).as_nanos() / each.as_nanos().max(1);
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX).min(self.limit);
        Ok(Some(Left { limit: self.limit, remaining, reset }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_minute_and_no_more() {
        let (rates, start) = (Rates::new(3), Instant::now());
        let (alice, bob) = ([1; 32], [2; 32]);
        for remaining in [2, 1, 0] {
            let left = rates.take(&alice, start).unwrap().unwrap();
            assert_eq!((left.limit, left.remaining), (3, remaining));
            assert_eq!(left.reset, Duration::from_secs(60 - u64::from(remaining) * 20));
        }
        assert_eq!(rates.take(&alice, start).unwrap_err().retry_after, Duration::from_secs(21));
        rates.take(&bob, start).unwrap();
        rates.take(&alice, start + Duration::from_secs(20)).unwrap();
        assert!(rates.take(&alice, start + Duration::from_secs(20)).is_err());
        for _ in 0..3 {
            rates.take(&alice, start + Duration::from_secs(500)).unwrap();
        }
        assert!(rates.take(&alice, start + Duration::from_secs(500)).is_err());
    }

    #[test]
    fn zero_is_without_limit() {
        let rates = Rates::new(0);
        assert!((0..1_000).all(|_| rates.take(&[0; 32], Instant::now()).is_ok()));
    }
}
