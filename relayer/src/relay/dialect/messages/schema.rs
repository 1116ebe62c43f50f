//! Messages as Anthropic's API has them: the members that the relayer reads or writes. Every other member passes through as
//! it is, or is translated.

use crate::relay::dialect::chat::ProviderControls;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A request for a message. Members that are not named here go to the provider as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessagesRequest {
    /// The model, as `GET /v1/models` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models to try in this order.
    #[schema(min_items = 1, max_items = 8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The conversation: objects with `role` and `content`.
    #[schema(min_items = 1)]
    pub messages: Vec<Value>,
    /// The system prompt: a text, or an array of blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Value>,
    /// Most tokens of the answer. Must be there, but not to count tokens.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Whether the answer comes as server-sent events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Wishes about routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderControls>,
    /// Everything else that the provider takes.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A whole answer, with the usage that is billed. The header `Steam-Receipt` has the receipt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// The blocks of the answer.
    pub content: Vec<Value>,
    /// What is billed.
    pub usage: MessageUsage,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Tokens that are billed, and their cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageUsage {
    /// Input tokens that neither came from a cache nor were written to one.
    pub input_tokens: u64,
    /// Input tokens that were written to a cache.
    pub cache_creation_input_tokens: u64,
    /// Input tokens that came from a cache.
    pub cache_read_input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Charge and fee in USD.
    pub cost: f64,
    /// Everything else that the provider sent.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A count of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenCount {
    /// Input tokens.
    pub input_tokens: u64,
}

/// The models, as Anthropic's API lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessagesModelList {
    /// The models, sorted by name.
    pub data: Vec<MessagesModel>,
    /// Always false: the list is whole.
    pub has_more: bool,
    /// The first model's name.
    pub first_id: Option<String>,
    /// The last model's name.
    pub last_id: Option<String>,
}

/// A model, as Anthropic's API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessagesModel {
    /// Always `model`.
    pub r#type: String,
    /// The model's name.
    pub id: String,
    /// The same, for people.
    pub display_name: String,
    /// Always the beginning of 1970: clients expect the field.
    pub created_at: String,
    /// Always `active`: what nobody offers any more is not listed.
    pub lifecycle: String,
    /// The longest prompt that an offer takes, in tokens.
    pub max_input_tokens: Option<u32>,
    /// The highest output limit of an offer.
    pub max_tokens: Option<u32>,
}

impl MessagesModelList {
    /// The list of these models.
    pub fn new(data: Vec<MessagesModel>) -> Self {
        let id = |model: Option<&MessagesModel>| model.map(|model| model.id.clone());
        Self { has_more: false, first_id: id(data.first()), last_id: id(data.last()), data }
    }
}

impl MessagesModel {
    /// The model of this name, with the most that an offer takes and gives.
    pub fn new(id: &str, (max_input_tokens, max_tokens): (Option<u32>, Option<u32>)) -> Self {
        Self {
            r#type: "model".into(),
            id: id.to_owned(),
            display_name: id.to_owned(),
            created_at: "1970-01-01T00:00:00Z".into(),
            lifecycle: "active".into(),
            max_input_tokens,
            max_tokens,
        }
    }
}
