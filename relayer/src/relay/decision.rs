//! The decision record: why this provider and no other. A receipt's routing hash commits to its bytes, so that they
//! can be shown and checked later. It holds no prompt and no answer.

use crate::registry::Offer;
use crate::relay::plan::{Candidate, Plan, Route};
use crate::score::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// One provider tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The offer's address.
    pub offer: String,
    /// The provider's name.
    pub name: String,
    /// The model asked for.
    pub model: String,
    /// [`OPENED`], [`REFUSED`], [`CONTRADICTED`], [`OVERTAKEN`], or the name of the failure.
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
/// A refusal of what another provider then served.
pub const CONTRADICTED: &str = "contradicted";
/// An attempt that was aborted because another one answered first.
pub const OVERTAKEN: &str = "overtaken";

impl Attempt {
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
}

/// Everything a record says.
#[derive(Debug)]
pub struct Decision<'a> {
    /// The generation.
    pub id: &'a str,
    /// When the request was accepted, Unix milliseconds.
    pub started_at_ms: i64,
    /// Candidates and exclusions.
    pub plan: &'a Plan,
    /// What was decided of each of the plan's routes, and from what: enough to decide it again.
    pub ranked: &'a [Record],
    /// The order of trying.
    pub order: &'a [Candidate],
    /// What happened.
    pub attempts: &'a [Attempt],
    /// How the one that opened ended.
    pub outcome: &'a str,
}

impl Decision<'_> {
    /// Canonical JSON: members sorted by name at every level, no white space.
    pub fn canonical(&self) -> Vec<u8> {
        let plan = self.plan;
        let routes: Vec<Value> =
            plan.routes.iter().zip(self.ranked).map(|(route, ranked)| shown(route, ranked)).collect();
        let order: Vec<String> = self.order.iter().map(|candidate| candidate.offer.address.to_string()).collect();
        let record = json!({
            "v": 2,
            "id": self.id,
            "time_ms": self.started_at_ms,
            "routes": routes,
            "unknown_models": plan.unknown,
            "choices": plan.choices,
            "fee_bps": plan.fee_bps,
            "order": order,
            "attempts": self.attempts,
            "outcome": self.outcome,
        });
        sorted(record).to_string().into_bytes()
    }
}

/// One model's candidates with their scores, and who was left out.
fn shown(route: &Route, ranked: &Record) -> Value {
    let candidates: Vec<Value> = route
        .candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| {
            let offer = &candidate.offer;
            json!({
                "offer": offer.address.to_string(),
                "provider": offer.provider.to_string(),
                "name": offer.provider_name,
                "version": offer.version,
                "max_output": candidate.max_output,
                "ceiling_pico": candidate.ceiling.0.to_string(),
                "measured": ranked.measured.get(index),
                "score": ranked.ranking.scores.get(index),
            })
        })
        .collect();
    let excluded: Vec<Value> = route
        .excluded
        .iter()
        .map(|exclusion| {
            json!({
                "offer": exclusion.offer.address.to_string(),
                "name": exclusion.offer.provider_name,
                "reason": exclusion.reason,
            })
        })
        .collect();
    json!({
        "model": route.model,
        "ask": ranked.ask,
        "coefficients": ranked.coefficients,
        "candidates": candidates,
        "excluded": excluded,
        "draws": ranked.draws,
        "ranking": ranked.ranking.order,
    })
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_at_every_level() {
        let value = json!({"b": [{"z": 1, "a": {"y": 0, "x": 0}}], "a": null});
        assert_eq!(sorted(value).to_string(), r#"{"a":null,"b":[{"a":{"x":0,"y":0},"z":1}]}"#);
    }
}
