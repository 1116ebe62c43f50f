//! Which provider serves a request.
use crate::registry::Offer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
/// Scorer.
#[derive(Debug)]
pub struct Scorer;
/// Objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the seam")]
pub enum Sort { Balanced, Price, Throughput, Latency }
/// Size of a request.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the seam")]
pub struct Shape { pub input_tokens: u32, pub expected_output: u32 }
/// Order of candidates.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the seam")]
pub struct Ranking { pub order: Vec<usize>, pub scores: Vec<ScoreLine>, pub draw: f64 }
/// A candidate's score.
#[derive(Clone, Debug, serde::Serialize)]
#[expect(missing_docs, reason = "the seam")]
pub struct ScoreLine { pub score: f64 }
/// Public measurements.
#[derive(Clone, Debug, serde::Serialize)]
#[expect(missing_docs, reason = "the seam")]
pub struct Board { pub samples: u64 }
/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the seam")]
pub enum Outcome {
    Served { input_tokens: u32, cached_tokens: u32, output_tokens: u32, ttft: Duration, total: Duration },
    Failed { kind: FailureKind, retry_after: Option<Duration> },
    Neutral,
}
/// How it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the seam")]
pub enum FailureKind { Connect, FirstTokenTimeout, IdleTimeout, Status(u16), RateLimited, Malformed, Empty, CutStream }
#[expect(clippy::unimplemented, unused_variables, missing_docs, reason = "the seam")]
impl Scorer {
    pub fn rank(&self, offers: &[Arc<Offer>], shape: Shape, sort: Sort, now: Instant, rng: &mut dyn rand::RngCore) -> Ranking { unimplemented!() }
    pub fn started(&self, offer: &crate::chain::Pubkey, tokens: u32) { }
    pub fn observe(&self, offer: &crate::chain::Pubkey, outcome: &Outcome, now: Instant) { }
    pub fn board(&self, offer: &crate::chain::Pubkey, now: Instant) -> Board { unimplemented!() }
    pub fn is_available(&self, offer: &crate::chain::Pubkey, now: Instant) -> bool { true }
}
