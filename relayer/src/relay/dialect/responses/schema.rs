//! Responses as OpenAI's API has them: the members that the relayer reads or writes. Every other member passes through as it
//! is, or is translated.

use crate::relay::dialect::chat::ProviderControls;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A request for a response. Members that are not named here go to the provider as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResponsesRequest {
    /// The model, as `GET /v1/models` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models to try in this order.
    #[schema(min_items = 1, max_items = 8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// A text, or the whole history as an array of items.
    pub input: Value,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Most tokens of the answer.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Whether the answer comes as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Must not be true: no answers are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// Wishes about routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderControls>,
    /// Everything else that the provider takes.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A whole answer, with the usage that is billed. The header `Steam-Receipt` has the receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelResponse {
    /// The items of the answer.
    pub output: Vec<Value>,
    /// What is billed.
    pub usage: ResponseUsage,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Tokens that are billed, and their cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResponseUsage {
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Charge and fee in USD.
    pub cost: f64,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The count of a request's input tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResponseTokenCount {
    /// Always `response.input_tokens`.
    pub object: String,
    /// The relayer's own count.
    pub input_tokens: u64,
}
