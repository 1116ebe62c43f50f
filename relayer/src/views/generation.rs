//! An answer in figures, and the decision that chose its provider.

use super::FinishReasonView;
use crate::relay::decision::{OPENED, Record};
use crate::score::CandidateScore;
use serde::{Deserialize, Serialize};
use steam_protocol::receipt::{FinishReason, Receipt};
use utoipa::ToSchema;

/// Pico-USDC in one USD.
pub const PICO_PER_USD: f64 = 1e12;

/// An answer: its figures, the decision record, and the receipt that commits to both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    /// The answer's id, as the header `Steam-Generation-Id` has it.
    pub id: String,
    /// Always `generation`.
    pub object: String,
    /// The answer in figures, under OpenRouter's names.
    pub data: GenerationFigures,
    /// The decision record.
    pub decision: Record,
    /// What each candidate of each of the record's routes came to, which follows from the record.
    pub scores: Vec<Vec<CandidateScore>>,
    /// The exact bytes of the record, base64: the receipt's `routing_hash` is their SHA-256.
    pub decision_base64: String,
    /// The signed receipt, base64.
    pub receipt: String,
}

/// An answer in figures, under OpenRouter's names: times in milliseconds, amounts in USD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerationFigures {
    /// The answer's id.
    pub id: String,
    /// The model that answered.
    pub model: Option<String>,
    /// The provider's name.
    pub provider_name: Option<String>,
    /// When the request was accepted, in Unix seconds.
    pub created: i64,
    /// Charge and fee.
    pub total_cost: Option<f64>,
    /// The same as `total_cost`.
    pub usage: Option<f64>,
    /// Time to the first content.
    pub latency: u32,
    /// Time from the first content to the end.
    pub generation_time: u32,
    /// Prompt tokens, those read from and written to a cache included.
    pub tokens_prompt: u64,
    /// Answer tokens.
    pub tokens_completion: u32,
    /// Prompt tokens from the provider's cache.
    pub native_tokens_cached: u32,
    /// Why the answer ended.
    pub finish_reason: FinishReasonView,
    /// Whether the client left before the end.
    pub cancelled: bool,
}

impl GenerationFigures {
    /// The figures of the answer `id`, from its decision record and its receipt.
    pub fn new(id: String, decision: &Record, receipt: &Receipt) -> Self {
        let served = decision.attempts.iter().find(|attempt| attempt.outcome == OPENED);
        let cost = receipt.charge.checked_add(receipt.fee).map(|total| total.0 as f64 / PICO_PER_USD);
        Self {
            id,
            model: served.map(|attempt| attempt.model.clone()),
            provider_name: served.map(|attempt| attempt.name.clone()),
            created: receipt.started_at_ms.div_euclid(1_000),
            total_cost: cost,
            usage: cost,
            latency: receipt.ttft_ms,
            generation_time: receipt.duration_ms.saturating_sub(receipt.ttft_ms),
            tokens_prompt: receipt.usage.prompt(),
            tokens_completion: receipt.usage.output,
            native_tokens_cached: receipt.usage.cached,
            finish_reason: receipt.finish_reason.into(),
            cancelled: receipt.finish_reason == FinishReason::ClientGone,
        }
    }
}
