//! Text completions as OpenAI's API has them: the members that the relayer reads or writes. Every other member passes
//! through as it is.

use crate::relay::dialect::chat::{ChatUsage, ProviderControls};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A request for text completions. Members that are not named here go to the provider as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TextCompletionRequest {
    /// The model, as `GET /v1/models` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models to try in this order.
    #[schema(min_items = 1, max_items = 8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// A text, an array of texts, an array of token numbers, or an array of such arrays.
    pub prompt: Value,
    /// Whether the answer comes as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Most tokens of each answer; 16 without it.
    #[schema(value_type = Option<i64>, minimum = 0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Answers to each prompt, at most 16; 128 of all prompts together.
    #[schema(minimum = 1, maximum = 16)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Wishes about routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderControls>,
    /// Everything else that the provider takes.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A whole answer: the provider's JSON with the usage that is billed. The header `Steam-Receipt` has the receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TextCompletion {
    /// The answers.
    pub choices: Vec<Value>,
    /// What is billed.
    pub usage: ChatUsage,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}
