//! What a provider of chat completions sends: chunks of a stream, or a whole answer.

use super::calls::Calls;
use crate::relay::dialect::openai::{self, Chunk, Kind, finish_reason};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Whole};
use crate::relay::json::Text;
use crate::relay::sse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reads an answer.
#[derive(Debug, Default)]
pub(super) struct ChatReader {
    /// Whether the answer's head was read.
    begun: bool,
    calls: Calls,
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
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
    #[serde(borrow, default)]
    custom: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "input")]
    arguments: Option<&'a RawValue>,
}

impl openai::Choice for Choice<'_> {
    fn finish_reason(&self) -> Option<&Text<'_>> {
        self.finish_reason.as_ref()
    }

    fn is_whole(&self) -> bool {
        self.message.is_some()
    }
}

impl Reader for ChatReader {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        let Some(chunk) = Chunk::<Choice<'_>>::of(event)? else { return Ok(Piece::End(Vec::new())) };
        if !std::mem::replace(&mut self.begun, true) {
            begin(&chunk, say)?;
        }
        let calls = &mut self.calls;
        let mut numbered = |event: Event<'_>| match event {
            Event::Call { choice, call, id, name, arguments } => {
                say(Event::Call { choice, call: calls.number((choice, call), id, name), id, name, arguments })
            }
            other => say(other),
        };
        for (place, choice) in chunk.choices().iter().enumerate() {
            choice.say(place, &mut numbered)?;
        }
        chunk.say_usage(Kind::Chat, say)?;
        chunk.passed_on(event)
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let answer = Chunk::<Choice<'_>>::of_whole(&body)?;
        begin(&answer, say)?;
        answer.say_usage(Kind::Chat, say)?;
        for (place, choice) in answer.choices().iter().enumerate() {
            choice.say(place, say)?;
        }
        let usage = answer.usage_place();
        Ok(Whole { body, usage })
    }
}

/// Hands on the answer's head.
fn begin(chunk: &Chunk<'_, Choice<'_>>, say: &mut Say<'_>) -> Result<(), Fault> {
    let (id, model) = (chunk.id.map(text).unwrap_or_default(), chunk.model.map(text).unwrap_or_default());
    say(Event::Begin { id: &id, model: &model })
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
            Some(Text(reason)) => say(Event::Finish { choice, reason: finish_reason(reason), stop: None }),
            None => Ok(()),
        }
    }
}

impl Said<'_> {
    fn say(&self, choice: u32, say: &mut Say<'_>) -> Result<(), Fault> {
        // Thoughts come before what they lead to. Some providers send the same text under both names.
        if let Some(value) = self.reasoning_content.or(self.reasoning) {
            say(Event::Reasoning { choice, text: &text(value) })?;
        }
        if let Some(value) = self.content {
            say(Event::Text { choice, text: &text(value) })?;
        }
        if let Some(value) = self.refusal {
            say(Event::Refusal { choice, text: &text(value) })?;
        }
        if let Some(value) = self.audio {
            say(Event::Other { choice, text: &text(value) })?;
        }
        for (place, call) in self.tool_calls.iter().flatten().enumerate() {
            let number = call.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
            let function = call.function.as_ref().or(call.custom.as_ref());
            say_call(choice, number, call.id, function, say)?;
        }
        match &self.function_call {
            Some(function) => say_call(choice, 0, None, Some(function), say),
            None => Ok(()),
        }
    }
}

/// Hands on a part of a call.
fn say_call(
    choice: u32,
    call: u32,
    id: Option<&RawValue>,
    function: Option<&Function<'_>>,
    say: &mut Say<'_>,
) -> Result<(), Fault> {
    let shown =
        |value: Option<&RawValue>| value.filter(|value| value.get() != "null").map(|value| text(value).into_owned());
    let id = shown(id).unwrap_or_default();
    let name = function.and_then(|function| shown(function.name)).unwrap_or_default();
    let arguments = function.and_then(|function| shown(function.arguments)).unwrap_or_default();
    say(Event::Call { choice, call, id: &id, name: &name, arguments: &arguments })
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
