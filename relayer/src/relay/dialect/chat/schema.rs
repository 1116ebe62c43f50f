//! Chat completions as OpenAI's API has them: the members that the relayer reads or writes. Every other member passes
//! through as it is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A chat request. Members that are not named here go to the provider as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletionRequest {
    /// The model, as `GET /v1/models` names it. The suffix `:floor` asks for the lowest price, `:nitro` for the highest speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models to try in this order.
    #[schema(min_items = 1, max_items = 8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The conversation.
    #[schema(min_items = 1)]
    pub messages: Vec<ChatMessage>,
    /// Whether the answer comes as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Most tokens of each answer. `max_tokens` means the same.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Answers wanted, at most 16.
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

/// A message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// Who says it: `system`, `developer`, `user`, `assistant` or `tool`.
    #[schema(pattern = "^(system|developer|user|assistant|tool|function)$")]
    pub role: String,
    /// Text, or parts of text and images.
    #[serde(default)]
    pub content: Value,
    /// Everything else that the provider takes.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Wishes about routing, in the body or as headers `Steam-…`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProviderControls {
    /// Providers to try first, in this order; by name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<String>>,
    /// The only providers to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Providers not to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<String>>,
    /// Whether another provider may serve if the first choice fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_fallbacks: Option<bool>,
    /// `price`, `throughput` or `latency`.
    #[schema(pattern = "^(price|throughput|latency)$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// The highest prices to pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<MaxPrice>,
    /// Tokens a second; slower offers come last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_min_throughput: Option<f64>,
    /// Seconds to the first token; slower offers come last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_max_latency: Option<f64>,
    /// Whether an offer must take every parameter of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_parameters: Option<bool>,
    /// `deny`: only offers that promise to train on neither prompts nor answers; `allow` asks for nothing.
    #[schema(pattern = "^(allow|deny)$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection: Option<String>,
    /// Whether an offer must promise to keep neither prompts nor answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zdr: Option<bool>,
    /// Only offers that state one of these: `unknown`, `int4`, `int8`, `fp4`, `fp6`, `fp8`, `fp16`, `bf16`, `fp32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantizations: Option<Vec<String>>,
    /// Milliseconds after which a second provider is asked as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
}

/// The highest prices to pay: USD per million tokens, and USD per request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MaxPrice {
    /// Prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<f64>,
    /// Answer tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<f64>,
    /// Each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<f64>,
}

/// A whole answer: the provider's JSON with the usage that is billed. The header `Steam-Receipt` has the receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletion {
    /// The answers.
    pub choices: Vec<Value>,
    /// What is billed.
    pub usage: ChatUsage,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Tokens that are billed, and their cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatUsage {
    /// Prompt tokens, those read from and written to a cache included.
    pub prompt_tokens: u64,
    /// Answer tokens.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Charge and fee in USD.
    pub cost: f64,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}
