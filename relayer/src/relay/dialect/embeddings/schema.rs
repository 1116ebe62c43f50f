//! Embeddings as OpenAI's API has them: the members that the relayer reads or writes. Every other member passes through as
//! it is.

use crate::relay::dialect::chat::ProviderControls;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A request for embeddings. Members that are not named here go to the provider as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsRequest {
    /// The model, as `GET /v1/models` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models to try in this order.
    #[schema(min_items = 1, max_items = 8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// A text, an array of texts, an array of token numbers, or an array of such arrays; at most 2048 inputs.
    pub input: Value,
    /// `float` or `base64`.
    #[schema(pattern = "^(float|base64)$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<String>,
    /// Numbers of each vector, where the model lets them be chosen.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// Wishes about routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderControls>,
    /// Everything else that the provider takes.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The vectors, with the usage that is billed. The header `Steam-Receipt` has the receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Embeddings {
    /// One for each input.
    pub data: Vec<Value>,
    /// What is billed.
    pub usage: EmbeddingsUsage,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Tokens that are billed, and their cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsUsage {
    /// Input tokens.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
    /// Charge and fee in USD.
    pub cost: f64,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}
