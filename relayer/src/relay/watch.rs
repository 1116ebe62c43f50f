//! Reports one attempt to the scorer and the public board: its begin, and its end whatever ends it.

use crate::chain::Pubkey;
use crate::node::Node;
use crate::score::{Ask, Evidence, Outcome, Ticket};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// An attempt under way. If it is dropped without [`Self::end`], the client has left.
pub struct Watch {
    node: Arc<Node>,
    offer: Pubkey,
    ask: Ask,
    evidence: Evidence,
    ticket: Ticket,
    started: Instant,
    ended: bool,
}

impl Watch {
    /// Reports that an attempt to serve `ask` begins, which says no more than `evidence`.
    pub fn start(node: Arc<Node>, offer: Pubkey, ask: Ask, evidence: Evidence) -> Self {
        let started = Instant::now();
        let ticket = node.scorer.started_for(&offer, &ask, &evidence, started);
        Self { node, offer, ask, evidence, ticket, started, ended: false }
    }

    /// The moment at which it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Reports that the first content is there: who keeps many waiting for it is known before the first answer ends.
    pub fn began(&mut self) {
        self.node.scorer.began(&self.offer, &self.ask, &mut self.ticket, Instant::now());
    }

    /// Reports how it ended. Only the first report counts.
    pub fn end(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.ended, true) {
            let asked = (&self.ask, &self.ticket);
            self.node.scorer.ended_for(&self.offer, asked, &outcome, &self.evidence, Instant::now());
            if self.evidence.counts() {
                self.node.board.record(&self.offer, &outcome, self.node.clock.unix_ms());
            }
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
