//! What a provider of chat completions sends: chunks of a stream, or a whole answer.

use crate::relay::dialect::{Event, Fault, Piece, Say, Usage, Whole};
use crate::relay::json::{Object, Text, place};
use crate::relay::sse;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use steam_protocol::receipt::FinishReason;

/// The data of the event after the last chunk.
const DONE: &[u8] = b"[DONE]";

/// A chunk of a stream or a whole answer.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    /// A null is kept: its place is where the billed usage goes.
    #[serde(borrow, default, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Said<'a>>,
    #[serde(borrow, default)]
    message: Option<Said<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

/// What a model said, in a message or a part of one.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one event of a stream.
pub(super) fn event(event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
    if event.error {
        return Err(Fault::Reported { status: None });
    }
    if &event.data[..] == DONE {
        return Ok(Piece::End);
    }
    let json = std::str::from_utf8(&event.data).map_err(|_| Fault::Malformed)?;
    let chunk = read(json)?;
    let choices = chunk.choices.as_deref().unwrap_or_default();
    for (place, choice) in choices.iter().enumerate() {
        choice.say(place, say)?;
    }
    let Some(stated) = chunk.stated() else { return Ok(Piece::Data(event.data.clone())) };
    say(Event::Usage { usage: usage(stated), stated })?;
    if choices.is_empty() {
        return Ok(Piece::Own);
    }
    let object = Object::read(json).map_err(|_| Fault::Malformed)?;
    Ok(Piece::Data(object.edited(&[("usage", None)]).into()))
}

/// Reads a whole answer.
pub(super) fn whole(body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
    let json = std::str::from_utf8(&body).map_err(|_| Fault::Malformed)?;
    let answer = read(json)?;
    let choices = answer.choices.as_deref().unwrap_or_default();
    if choices.is_empty() || choices.iter().any(|choice| choice.message.is_none()) {
        return Err(Fault::Malformed);
    }
    if let Some(stated) = answer.stated() {
        say(Event::Usage { usage: usage(stated), stated })?;
    }
    for (place, choice) in choices.iter().enumerate() {
        choice.say(place, say)?;
    }
    let usage = answer.usage.map(|usage| place(json, usage.get()));
    Ok(Whole { body, usage })
}

fn read(json: &str) -> Result<Chunk<'_>, Fault> {
    let chunk: Chunk<'_> = serde_json::from_str(json).map_err(|_| Fault::Malformed)?;
    let ended_in_error =
        |choice: &Choice<'_>| choice.finish_reason.as_ref().is_some_and(|Text(reason)| reason == "error");
    match chunk.error {
        Some(error) => Err(Fault::Reported { status: reported_status(error.get()) }),
        None if chunk.choices.iter().flatten().any(ended_in_error) => Err(Fault::Reported { status: None }),
        None if chunk.choices.is_none() && chunk.stated().is_none() => Err(Fault::Malformed),
        None => Ok(chunk),
    }
}

/// The status in an error object: providers put it under `code` or `status`.
fn reported_status(error: &str) -> Option<u16> {
    let error: Value = serde_json::from_str(error).ok()?;
    let status = ["code", "status"].iter().find_map(|name| {
        let value = error.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    })?;
    u16::try_from(status).ok().filter(|status| (400..600).contains(status))
}

/// Reads a `usage` object. `None` if it lacks one of the two counts, or one is no count.
///
/// Beyond OpenAI's own members it reads what `OpenRouter`, `LiteLLM` and others add for providers that bill cache writes:
/// `prompt_tokens` includes the tokens read from and written to a cache.
pub(super) fn usage(stated: &str) -> Option<Usage> {
    let usage: Value = serde_json::from_str(stated).ok()?;
    let count = |places: &[&str]| places.iter().find_map(|place| usage.pointer(place).and_then(Value::as_u64));
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
    let long = long.unwrap_or(0);
    Some(Usage {
        prompt: usage.get("prompt_tokens")?.as_u64()?,
        cached: count(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cache_read_input_tokens",
        ])
        .unwrap_or(0),
        // The lifetimes, where they are told apart; else all is of the shorter one, which is the default and the cheaper.
        cache_write: short.or_else(|| Some(written?.saturating_sub(long))).unwrap_or(0),
        cache_write_long: long,
        completion: usage.get("completion_tokens")?.as_u64()?,
        reasoning: count(&["/completion_tokens_details/reasoning_tokens"]).unwrap_or(0),
    })
}

impl<'a> Chunk<'a> {
    /// The provider's usage, unless it is absent or null.
    fn stated(&self) -> Option<&'a str> {
        self.usage.map(RawValue::get).filter(|usage| *usage != "null")
    }
}

impl Choice<'_> {
    /// Hands on what the choice at `place` says; providers may leave its index out.
    fn say(&self, place: usize, say: &mut Say<'_>) -> Result<(), Fault> {
        let choice = self.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
        // An answer that was not asked for is refused even before it says anything.
        say(Event::Text { choice, text: "" })?;
        if let Some(said) = self.delta.as_ref().or(self.message.as_ref()) {
            said.say(choice, say)?;
        }
        match &self.finish_reason {
            Some(Text(reason)) => say(Event::Finish { choice, reason: finish_reason(reason) }),
            None => Ok(()),
        }
    }
}

impl Said<'_> {
    fn say(&self, choice: u32, say: &mut Say<'_>) -> Result<(), Fault> {
        for value in [self.content, self.refusal, self.audio].into_iter().flatten() {
            say(Event::Text { choice, text: &text(value) })?;
        }
        let calls = self.tool_calls.iter().flatten().map(|call| call.function.as_ref());
        for function in calls.chain(self.function_call.iter().map(Some)) {
            // A call is content even before it has a name.
            say(Event::Call { choice, text: "" })?;
            for value in function.into_iter().flat_map(|function| [function.name, function.arguments]).flatten() {
                say(Event::Call { choice, text: &text(value) })?;
            }
        }
        // Some providers send the same text under both names.
        match self.reasoning_content.or(self.reasoning) {
            Some(value) => say(Event::Reasoning { choice, text: &text(value) }),
            None => Ok(()),
        }
    }
}

/// A string, or whatever else stands in its place.
fn text(value: &RawValue) -> Cow<'_, str> {
    let json = value.get();
    // A string without escapes is its own text.
    if let Some(text) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !text.contains('\\')
    {
        return Cow::Borrowed(text);
    }
    match serde_json::from_str::<Text<'_>>(value.get()) {
        Ok(Text(text)) => text,
        Err(_) if matches!(value.get(), "[]" | "{}") => Cow::Borrowed(""),
        Err(_) => Cow::Borrowed(value.get()),
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" | "eos" | "stop_sequence" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        "error" => FinishReason::Error,
        _ => FinishReason::Other,
    }
}
