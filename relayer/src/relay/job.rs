//! A request that is paid for: what its task owns from the hold to the charge.

use crate::chain::Pubkey;
use crate::market::MarketView;
use crate::node::Node;
use crate::relay::dialect::{Origin, Request};
use crate::relay::plan::{Candidate, Order, Place, Plan};
use crate::score::{self, Evidence};
use crate::vaults::Hold;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// When a request was accepted, on both clocks, and its place among the concurrent ones.
#[derive(Debug)]
pub struct Accepted {
    /// Unix milliseconds.
    pub unix_ms: i64,
    /// The steady clock.
    pub at: Instant,
    /// Given back when the answer has ended and the client has taken it.
    pub permit: Arc<OwnedSemaphorePermit>,
}

/// What the attempts of a request of `vault` say about providers, which weighs `weight`. `narrowed` is whether its client took
/// part in the choice by what it needs or rules out.
pub fn evidence_of(origin: Origin, narrowed: bool, vault: Pubkey, weight: impl FnOnce() -> f32) -> Evidence {
    match origin {
        Origin::Probe { .. } => Evidence::PROBE,
        Origin::Open | Origin::ClientEnded if !narrowed => {
            Evidence { lengths: origin == Origin::Open, ..Evidence::of(vault, weight()) }
        }
        Origin::Open | Origin::ClientEnded | Origin::ClientShaped => Evidence::shaped(vault),
    }
}

/// A request that is paid for.
#[derive(Debug)]
pub struct Job {
    /// The node.
    pub node: Arc<Node>,
    /// With whom the operator dealt when it was accepted.
    pub market: MarketView,
    /// The request.
    pub request: Request,
    /// The providers that it wants first.
    pub named: Vec<Pubkey>,
    /// Who can serve it.
    pub plan: Plan,
    /// The order in which they are tried.
    pub order: Order,
    /// What was decided of each of the plan's routes, and from what.
    pub ranked: Vec<score::Choice>,
    /// The money; dropped, it is free again.
    pub hold: Hold,
    /// The completion's id.
    pub id: String,
    /// When it was accepted.
    pub accepted: Accepted,
}

impl Job {
    /// When it must have ended.
    pub fn deadline(&self) -> Instant {
        let upstream = &self.node.config.upstream;
        let longest = self.plan.routes.iter().map(|route| upstream.total_timeout(&route.model)).max();
        self.accepted.at + longest.unwrap_or(Duration::from_millis(upstream.total_timeout_ms))
    }

    /// What its attempts say about providers: nothing to anybody else where the client took part in the choice or shaped the
    /// answer.
    pub fn evidence(&self) -> Evidence {
        let vault = self.hold.vault();
        evidence_of(self.request.origin, self.plan.narrowed, vault, || {
            self.node.limits.fees.weight(&vault, Instant::now())
        })
    }

    /// The candidate in this `place` of the plan.
    pub fn candidate(&self, place: Place) -> Option<&Candidate> {
        self.plan.routes.get(place.route)?.candidates.get(place.candidate)
    }

    /// Whether `candidate` is known to serve: its breaker is closed, and it fails less than half the time.
    pub fn is_healthy(&self, candidate: &Candidate) -> bool {
        self.ranked.iter().any(|choice| choice.is_healthy(&candidate.offer.address))
    }
}
