//! A request under way and the attempts of it.

use crate::hostile::offers::Asker;
use crate::hostile::relayer::Admitted;
use crate::market::Request;
use crate::market::provider::Fate;
use std::sync::Arc;
use steam::registry::Offer;
use steam::relay::decision::AttemptRecord;
use steam::relay::dialect::Usage;
use steam::relay::meter::Bill;
use steam::relay::plan::Place;
use steam::score::{Ask, Evidence, Ticket};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// An honest user: the place of the request.
    Honest(usize),
    /// One of the adversary's keys by its place, and whether honest providers fail its request.
    Sybil(usize, bool),
    /// The operator.
    Probe,
}

/// A request under way.
pub struct Flight {
    /// Who asks.
    pub who: Who,
    /// For what.
    pub request: Request,
    /// What the relayer has of it.
    pub admitted: Admitted,
    pub(super) evidence: Evidence,
    pub(super) tried: usize,
    /// With the number of each: they end in another order than they begin.
    pub(super) attempts: Vec<(u64, AttemptRecord)>,
    pub(super) running: Vec<Attempt>,
    /// Permits that retries took.
    pub(super) permits: u32,
}

/// An attempt under way.
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) turn: Place,
    /// Whether it began while another was under way, and whether it takes longer than its provider does at the worst.
    pub(super) hedge: bool,
    pub(super) late: bool,
    pub(super) offer: Arc<Offer>,
    pub(super) id: usize,
    pub(super) ask: Ask,
    pub(super) ticket: Ticket,
    pub(super) began: f64,
    pub(super) cached: u32,
    pub(super) fate: Fate,
}

/// What is charged for an answer, and how it is said to have ended.
pub(super) struct Ended {
    pub(super) bill: Bill,
    pub(super) claim: Usage,
    /// Most tokens of reasoning that nobody saw which are believed.
    pub(super) hidden: u64,
    /// Tokens that arrived.
    pub(super) received: u32,
    pub(super) whole: bool,
    pub(super) first: f64,
}

impl Ended {
    /// Tokens of reasoning that were claimed and are not believed.
    pub(super) fn unbelieved(&self) -> u32 {
        self.claim.reasoning.saturating_sub(self.hidden).try_into().unwrap_or(u32::MAX)
    }
}

/// Who a provider takes somebody for.
pub(super) fn asker(who: Who) -> Asker {
    match who {
        Who::Honest(_) => Asker::User,
        Who::Sybil(..) => Asker::Friend,
        Who::Probe => Asker::Probe,
    }
}

/// Whether `offer` is known to serve.
pub(super) fn is_healthy(flight: &Flight, offer: &Offer) -> bool {
    flight.admitted.ranked.iter().any(|choice| choice.is_healthy(&offer.address))
}
