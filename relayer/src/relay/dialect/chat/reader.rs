//! What a provider of chat completions sends: chunks of a stream, or a whole answer.

use super::calls::Calls;
use crate::relay::dialect::openai::{DONE, Kind, finish_reason, reported_status, usage};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Whole};
use crate::relay::json::{Object, Text, place};
use crate::relay::sse;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reads an answer.
#[derive(Debug, Default)]
pub(super) struct ChatReader {
    /// Whether the answer's head was read.
    begun: bool,
    calls: Calls,
}

impl Reader for ChatReader {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        self.chunk(event, say)
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        self::whole(body, say)
    }
}

/// A chunk of a stream or a whole answer.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
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

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl ChatReader {
    /// Reads one event of a stream.
    fn chunk(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        if event.error {
            return Err(Fault::Reported { status: None });
        }
        if &event.data[..] == DONE {
            return Ok(Piece::End(Vec::new()));
        }
        let json = std::str::from_utf8(&event.data).map_err(|_| Fault::Malformed)?;
        let chunk = read(json)?;
        if !std::mem::replace(&mut self.begun, true) {
            chunk.begin(say)?;
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        let calls = &mut self.calls;
        let mut numbered = |event: Event<'_>| match event {
            Event::Call { choice, call, id, name, arguments } => {
                say(Event::Call { choice, call: calls.number((choice, call), id, name), id, name, arguments })
            }
            other => say(other),
        };
        for (place, choice) in choices.iter().enumerate() {
            choice.say(place, &mut numbered)?;
        }
        let Some(stated) = chunk.stated() else { return Ok(Piece::Data(event.data.clone())) };
        say(Event::Usage { usage: usage(Kind::Chat, stated), stated })?;
        if choices.is_empty() {
            return Ok(Piece::Own);
        }
        let object = Object::read(json).map_err(|_| Fault::Malformed)?;
        Ok(Piece::Data(object.edited(&[("usage", None)]).into()))
    }
}

/// Reads a whole answer.
fn whole(body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
    let json = std::str::from_utf8(&body).map_err(|_| Fault::Malformed)?;
    let answer = read(json)?;
    let choices = answer.choices.as_deref().unwrap_or_default();
    if choices.is_empty() || choices.iter().any(|choice| choice.message.is_none()) {
        return Err(Fault::Malformed);
    }
    answer.begin(say)?;
    if let Some(stated) = answer.stated() {
        say(Event::Usage { usage: usage(Kind::Chat, stated), stated })?;
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

impl<'a> Chunk<'a> {
    /// Hands on the answer's head.
    fn begin(&self, say: &mut Say<'_>) -> Result<(), Fault> {
        let (id, model) = (self.id.map(text).unwrap_or_default(), self.model.map(text).unwrap_or_default());
        say(Event::Begin { id: &id, model: &model })
    }

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
