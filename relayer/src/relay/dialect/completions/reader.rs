//! What a provider of text completions sends: chunks of a stream, or a whole answer.

use crate::relay::dialect::openai::{DONE, Kind, finish_reason, reported_status, usage};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Whole};
use crate::relay::json::{Object, Text, place};
use crate::relay::sse;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads an answer.
#[derive(Debug)]
pub(super) struct TextReader;

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
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Reader for TextReader {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        if event.error {
            return Err(Fault::Reported { status: None });
        }
        if &event.data[..] == DONE {
            return Ok(Piece::End(Vec::new()));
        }
        let json = std::str::from_utf8(&event.data).map_err(|_| Fault::Malformed)?;
        let chunk = read(json)?;
        let choices = chunk.choices.as_deref().unwrap_or_default();
        say_all(choices, say)?;
        let Some(stated) = chunk.stated() else { return Ok(Piece::Data(event.data.clone())) };
        say(Event::Usage { usage: usage(Kind::Text, stated), stated })?;
        if choices.is_empty() {
            return Ok(Piece::Own);
        }
        let object = Object::read(json).map_err(|_| Fault::Malformed)?;
        Ok(Piece::Data(object.edited(&[("usage", None)]).into()))
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let json = std::str::from_utf8(&body).map_err(|_| Fault::Malformed)?;
        let answer = read(json)?;
        let choices = answer.choices.as_deref().unwrap_or_default();
        if choices.is_empty() || choices.iter().any(|choice| choice.text.is_none()) {
            return Err(Fault::Malformed);
        }
        if let Some(stated) = answer.stated() {
            say(Event::Usage { usage: usage(Kind::Text, stated), stated })?;
        }
        say_all(choices, say)?;
        let usage = answer.usage.map(|usage| place(json, usage.get()));
        Ok(Whole { body, usage })
    }
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

/// Hands on what the choices say; providers may leave their indices out.
fn say_all(choices: &[Choice<'_>], say: &mut Say<'_>) -> Result<(), Fault> {
    for (place, said) in choices.iter().enumerate() {
        let choice = said.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
        let text = said.text.as_ref().map_or("", |Text(text)| text);
        say(Event::Text { choice, text })?;
        if let Some(Text(reason)) = &said.finish_reason {
            say(Event::Finish { choice, reason: finish_reason(reason), stop: None })?;
        }
    }
    Ok(())
}

impl<'a> Chunk<'a> {
    /// The provider's usage, unless it is absent or null.
    fn stated(&self) -> Option<&'a str> {
        self.usage.map(RawValue::get).filter(|usage| *usage != "null")
    }
}
