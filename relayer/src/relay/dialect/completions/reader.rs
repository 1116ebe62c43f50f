//! What a provider of text completions sends: chunks of a stream, or a whole answer.

use crate::relay::dialect::openai::{self, Chunk, Kind, finish_reason};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Whole};
use crate::relay::json::Text;
use crate::relay::sse;
use bytes::Bytes;
use serde::Deserialize;

/// Reads an answer.
#[derive(Debug)]
pub(super) struct TextReader;

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

impl openai::Choice for Choice<'_> {
    fn finish_reason(&self) -> Option<&Text<'_>> {
        self.finish_reason.as_ref()
    }

    fn is_whole(&self) -> bool {
        self.text.is_some()
    }
}

impl Reader for TextReader {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        let Some(chunk) = Chunk::<Choice<'_>>::of(event)? else { return Ok(Piece::End(Vec::new())) };
        say_all(chunk.choices(), say)?;
        chunk.say_usage(Kind::Text, say)?;
        chunk.passed_on(event)
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let answer = Chunk::<Choice<'_>>::of_whole(&body)?;
        answer.say_usage(Kind::Text, say)?;
        say_all(answer.choices(), say)?;
        let usage = answer.usage_place();
        Ok(Whole { body, usage })
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
