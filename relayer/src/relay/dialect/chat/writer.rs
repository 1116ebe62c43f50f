//! What the relayer writes to a client of chat completions.

use super::error::ErrorBody;
use crate::relay::dialect::{Billed, Whole, Writer};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use crate::relay::sse::write_data;
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
        write_data(out, ErrorBody::of(error).json().as_bytes());
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
    let prompt = u64::from(billed.input) + u64::from(billed.cached);
    let output = u64::from(billed.output);
    shown.insert("prompt_tokens".into(), prompt.into());
    shown.insert("completion_tokens".into(), output.into());
    shown.insert("total_tokens".into(), (prompt + output).into());
    let details = shown.entry("prompt_tokens_details").or_insert_with(|| json!({}));
    if !details.is_object() {
        *details = json!({});
    }
    details["cached_tokens"] = billed.cached.into();
    shown.remove("cost");
    let mut text = Value::Object(shown).to_string();
    // Written by hand: an amount of pico-USDC is exact in decimal and not in a float.
    text.pop();
    text.push_str(",\"cost\":");
    text.push_str(&billed.cost_usd);
    text.push('}');
    text
}
