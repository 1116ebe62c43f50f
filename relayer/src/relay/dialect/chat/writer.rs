//! What the relayer writes to a client of chat completions.

use crate::relay::base64;
use crate::relay::dialect::{Billed, Whole, Writer};
use crate::relay::error::{Class, RelayError};
use crate::relay::json::Object;
use crate::relay::sse::write_data;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};

/// Writes one answer.
#[derive(Debug, Default)]
pub(super) struct ChatWriter {
    /// `id`, `created` and `model` of the first chunk, as JSON members, each with a comma after it.
    envelope: Option<String>,
}

impl ChatWriter {
    /// A chunk of the relayer's own in the name of the answer; `members` are the JSON of its `choices` and more.
    fn own_chunk(&self, members: &str, out: &mut BytesMut) {
        let envelope = self.envelope.as_deref().unwrap_or_default();
        let chunk = format!(r#"{{{envelope}"object":"chat.completion.chunk",{members}}}"#);
        write_data(out, chunk.as_bytes());
    }
}

impl Writer for ChatWriter {
    fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        if self.envelope.is_none() {
            self.envelope = Some(envelope(data));
        }
        write_data(out, data);
    }

    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut) {
        self.own_chunk(&format!(r#""choices":[],"usage":{}"#, usage(stated, billed)), out);
    }

    fn cut(&self, choices: u32, out: &mut BytesMut) {
        let ended = |index| format!(r#"{{"index":{index},"delta":{{}},"finish_reason":"error"}}"#);
        let choices: Vec<String> = (0..choices).map(ended).collect();
        self.own_chunk(&format!(r#""choices":[{}]"#, choices.join(",")), out);
    }

    fn error(&self, error: &RelayError, out: &mut BytesMut) {
        write_data(out, self::error(error).to_string().as_bytes());
    }

    fn end(&self, out: &mut BytesMut) {
        write_data(out, b"[DONE]");
    }

    fn whole(&self, answer: &Whole, stated: Option<&str>, billed: &Billed) -> Bytes {
        let usage = usage(stated, billed);
        let body = &answer.body[..];
        // An answer is an object with members: the last brace ends it.
        let end = body.iter().rposition(|&byte| byte == b'}').unwrap_or(body.len());
        let (before, label, after) = match &answer.usage {
            Some(place) => (&body[..place.start], "", &body[place.end..]),
            None => (&body[..end], ",\"usage\":", &body[end..]),
        };
        [before, label.as_bytes(), usage.as_bytes(), after].concat().into()
    }
}

fn envelope(data: &[u8]) -> String {
    let Some(object) = std::str::from_utf8(data).ok().and_then(|json| Object::read(json).ok()) else {
        return String::new();
    };
    let members =
        ["id", "created", "model"].iter().filter_map(|name| Some(format!("\"{name}\":{},", object.get(name)?)));
    members.collect()
}

/// `usage` as the client sees it: the provider's details, the counts that were billed, and their cost in USD.
pub(super) fn usage(stated: Option<&str>, billed: &Billed) -> String {
    let mut shown = match stated.and_then(|usage| serde_json::from_str(usage).ok()) {
        Some(Value::Object(usage)) => usage,
        _ => Map::new(),
    };
    let (short, long) = (u64::from(billed.cache_write), u64::from(billed.cache_write_long));
    let prompt = u64::from(billed.input) + u64::from(billed.cached) + short + long;
    let output = u64::from(billed.output);
    shown.insert("prompt_tokens".into(), prompt.into());
    shown.insert("completion_tokens".into(), output.into());
    shown.insert("total_tokens".into(), (prompt + output).into());
    let details = shown.entry("prompt_tokens_details").or_insert_with(|| json!({}));
    if !details.is_object() {
        *details = json!({});
    }
    details["cached_tokens"] = billed.cached.into();
    // Other gateways' names of the writes are the provider's claim; the bill's stand in one place.
    for claim in ["cache_creation_tokens", "cache_creation_token_details"] {
        details.as_object_mut().map(|details| details.remove(claim));
    }
    details["cache_write_tokens"] = (short + long).into();
    for claim in ["cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"] {
        shown.remove(claim);
    }
    if short + long > 0 {
        let lifetimes = json!({ "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long });
        shown.insert("cache_creation".into(), lifetimes);
    }
    shown.remove("cost");
    let mut text = Value::Object(shown).to_string();
    // Written by hand: an amount of pico-USDC is exact in decimal and not in a float.
    text.pop();
    text.push_str(",\"cost\":");
    text.push_str(&billed.cost_usd);
    text.push('}');
    text
}

/// `{"error": {message, type, param, code}}`, and the receipt of a replay.
pub(super) fn error(error: &RelayError) -> Value {
    let mut body = json!({
        "message": error.to_string(), "type": kind(error.class()), "param": error.param(), "code": error.code(),
    });
    if let Some(receipt) = error.receipt() {
        body["receipt"] = base64(receipt).into();
    }
    json!({ "error": body })
}

/// The body of a refusal whose own words cannot be passed on.
pub(super) fn refusal(status: StatusCode) -> String {
    let message = format!("the provider refused this request with status {}", status.as_u16());
    let error = json!({
        "message": message, "type": kind(Class::Request), "param": null, "code": "provider_refused",
    });
    json!({ "error": error }).to_string()
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
