//! What the proxy's clients are told where there is no answer, and which headers they see.

use super::guard::Refused;
use crate::cli::error::CliError;
use crate::cli::explain::explain;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    TRANSFER_ENCODING, VARY,
};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use steam_client::{ApiError, ClientError, StateError};

/// Tells SDKs not to send the request again: it may have been served and paid.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Headers that are of one connection, or of the relayer's own rules for web pages.
const OF_CONNECTION: [HeaderName; 6] = [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, VARY];

/// The headers of an answer that are the client's to see.
pub fn handed_on(headers: &HeaderMap) -> HeaderMap {
    let mut handed_on = headers.clone();
    OF_CONNECTION.iter().for_each(|name| drop(handed_on.remove(name)));
    let of_pages: Vec<HeaderName> =
        handed_on.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    of_pages.iter().for_each(|name| drop(handed_on.remove(name)));
    handed_on
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure(Box<Response>);

impl Failure {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        };
        // The shapes of OpenAI's and Anthropic's errors in one.
        let error = json!({ "type": kind, "message": message, "code": code, "param": null });
        let body = json!({ "type": "error", "error": error }).to_string();
        let header = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Self(Box::new((status, header, body).into_response()))
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }

    pub fn no_route() -> Self {
        let message = "the proxy serves the relayer's models, completions and account; see `steam proxy --help`";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn upgrade() -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "method_not_allowed", "the proxy speaks no WebSocket: post the request")
    }

    pub fn query() -> Self {
        let message = "a query is not signed: say it in the body";
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", message)
    }

    pub fn body() -> Self {
        let message = "the request's body is too large, or broke off";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    pub fn busy() -> Self {
        let message = "too many requests wait for others to end: ask again later, or start the proxy with a higher --max-unresolved";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).with(RETRY_AFTER, "1")
    }

    /// The task that carried the request is gone.
    pub fn ended() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the proxy failed").with(SHOULD_RETRY, "false")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Refused> for Failure {
    fn from(Refused { status, code, message }: Refused) -> Self {
        Self::new(status, code, message)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        ClientError::from(error).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let explained: CliError = explain(&error);
        let (status, again) = match error {
            // In the relayer's own words, which are in the client's dialect.
            ClientError::Api(ApiError::Refused(refusal)) => {
                let mut response = HttpResponse::new(Body::from(refusal.body));
                *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
                *response.headers_mut() = handed_on(&refusal.headers);
                return Self(Box::new(response));
            }
            ClientError::Api(ApiError::Connect { .. }) => (StatusCode::BAD_GATEWAY, true),
            ClientError::State(StateError::Unresolved { .. } | StateError::UnknownSpending { .. }) => {
                (StatusCode::PAYMENT_REQUIRED, false)
            }
            ClientError::State(_) => (StatusCode::INTERNAL_SERVER_ERROR, false),
            // It may have been served, and be charged.
            ClientError::Api(_)
            | ClientError::NoReceipt
            | ClientError::AnswerLost { .. }
            | ClientError::Left
            | ClientError::Receipt(_)
            | ClientError::Mismatch(_)
            | ClientError::ReceiptKey(_)
            | ClientError::AboveCeiling(_) => (StatusCode::BAD_GATEWAY, false),
        };
        let failure = Self::new(status, explained.code(), explained.message());
        if again { failure } else { failure.with(SHOULD_RETRY, "false") }
    }
}
