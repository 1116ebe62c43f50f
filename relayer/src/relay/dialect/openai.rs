//! What OpenAI's dialects have in common: chunks, usage, finish reasons and errors.

mod chunk;
mod citations;
mod ends;
mod error;
mod functions;

pub(super) use chunk::{Choice, Chunk, Read};
pub(super) use citations::Citations;
pub(super) use ends::Ends;
pub use error::{ErrorBody, ErrorDetail};
pub(super) use functions::{chosen, described, schema, shaped, tool, tool_choice};

use crate::relay::dialect::{Billed, Stated, Usage, Whole, Writer};
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
    /// [`ENVELOPE`] of the chunks so far, as JSON members, each with a comma after it.
    envelope: String,
    /// Whether one has an id.
    named: bool,
    /// The provider's chunk that has the usage and nothing else.
    last: Option<Bytes>,
}

/// The members that say which answer a chunk is of.
const ENVELOPE: [&str; 5] = ["id", "created", "model", "system_fingerprint", "service_tier"];

impl ChunkWriter {
    /// A writer of an answer of this kind.
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, envelope: String::new(), named: false, last: None }
    }

    /// A chunk of the relayer's own in the name of the answer; `members` are the JSON of its `choices` and more.
    fn own_chunk(&self, members: &str, out: &mut BytesMut) {
        let (envelope, object) = (&self.envelope, self.kind.object());
        let chunk = format!(r#"{{{envelope}"object":"{object}",{members}}}"#);
        write_data(out, chunk.as_bytes());
    }
}

impl Writer for ChunkWriter {
    fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        // The first chunk may have no id yet.
        if !self.named {
            self.envelope = envelope(data);
            self.named = self.envelope.starts_with("\"id\"");
        }
        write_data(out, data);
    }

    fn keep(&mut self, data: &Bytes) {
        self.last = Some(data.clone());
    }

    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut) {
        let last = self.last.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        if let Some(chunk) = last.and_then(|json| Object::read(json).ok()) {
            let usage = shown_usage(self.kind, stated, billed);
            return write_data(out, chunk.edited(&[("usage", Some(usage))]).as_bytes());
        }
        self.own_chunk(&format!(r#""choices":[],"usage":{}"#, shown_usage(self.kind, stated, billed)), out);
    }

    fn cut(&self, choices: &[u32], out: &mut BytesMut) {
        if choices.is_empty() {
            return;
        }
        let nothing = self.kind.nothing();
        let ended = |index| format!(r#"{{"index":{index},{nothing},"finish_reason":"error"}}"#);
        let choices: Vec<String> = choices.iter().map(ended).collect();
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
    let members = ENVELOPE.iter().filter_map(|name| Some(format!("\"{name}\":{},", object.get(name)?)));
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
        cut_reasoning(&mut shown, output);
    }
    billed.with_cost(shown)
}

/// Reasoning is a part of the output: what was cut from it is cut from the reasoning that is shown.
fn cut_reasoning(shown: &mut Map<String, Value>, output: u64) {
    let details = shown.get_mut("completion_tokens_details").and_then(Value::as_object_mut);
    let Some(reasoning) = details.and_then(|details| details.get_mut("reasoning_tokens")) else { return };
    if reasoning.as_u64().is_some_and(|tokens| tokens > output) {
        *reasoning = output.into();
    }
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
    let at = |path: &str| path.split('.').try_fold(&usage, |value, name| value.get(name)).and_then(count);
    // The same figure has several names; a provider that leaves one of them at zero states it under another.
    let most = |paths: &[&str]| paths.iter().filter_map(|path| at(path)).max().unwrap_or(0);
    let cached = most(&[
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "prompt_cache_hit_tokens",
        "cache_read_input_tokens",
        "cached_tokens",
    ]);
    let (cache_write, cache_write_long) = writes(&most);
    let reasoning = most(&[
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "reasoning_tokens",
    ]);
    let total = at("total_tokens");
    let prompt = at("prompt_tokens").or_else(|| at("input_tokens"))?;
    let input = Usage { prompt, cached, cache_write, cache_write_long, completion: 0, reasoning: 0 };
    if kind == Kind::Vectors {
        return Some(input);
    }
    let stated = at("completion_tokens").or_else(|| at("output_tokens"));
    let mut completion = stated.or_else(|| total?.checked_sub(prompt))?;
    // Some count reasoning beside the completion: then only all three make up the total.
    let with_reasoning = completion.checked_add(reasoning)?;
    if total.is_some_and(|total| Some(total) == prompt.checked_add(with_reasoning)) {
        completion = with_reasoning;
    }
    Some(Usage { completion, reasoning, ..input })
}

/// Tokens written to a cache: for the shorter lifetime, and for the longer. `most` finds the largest of some members.
fn writes(most: &impl Fn(&[&str]) -> u64) -> (u64, u64) {
    let long = most(&[
        "cache_creation.ephemeral_1h_input_tokens",
        "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
    ]);
    let short = most(&[
        "cache_creation.ephemeral_5m_input_tokens",
        "prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens",
    ]);
    let written = most(&[
        "prompt_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_tokens",
        "cache_creation_input_tokens",
    ]);
    // What is of no stated lifetime is of the shorter one, which is the default and the cheaper.
    (short.max(written.saturating_sub(long)), long)
}

/// A count: a whole number, however it is written.
pub(super) fn count(value: &Value) -> Option<u64> {
    let whole = |number: f64| ((0.0..1e15).contains(&number) && number.fract() == 0.0).then_some(number as u64);
    value.as_u64().or_else(|| whole(value.as_f64()?))
}

/// Why an answer ended. `None` for what is no reason.
pub(super) fn finish_reason(reason: &str) -> Option<FinishReason> {
    Some(match reason {
        "stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn" | "STOP" => FinishReason::Stop,
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => FinishReason::Length,
        "tool_calls" | "function_call" | "tool_use" => FinishReason::ToolCalls,
        "content_filter" | "SAFETY" => FinishReason::ContentFilter,
        _ => return None,
    })
}

/// The body of an error, with the receipt of a replay.
pub(super) fn error(error: &RelayError) -> String {
    ErrorBody::of(error).json()
}

/// What a refusal says: the provider's words, where there are any.
pub(super) fn refused(status: StatusCode, stated: &Stated) -> String {
    let own = || format!("the provider refused this request with status {}", status.as_u16());
    stated.message.clone().unwrap_or_else(own)
}

/// The body of a refusal that cannot be passed on as it came.
pub(super) fn refusal(status: StatusCode, stated: &Stated) -> String {
    ErrorBody::of_refusal(refused(status, stated), stated.code.as_deref()).json()
}
