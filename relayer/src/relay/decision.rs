//! The decision record: the reasons for the choice of a provider. A receipt's routing hash commits to its bytes, so that
//! anybody can repeat the choice later. It holds no prompt and no answer.
//!
//! The bytes are JSON with the members in the order of the fields here and no white space; numbers read back to the
//! same bits.

mod check;

pub use check::{Fault, check};

use crate::registry::Offer;
use crate::relay::job::Job;
use crate::relay::plan::{Place, Route};
use crate::score::{self, FailureKind};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;

/// The form of the record.
pub const VERSION: u32 = 8;
/// The form before, which had the scores as well: such records are read and checked as long as they are kept.
pub const WITH_SCORES: u32 = 7;

/// One request's decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DecisionRecord)]
pub struct Record {
    /// [`VERSION`], or [`WITH_SCORES`].
    pub v: u32,
    /// The completion.
    pub id: String,
    /// When the request was accepted, Unix milliseconds.
    pub time_ms: i64,
    /// The client's dialect.
    pub dialect: String,
    /// Answers wanted.
    pub choices: u32,
    /// The relayer's fee.
    pub fee_bps: u16,
    /// Providers tried at most, without those that answer 429 at once.
    pub max_attempts: u32,
    /// Providers that the client wants first: addresses, or names in records from before names were resolved.
    pub preferred: Vec<String>,
    /// Whether the client allows more than the first choice.
    pub allow_fallbacks: bool,
    /// A choice for each model asked for that somebody offers.
    pub routes: Vec<RouteRecord>,
    /// Models asked for that nobody offered, in records from before that was an error.
    pub unknown_models: Vec<String>,
    /// The offers in the order in which they are tried. One that answers 429 at once makes room for another of its model.
    pub order: Vec<String>,
    /// What was tried, in the order in which it began.
    pub attempts: Vec<AttemptRecord>,
    /// How it ended.
    pub outcome: String,
}

/// The choice among one model's offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRecord {
    /// The model as providers know it.
    pub model: String,
    /// Offers that can serve it; those whose provider is asked in the client's dialect come first.
    pub candidates: Vec<CandidateRecord>,
    /// Offers that cannot.
    pub excluded: Vec<ExclusionRecord>,
    /// What was known and drawn, and the ranking that followed.
    pub choice: score::ChoiceRecord,
}

/// An offer that can serve the request; what was measured of it is in [`score::ChoiceRecord`], at the same place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateRecord {
    /// The offer's address.
    pub offer: String,
    /// Its provider's address.
    pub provider: String,
    /// The provider's name.
    pub name: String,
    /// The dialect in which it is asked.
    pub dialect: String,
    /// Version of the price.
    pub version: u32,
    /// Output limit of each answer.
    pub max_output: u32,
    /// The most it may cost, fee included, in pico-USDC.
    pub ceiling_pico: String,
}

/// An offer that cannot serve the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExclusionRecord {
    /// The offer's address.
    pub offer: String,
    /// The provider's name.
    pub name: String,
    /// The reason.
    pub reason: String,
}

/// One provider tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptRecord {
    /// The offer's address.
    pub offer: String,
    /// The provider's name.
    pub name: String,
    /// The model asked for.
    pub model: String,
    /// [`OPENED`], [`REFUSED`], [`TOO_LONG`], [`CONTRADICTED`], [`OVERTAKEN`], or the name of the failure.
    pub outcome: String,
    /// When it began, in milliseconds since the request was accepted.
    pub started_ms: u64,
    /// Time it took, in milliseconds.
    pub ms: u64,
    /// Whether it began while another was still under way.
    pub hedge: bool,
    /// What went wrong.
    pub error: Option<String>,
}

/// The attempt that serves the request.
pub const OPENED: &str = "opened";
/// An attempt at which the provider said that the request itself is wrong.
pub const REFUSED: &str = "refused";
/// A refusal of a prompt that does not fit the model's context. Offers with no more room are passed over after it.
pub const TOO_LONG: &str = "context_too_long";
/// A refusal of what another provider then served.
pub const CONTRADICTED: &str = "contradicted";
/// An attempt that was aborted because another one answered first.
pub const OVERTAKEN: &str = "overtaken";
/// Milliseconds within which a 429 has cost a request next to nothing, so that it does not count as one of its attempts.
const AT_ONCE_MS: u64 = 1_000;

impl AttemptRecord {
    /// An attempt that began at `started` and ends now, for a request accepted at `accepted`.
    pub fn ended(offer: &Offer, accepted: Instant, started: Instant, outcome: &str, error: Option<String>) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            offer: offer.address.to_string(),
            name: offer.provider_name.clone(),
            model: offer.model.clone(),
            outcome: outcome.to_owned(),
            started_ms: ms(started.saturating_duration_since(accepted)),
            ms: ms(started.elapsed()),
            hedge: false,
            error,
        }
    }

    /// Whether the provider failed. A refusal is no failure unless another provider contradicted it; being slower is none.
    pub fn failed(&self) -> bool {
        ![OPENED, REFUSED, TOO_LONG, OVERTAKEN].contains(&self.outcome.as_str())
    }

    /// Whether the provider had no room and said so at once: another takes this one's place.
    pub fn limited_at_once(&self) -> bool {
        self.outcome == FailureKind::RateLimited.name() && self.ms <= AT_ONCE_MS
    }
}

impl Record {
    /// The record of `job`, of its `attempts` in the order in which they began, of the `order` of trying that they led to, and of
    /// how the one that opened ended.
    pub fn new(job: &Job, attempts: &[AttemptRecord], order: &[Place], outcome: &str) -> Self {
        let Job { request, plan, .. } = job;
        let routes = plan.routes.iter().zip(&job.ranked).map(|(route, ranked)| RouteRecord::of(route, ranked));
        Self {
            v: VERSION,
            id: job.id.clone(),
            time_ms: job.accepted.unix_ms,
            dialect: request.dialect.name().to_owned(),
            choices: plan.choices,
            fee_bps: plan.fee_bps,
            max_attempts: job.node.config.upstream.max_attempts,
            preferred: job.named.iter().map(ToString::to_string).collect(),
            allow_fallbacks: request.controls.allow_fallbacks,
            routes: routes.collect(),
            unknown_models: Vec::new(),
            order: order.iter().filter_map(|place| Some(job.candidate(*place)?.offer.address.to_string())).collect(),
            attempts: attempts.to_vec(),
            outcome: outcome.to_owned(),
        }
    }

    /// The scores of each route's candidates.
    pub fn scores(&self) -> Vec<Vec<score::CandidateScore>> {
        self.routes.iter().map(|route| route.choice.again().scores).collect()
    }

    /// The bytes that a routing hash is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::unwrap_used, reason = "writing to a Vec cannot fail, and no map has a key that is no string")]
        serde_json::to_vec(self).unwrap()
    }
}

impl RouteRecord {
    /// The choice `ranked` among the offers of `route`.
    pub fn of(route: &Route, ranked: &score::Choice) -> Self {
        let candidates = route.candidates.iter().map(|candidate| CandidateRecord {
            offer: candidate.offer.address.to_string(),
            provider: candidate.offer.provider.to_string(),
            name: candidate.offer.provider_name.clone(),
            dialect: candidate.dialect.name().to_owned(),
            version: candidate.offer.version,
            max_output: candidate.max_output,
            ceiling_pico: candidate.ceiling.0.to_string(),
        });
        let excluded = route.excluded.iter().map(|exclusion| ExclusionRecord {
            offer: exclusion.offer.address.to_string(),
            name: exclusion.offer.provider_name.clone(),
            reason: exclusion.reason.clone(),
        });
        Self {
            model: route.model.clone(),
            candidates: candidates.collect(),
            excluded: excluded.collect(),
            choice: ranked.record(),
        }
    }
}

#[cfg(test)]
mod tests;
