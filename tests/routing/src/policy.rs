//! Who orders the candidates of a request, and on what grounds: the relayer's scorer, or the rules other gateways
//! document.

pub mod baseline;
pub mod coefficients;
pub mod health;
pub mod latency;
pub mod learner;
pub mod pending;
pub mod price;
pub mod spec;
pub mod steam;
pub mod withheld;

#[cfg(test)]
mod tests;

pub use spec::Spec;

use crate::market::Request;
use crate::market::provider::patience;
use ::steam::registry::Offer;
use ::steam::score::{Ask, FailureKind, Outcome, Sort};
use std::sync::Arc;

/// Providers tried for one request without those that answer 429 at once: the relayer's default.
pub const MAX_ATTEMPTS: usize = 4;

/// Whether a try that ended with `outcome` is one of the [`MAX_ATTEMPTS`].
pub fn is_attempt(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Failed { kind: FailureKind::RateLimited, .. })
}

/// Output tokens expected of a request that states no limit: the relayer's default.
const EXPECTED_OUTPUT: u32 = 400;

/// What a policy may know of a request before it is served.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The candidates.
    pub offers: &'a [Arc<Offer>],
    /// Whose they are: the number a provider keeps.
    pub ids: &'a [usize],
    /// Seconds since the market began.
    pub now: f64,
    /// The request as far as it is known: not how long its answer will be.
    pub ask: Ask,
}

impl View<'_> {
    /// Posted price of the request at the candidate in `position`, in µUSDC, nothing cached.
    pub fn cost(&self, position: usize) -> f64 {
        let price = &self.offers[position].price.standard;
        f64::from(self.ask.input_tokens) * price.input as f64
            + f64::from(self.ask.expected_output) * price.output as f64
    }
}

/// Orders candidates and learns from what becomes of them.
pub trait Policy {
    /// Positions of all candidates in the order in which to try them.
    fn rank(&mut self, view: &View<'_>) -> Vec<usize>;

    /// `request` was sent to provider `id`.
    fn started(&mut self, id: usize, request: &Request, now: f64);

    /// The first token of `request` came from provider `id`: more than most policies look at.
    fn began(&mut self, _id: usize, _request: &Request, _now: f64) {}

    /// `request` ended at provider `id`.
    fn ended(&mut self, id: usize, request: &Request, outcome: &Outcome, now: f64);
}

/// Who orders the candidates.
pub enum Router {
    /// Someone who knows what was told.
    Policy(Box<dyn Policy>),
    /// Someone who knows everything.
    Oracle,
}

/// Output tokens the relayer expects before it learned anything.
fn expected(request: &Request) -> u32 {
    request.limit.map_or(EXPECTED_OUTPUT, |limit| limit.min(EXPECTED_OUTPUT))
}

/// What the relayer knows of a request. A prompt too short to be cached has no prefix there.
pub fn ask(request: &Request) -> Ask {
    Ask {
        input_tokens: request.input,
        expected_output: expected(request),
        output_limit: request.limit.unwrap_or_default(),
        streamed: request.streamed,
        sort: Sort::Balanced,
        preferred_min_throughput: None,
        preferred_max_latency: None,
        patience: Some(patience(request) as f32),
        prefix: Some(request.conversation.into()),
        ..Ask::default()
    }
}
