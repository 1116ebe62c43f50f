//! What the relayer writes to a client of messages.

use crate::relay::base64;
use crate::relay::dialect::openai::refused;
use crate::relay::dialect::{Billed, Whole, Writer, event};
use crate::relay::error::{Class, RelayError};
use crate::relay::json::Object;
use crate::relay::sse::write_event;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};

/// Writes one answer.
#[derive(Debug, Default)]
pub(super) struct MessageWriter {
    /// The event that has the usage: it is written once that is billed.
    last: Option<String>,
}

impl Writer for MessageWriter {
    fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        let json = std::str::from_utf8(data).unwrap_or_default();
        match &*event::kind(json) {
            "message_delta" => self.keep(json),
            kind => write_event(kind, data, out),
        }
    }

    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut) {
        let usual = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null}}"#;
        let last = self.last.as_deref().unwrap_or(usual);
        if let Ok(object) = Object::read(last) {
            write_event("message_delta", object.edited(&[("usage", Some(usage(stated, billed)))]).as_bytes(), out);
        }
    }

    /// The error that follows says it.
    fn cut(&self, _: u32, _: &mut BytesMut) {}

    fn error(&self, error: &RelayError, out: &mut BytesMut) {
        write_event("error", self::error(error).to_string().as_bytes(), out);
    }

    fn end(&self, out: &mut BytesMut) {
        write_event("message_stop", br#"{"type":"message_stop"}"#, out);
    }

    fn whole(&self, answer: &Whole, stated: Option<&str>, billed: &Billed) -> Bytes {
        answer.with_usage(&usage(stated, billed))
    }
}

impl MessageWriter {
    /// Keeps the last event that says why the answer ended.
    fn keep(&mut self, json: &str) {
        let ends = |json: &str| {
            let object = Object::read(json).ok()?;
            let delta = Object::read(object.get("delta")?).ok()?;
            delta.get("stop_reason").map(|_| ())
        };
        if self.last.is_none() || ends(json).is_some() {
            self.last = Some(json.to_owned());
        }
    }
}

/// `usage` as the client sees it: the provider's details, the counts that were billed, and their cost in USD.
pub(super) fn usage(stated: Option<&str>, billed: &Billed) -> String {
    let mut shown: Map<String, Value> = stated.and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
    shown.insert("input_tokens".into(), billed.input.into());
    shown.insert("cache_creation_input_tokens".into(), billed.written().into());
    if billed.written() > 0 || shown.contains_key("cache_creation") {
        shown.insert("cache_creation".into(), billed.lifetimes());
    }
    shown.insert("cache_read_input_tokens".into(), billed.cached.into());
    shown.insert("output_tokens".into(), billed.output.into());
    billed.with_cost(shown)
}

/// `{"type": "error", "error": {type, message}}`, with the relayer's code and field beside them.
pub(super) fn error(error: &RelayError) -> Value {
    let mut body = json!({
        "type": kind(error), "message": error.to_string(), "code": error.code(), "param": error.param(),
    });
    if let Some(receipt) = error.receipt() {
        body["receipt"] = base64(receipt).into();
    }
    json!({ "type": "error", "error": body })
}

/// The body of a refusal whose own words cannot be passed on, or are of another dialect.
pub(super) fn refusal(status: StatusCode, stated: Option<&str>) -> String {
    let kind = match status {
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        _ => "invalid_request_error",
    };
    let error = json!({ "type": kind, "message": refused(status, stated), "code": "provider_refused", "param": null });
    json!({ "type": "error", "error": error }).to_string()
}

fn kind(error: &RelayError) -> &'static str {
    match error {
        RelayError::UnknownModel(_) | RelayError::NotFound(_) | RelayError::NoRoute => "not_found_error",
        RelayError::TooLarge { .. } => "request_too_large",
        RelayError::AllowListUnknown { .. } | RelayError::NotAllowed { .. } => "permission_error",
        RelayError::UpstreamTimeout { .. } => "timeout_error",
        RelayError::UpstreamBusy { .. } | RelayError::Cooldown { .. } => "overloaded_error",
        _ => match error.class() {
            Class::Request => "invalid_request_error",
            Class::Authentication => "authentication_error",
            Class::Funds => "billing_error",
            Class::Rate => "rate_limit_error",
            Class::Relayer | Class::Provider => "api_error",
        },
    }
}
