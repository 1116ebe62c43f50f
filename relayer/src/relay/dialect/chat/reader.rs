//! What a provider of chat completions sends: chunks of a stream, or a whole answer.

use super::calls::Calls;
use crate::relay::dialect::openai::{self, Chunk, Citations, Ends, Kind, Read};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Whole};
use crate::relay::json::{self, Text};
use crate::relay::sse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bytes of an image's JSON that are counted.
const MAX_IMAGE_TEXT: usize = 4 << 10;

/// Reads an answer.
#[derive(Debug)]
pub(super) struct ChatReader {
    /// Whether the answer's head was read.
    begun: bool,
    calls: Calls,
    citations: Citations,
    ends: Ends,
}

impl ChatReader {
    /// A reader of `choices` answers.
    pub(super) fn new(choices: u32) -> Self {
        Self {
            begun: false,
            calls: Calls::default(),
            citations: Citations::default(),
            ends: Ends::new(Kind::Chat, choices),
        }
    }
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
    #[serde(borrow, default)]
    images: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
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
        let mut repaired = None;
        let chunk = match Chunk::<Choice<'_>>::of(event, &mut repaired)? {
            Read::Chunk(chunk) => chunk,
            Read::Done => return self.ends.complete(say).map(Piece::End),
            Read::Other => return Ok(Piece::Own),
        };
        self.ends.chunk(chunk.data());
        if !std::mem::replace(&mut self.begun, true) {
            begin(&chunk, say)?;
        }
        let spurious = self.choices(&chunk, say)?;
        chunk.say_usage(Kind::Chat, say)?;
        chunk.passed_on(&spurious)
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let mut repaired = None;
        let answer = Chunk::<Choice<'_>>::of_whole(&body, &mut repaired)?;
        begin(&answer, say)?;
        answer.say_usage(Kind::Chat, say)?;
        self.choices(&answer, say)?;
        Ok(Whole { body: answer.data().clone(), usage: answer.usage_place() })
    }

    fn close(&mut self) -> Option<Vec<Bytes>> {
        self.ends.are_all().then(Vec::new)
    }
}

impl ChatReader {
    /// Hands on what the choices say. Returns the places of those whose finish reason is none, or not the first.
    fn choices(&mut self, chunk: &Chunk<'_, Choice<'_>>, say: &mut Say<'_>) -> Result<Vec<usize>, Fault> {
        let Self { calls, citations, ends, .. } = self;
        let mut spurious = Vec::new();
        for (place, said) in chunk.choices().iter().enumerate() {
            let choice = ends.number(said.index, place);
            said.say(choice, &mut |event| match event {
                Event::Call { choice, call, id, name, arguments } => {
                    ends.called(choice);
                    say(Event::Call { choice, call: calls.number((choice, call), id, name), id, name, arguments })
                }
                Event::Citation { choice, source } => {
                    let source = citations.next(choice, source);
                    source.map_or(Ok(()), |source| say(Event::Citation { choice, source: &source }))
                }
                other => say(other),
            })?;
            if let Some(Text(stated)) = &said.finish_reason {
                match ends.finish(choice, stated) {
                    Some(reason) => say(Event::Finish { choice, reason, stop: None })?,
                    None => spurious.push(place),
                }
            }
        }
        Ok(spurious)
    }
}

/// Hands on the answer's head.
fn begin(chunk: &Chunk<'_, Choice<'_>>, say: &mut Say<'_>) -> Result<(), Fault> {
    let (id, model) = (chunk.id.map(text).unwrap_or_default(), chunk.model.map(text).unwrap_or_default());
    say(Event::Begin { id: &id, model: &model })
}

impl Choice<'_> {
    /// Hands on what the choice says, but for its end.
    fn say(&self, choice: u32, say: &mut Say<'_>) -> Result<(), Fault> {
        // An answer that was not asked for is refused even before it says anything.
        say(Event::Text { choice, text: "" })?;
        match self.delta.as_ref().or(self.message.as_ref()) {
            Some(said) => said.say(choice, say),
            None => Ok(()),
        }
    }
}

impl Said<'_> {
    fn say(&self, choice: u32, say: &mut Say<'_>) -> Result<(), Fault> {
        // Thoughts come before what they lead to. Some providers send the same text under both names.
        let reasoning = self.reasoning_content.or(self.reasoning).filter(|value| value.get() != "null");
        if let Some(value) = reasoning {
            say(Event::Reasoning { choice, text: &text(value) })?;
        }
        if let Some(details) = self.reasoning_details {
            say_details(choice, details, reasoning.is_some(), say)?;
        }
        match self.content {
            Some(parts) if parts.get().starts_with('[') => say_parts(choice, parts, say)?,
            Some(value) => say(Event::Text { choice, text: &text(value) })?,
            None => {}
        }
        if let Some(annotations) = self.annotations {
            say_citations(choice, annotations, say)?;
        }
        if let Some(images) = self.images.filter(|images| !matches!(images.get(), "[]" | "null")) {
            // A provider bills an image as about so many tokens.
            let json = images.get();
            say(Event::Other { choice, text: &json[..json.floor_char_boundary(MAX_IMAGE_TEXT)] })?;
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

/// Hands on reasoning in parts; `shown` says that its text came already.
fn say_details(choice: u32, details: &RawValue, shown: bool, say: &mut Say<'_>) -> Result<(), Fault> {
    let details: Vec<Value> = serde_json::from_str(details.get()).unwrap_or_default();
    for detail in &details {
        let of = |name: &str| detail[name].as_str().filter(|text| !text.is_empty());
        if let Some(text) = of("text").or_else(|| of("summary")).filter(|_| !shown) {
            say(Event::Reasoning { choice, text })?;
        }
        if let Some(seal) = of("signature") {
            say(Event::Seal { choice, seal })?;
        }
        if let Some(data) = of("data") {
            say(Event::Redacted { choice, data })?;
        }
    }
    Ok(())
}

/// Hands on what a text cites.
fn say_citations(choice: u32, annotations: &RawValue, say: &mut Say<'_>) -> Result<(), Fault> {
    let annotations: Vec<Value> = serde_json::from_str(annotations.get()).unwrap_or_default();
    let mut sources = annotations.iter().map(|one| &one["url_citation"]).filter(|source| source.is_object());
    sources.try_for_each(|source| say(Event::Citation { choice, source }))
}

/// Hands on content in parts: texts, and thoughts among them.
fn say_parts(choice: u32, parts: &RawValue, say: &mut Say<'_>) -> Result<(), Fault> {
    let parts: Vec<Value> = serde_json::from_str(parts.get()).map_err(|_| Fault::Malformed)?;
    for part in &parts {
        match part["type"].as_str() {
            Some("thinking") => {
                let texts = part["thinking"].as_array().into_iter().flatten().filter_map(|text| text["text"].as_str());
                let mut texts = texts.chain(part["thinking"].as_str());
                texts.try_for_each(|text| say(Event::Reasoning { choice, text }))?;
            }
            Some("text") => say(Event::Text { choice, text: part["text"].as_str().unwrap_or_default() })?,
            other => say(Event::Other { choice, text: other.unwrap_or_default() })?,
        }
    }
    Ok(())
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
    let other = if matches!(json, "[]" | "{}" | "null") { "" } else { json };
    json::text_of(json).unwrap_or(Cow::Borrowed(other))
}
