//! Errors on the wire: OpenAI's JSON, the right status, and what the log needs to know.

use crate::relay::base64;
use crate::relay::dialect;
use crate::relay::error::RelayError;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::any::Any;

/// An error's code, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

impl IntoResponse for RelayError {
    fn into_response(self) -> Response {
        let (status, _, code) = self.kind();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = ?self, "a request failed here");
        }
        let mut response =
            (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], dialect::usual().error(&self))
                .into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            // Whole seconds, rounded up: an early retry would be refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(receipt) = self.receipt()
            && let Ok(value) = HeaderValue::try_from(base64(receipt))
        {
            headers.insert("steam-receipt", value);
        }
        response.extensions_mut().insert(Code(code));
        response
    }
}

/// The answer to a request whose handler panicked. The panic is in the log already.
pub fn panicked(_: Box<dyn Any + Send>) -> Response {
    RelayError::Internal("a handler panicked").into_response()
}

/// A method as an error message shows it.
pub fn shown(method: &Method) -> String {
    crate::relay::json::shorten(method.as_str())
}
