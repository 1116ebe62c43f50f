//! The requests that were answered last, without their words: what the log says of each.

use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Requests that are kept: the last ones.
pub const MOST: usize = 500;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// When its answer began, in Unix milliseconds.
    pub at_ms: i64,
    /// The answer's `x-request-id`.
    pub id: String,
    /// The method, of those that there are.
    pub method: String,
    /// A path of the router, never one that a client made up.
    pub route: String,
    /// The status.
    pub status: u16,
    /// The code of the relayer's error, if it is one.
    pub code: Option<&'static str>,
    /// Milliseconds until its answer began.
    pub ms: u64,
}

/// The last requests.
#[derive(Debug, Default)]
pub struct Requests(Mutex<VecDeque<Answered>>);

impl Requests {
    /// Takes note of one.
    pub fn note(&self, answered: Answered) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST {
            last.pop_front();
        }
        last.push_back(answered);
    }

    /// The last ones, the latest first.
    pub fn last(&self) -> Vec<Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_no_more() {
        let requests = Requests::default();
        for at_ms in 0..=MOST as i64 {
            let (id, method, route) = (String::new(), "GET".into(), "/health".into());
            requests.note(Answered { at_ms, id, method, route, status: 200, code: None, ms: 1 });
        }
        let last = requests.last();
        assert_eq!((last.len(), last[0].at_ms, last[MOST - 1].at_ms), (MOST, MOST as i64, 1));
    }
}
