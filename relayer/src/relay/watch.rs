//! Tells the scorer and the public board of one attempt: that it began, and how it ended, whatever ends it.

use crate::chain::Pubkey;
use crate::node::Node;
use crate::score::{Ask, Outcome};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// An attempt under way. Dropped without [`Self::end`] it counts as the client's departure.
pub struct Watch {
    node: Arc<Node>,
    offer: Pubkey,
    ask: Ask,
    started: Instant,
    ended: bool,
}

impl Watch {
    /// An attempt to serve `ask` begins.
    pub fn start(node: Arc<Node>, offer: Pubkey, ask: Ask) -> Self {
        node.scorer.started(&offer, ask.input_tokens.saturating_add(ask.expected_output));
        Self { node, offer, ask, started: Instant::now(), ended: false }
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it ended. Only the first end counts.
    pub fn end(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.ended, true) {
            self.node.scorer.ended(&self.offer, &self.ask, &outcome, Instant::now());
            self.node.board.record(&self.offer, &outcome, self.node.clock.unix_ms());
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("offer", &self.offer).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(Outcome::Neutral);
    }
}
