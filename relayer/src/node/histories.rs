//! Answers that are work and that anybody may ask for at any rate: made once, and given again for a while.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
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
    /// The answer of this `name`; it is made if there is none that is new enough.
    pub fn take(&self, name: &str, now: Instant, make: impl FnOnce() -> Bytes) -> Bytes {
        // Answers stay usable whoever panicked while holding them.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, answer)) = kept.get(name)
            && now.saturating_duration_since(*made) < AGE
        {
            return answer.clone();
        }
        if kept.len() >= MOST
            && !kept.contains_key(name)
            && let Some(oldest) = kept.iter().min_by_key(|(_, (made, _))| *made).map(|(name, _)| name.clone())
        {
            kept.remove(&oldest);
        }
        let answer = make();
        kept.insert(name.to_owned(), (now, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_anew_after_a_while_and_few_are_kept() {
        let (histories, start) = (Histories::default(), Instant::now());
        let take = |name: &str, after: u64, text: &'static str| {
            histories.take(name, start + Duration::from_secs(after), || Bytes::from_static(text.as_bytes()))
        };
        assert_eq!((take("a", 0, "1"), take("a", 29, "2"), take("a", 30, "3")), ("1".into(), "1".into(), "3".into()));
        (0..100).for_each(|n| drop(take(&n.to_string(), 31 + n, "x")));
        assert_eq!(histories.0.lock().unwrap().len(), MOST);
        assert_eq!(take("99", 131, "y"), "x", "the last ones are kept");
    }
}
