//! Tells the scorer of one attempt: that it began, and how it ended, whatever ends it.

use crate::chain::Pubkey;
use crate::score::{Outcome, Scorer};
use std::sync::Arc;
use tokio::time::Instant;

/// An attempt under way. Dropped without [`Self::end`] it counts as the client's departure.
#[derive(Debug)]
pub struct Watch {
    scorer: Arc<Scorer>,
    offer: Pubkey,
    started: Instant,
    ended: bool,
}

impl Watch {
    /// An attempt begins that will take about `tokens`.
    pub fn start(scorer: Arc<Scorer>, offer: Pubkey, tokens: u32) -> Self {
        scorer.started(&offer, tokens);
        Self { scorer, offer, started: Instant::now(), ended: false }
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it ended. Only the first end counts.
    pub fn end(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.ended, true) {
            self.scorer.observe(&self.offer, &outcome, Instant::now());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(Outcome::Neutral);
    }
}
