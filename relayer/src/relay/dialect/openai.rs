//! What OpenAI's dialects have in common: chunks, usage, finish reasons and errors.

mod chunk;
mod error;
mod functions;

pub(super) use chunk::{Choice, Chunk};
pub use error::{ErrorBody, ErrorDetail};
pub(super) use functions::{schema, tool, tool_choice};

use crate::relay::dialect::{Billed, Usage, Whole, Writer};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use crate::relay::sse::write_data;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};
use steam_protocol::receipt::FinishReason;

/// The data of the event after the last chunk.
pub(super) const DONE: &[u8] = b"[DONE]";

/// The kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Chat completions.
    Chat,
    /// Text completions.
    Text,
    /// Embeddings, which are never streamed.
    Vectors,
}

impl Kind {
    /// The member `object` of a chunk.
    fn object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Text => "text_completion",
            Self::Vectors => "list",
        }
    }

    /// The members of a choice that says nothing.
    fn nothing(self) -> &'static str {
        match self {
            Self::Chat => r#""delta":{}"#,
            Self::Text | Self::Vectors => r#""text":"","logprobs":null"#,
        }
    }
}

/// Writes one answer.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    kind: Kind,
    /// `id`, `created` and `model` of the first chunk, as JSON members, each with a comma after it.
    envelope: Option<String>,
}

impl ChunkWriter {
    /// A writer of an answer of this kind.
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, envelope: None }
    }

    /// A chunk of the relayer's own in the name of the answer; `members` are the JSON of its `choices` and more.
    fn own_chunk(&self, members: &str, out: &mut BytesMut) {
        let (envelope, object) = (self.envelope.as_deref().unwrap_or_default(), self.kind.object());
        let chunk = format!(r#"{{{envelope}"object":"{object}",{members}}}"#);
        write_data(out, chunk.as_bytes());
    }
}

impl Writer for ChunkWriter {
    fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        if self.envelope.is_none() {
            self.envelope = Some(envelope(data));
        }
        write_data(out, data);
    }

    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut) {
        self.own_chunk(&format!(r#""choices":[],"usage":{}"#, shown_usage(self.kind, stated, billed)), out);
    }

    fn cut(&self, choices: u32, out: &mut BytesMut) {
        let nothing = self.kind.nothing();
        let ended = |index| format!(r#"{{"index":{index},{nothing},"finish_reason":"error"}}"#);
        let choices: Vec<String> = (0..choices).map(ended).collect();
        self.own_chunk(&format!(r#""choices":[{}]"#, choices.join(",")), out);
    }

    fn error(&self, error: &RelayError, out: &mut BytesMut) {
        write_data(out, self::error(error).as_bytes());
    }

    fn end(&self, out: &mut BytesMut) {
        write_data(out, DONE);
    }

    fn whole(&self, answer: &Whole, stated: Option<&str>, billed: &Billed) -> Bytes {
        answer.with_usage(&shown_usage(self.kind, stated, billed))
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
pub(super) fn shown_usage(kind: Kind, stated: Option<&str>, billed: &Billed) -> String {
    let mut shown: Map<String, Value> = stated.and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
    let prompt = billed.prompt();
    let output = u64::from(billed.output);
    shown.insert("prompt_tokens".into(), prompt.into());
    shown.insert("total_tokens".into(), (prompt + output).into());
    if kind != Kind::Vectors {
        shown.insert("completion_tokens".into(), output.into());
        let details = shown.entry("prompt_tokens_details").or_insert_with(|| json!({}));
        if !details.is_object() {
            *details = json!({});
        }
        details["cached_tokens"] = billed.cached.into();
        show_writes(&mut shown, billed);
    }
    billed.with_cost(shown)
}

/// Other gateways' names of cache writes are the provider's claim; what is billed stands in one place for each count.
fn show_writes(shown: &mut Map<String, Value>, billed: &Billed) {
    for claim in ["cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"] {
        shown.remove(claim);
    }
    if let Some(Value::Object(details)) = shown.get_mut("prompt_tokens_details") {
        for claim in ["cache_creation_tokens", "cache_creation_token_details"] {
            details.remove(claim);
        }
        details.insert("cache_write_tokens".into(), billed.written().into());
    }
    if billed.written() > 0 {
        shown.insert("cache_creation".into(), billed.lifetimes());
    }
}

/// Reads a `usage` object. `None` if it lacks a count, or one is no count; embeddings have no count of output.
///
/// Beyond OpenAI's own members it reads what `OpenRouter`, `LiteLLM` and others add for providers that bill cache writes:
/// `prompt_tokens` includes the tokens read from and written to a cache.
pub(super) fn usage(kind: Kind, stated: &str) -> Option<Usage> {
    let usage: Value = serde_json::from_str(stated).ok()?;
    let count = |places: &[&str]| {
        places.iter().find_map(|place| usage.pointer(place).and_then(Value::as_u64)).unwrap_or_default()
    };
    let long = count(&[
        "/cache_creation/ephemeral_1h_input_tokens",
        "/prompt_tokens_details/cache_creation_token_details/ephemeral_1h_input_tokens",
    ]);
    let short = count(&[
        "/cache_creation/ephemeral_5m_input_tokens",
        "/prompt_tokens_details/cache_creation_token_details/ephemeral_5m_input_tokens",
    ]);
    let written = count(&[
        "/prompt_tokens_details/cache_write_tokens",
        "/prompt_tokens_details/cache_creation_tokens",
        "/cache_creation_input_tokens",
    ]);
    Some(Usage {
        prompt: usage.get("prompt_tokens")?.as_u64()?,
        cached: count(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cache_read_input_tokens",
        ]),
        // What is of no stated lifetime is of the shorter one, which is the default and the cheaper.
        cache_write: short.max(written.saturating_sub(long)),
        cache_write_long: long,
        completion: match kind {
            Kind::Vectors => 0,
            Kind::Chat | Kind::Text => usage.get("completion_tokens")?.as_u64()?,
        },
        reasoning: count(&["/completion_tokens_details/reasoning_tokens"]),
    })
}

/// The status in an error object: providers put it under `code` or `status`.
pub(super) fn reported_status(error: &str) -> Option<u16> {
    let error: Value = serde_json::from_str(error).ok()?;
    let status = ["code", "status"].iter().find_map(|name| {
        let value = error.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    })?;
    u16::try_from(status).ok().filter(|status| (400..600).contains(status))
}

/// Why an answer ended.
pub(super) fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" | "eos" | "stop_sequence" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        "error" => FinishReason::Error,
        _ => FinishReason::Other,
    }
}

/// The body of an error, with the receipt of a replay.
pub(super) fn error(error: &RelayError) -> String {
    ErrorBody::of(error).json()
}

/// What a refusal says: the provider's words, where there are any.
pub(super) fn refused(status: StatusCode, stated: Option<&str>) -> String {
    let own = || format!("the provider refused this request with status {}", status.as_u16());
    stated.map_or_else(own, ToOwned::to_owned)
}

/// The body of a refusal whose own words cannot be passed on.
pub(super) fn refusal(status: StatusCode, stated: Option<&str>) -> String {
    ErrorBody::of_refusal(refused(status, stated)).json()
}
