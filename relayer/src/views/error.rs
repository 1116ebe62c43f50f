//! Errors, in the shape that OpenAI's clients expect.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
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
    /// For programs: one word for each kind of error.
    pub code: String,
    /// The signed receipt of the request that this one repeats, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}
