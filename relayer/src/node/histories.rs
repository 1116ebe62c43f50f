//! Answers that are work and that anybody may ask for at any rate: made once, and given again for a while.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how long an answer is given again.
const AGE: Duration = Duration::from_secs(30);
/// Answers kept at most. Each has a few hundred kilobytes.
const MOST: usize = 64;

/// Answers by their names.
#[derive(Debug, Default)]
pub struct Histories(Mutex<HashMap<String, (Instant, Bytes)>>);

impl Histories {
    /// The answer of this `name`, if one is kept that is new enough.
    pub fn get(&self, name: &str, now: Instant) -> Option<Bytes> {
        let kept = self.lock();
        let (made, answer) = kept.get(name)?;
        (now.saturating_duration_since(*made) < AGE).then(|| answer.clone())
    }

    /// Keeps the answer of this `name`, which was made at `now`.
    pub fn keep(&self, name: &str, now: Instant, answer: Bytes) {
        let mut kept = self.lock();
        if kept.len() >= MOST
            && !kept.contains_key(name)
            && let Some(oldest) = kept.iter().min_by_key(|(_, (made, _))| *made).map(|(name, _)| name.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(name.to_owned(), (now, answer));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Bytes)>> {
        // Answers stay usable whoever panicked while holding them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_anew_after_a_while_and_few_are_kept() {
        let (histories, start) = (Histories::default(), Instant::now());
        let take = |name: &str, after: u64, text: &'static str| {
            let now = start + Duration::from_secs(after);
            histories.get(name, now).unwrap_or_else(|| {
                histories.keep(name, now, Bytes::from_static(text.as_bytes()));
                Bytes::from_static(text.as_bytes())
            })
        };
        assert_eq!((take("a", 0, "1"), take("a", 29, "2"), take("a", 30, "3")), ("1".into(), "1".into(), "3".into()));
        (0..100).for_each(|n| drop(take(&n.to_string(), 31 + n, "x")));
        assert_eq!(histories.0.lock().unwrap().len(), MOST);
        assert_eq!(take("99", 131, "y"), "x", "the last ones are kept");
    }
}
