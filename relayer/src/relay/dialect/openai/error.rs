//! Errors, in the shape that OpenAI's clients expect.

use crate::relay::base64;
use crate::relay::error::{Class, RelayError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
    /// The error's message once more, where wallets of Solana Pay look for it: on their routes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What went wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For people: what is wrong, and what would be right.
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `insufficient_quota`, `rate_limit_error`, `server_error` or
    /// `upstream_error`.
    pub r#type: String,
    /// The field or header that is wrong.
    pub param: Option<String>,
    /// For programs: one word for each kind of error. Where a provider refused the request, whatever it says.
    #[schema(value_type = serde_json::Value)]
    pub code: String,
    /// The signed receipt of the request that this one repeats, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

impl ErrorBody {
    /// An error of the relayer's, with the receipt if it refuses a replay.
    pub(crate) fn of(error: &RelayError) -> Self {
        Self {
            error: ErrorDetail {
                message: error.to_string(),
                r#type: kind(error.class()).into(),
                param: error.param().map(Into::into),
                code: error.code().into(),
                receipt: error.receipt().map(base64),
            },
            message: None,
        }
    }

    /// The body of an error that a wallet of Solana Pay shows.
    pub(crate) fn for_wallet(error: &RelayError) -> String {
        Self { message: Some(error.to_string()), ..Self::of(error) }.json()
    }

    /// A refusal by a provider, with its own code if it has one.
    pub(super) fn of_refusal(message: String, code: Option<&str>) -> Self {
        Self {
            error: ErrorDetail {
                message,
                r#type: kind(Class::Request).into(),
                param: None,
                code: code.unwrap_or("provider_refused").into(),
                receipt: None,
            },
            message: None,
        }
    }

    /// Its bytes in an answer.
    pub(super) fn json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

fn kind(class: Class) -> &'static str {
    match class {
        Class::Request => "invalid_request_error",
        Class::Authentication => "authentication_error",
        Class::Funds => "insufficient_quota",
        Class::Rate => "rate_limit_error",
        Class::Relayer => "server_error",
        Class::Provider => "upstream_error",
    }
}
