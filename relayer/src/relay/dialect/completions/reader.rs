//! What a provider of text completions sends: chunks of a stream, or a whole answer.

use crate::relay::dialect::openai::{self, Chunk, Ends, Kind, Read};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Whole};
use crate::relay::json::Text;
use crate::relay::sse;
use bytes::Bytes;
use serde::Deserialize;

/// Reads an answer.
#[derive(Debug)]
pub(super) struct TextReader {
    ends: Ends,
}

impl TextReader {
    /// A reader of `choices` answers.
    pub(super) fn new(choices: u32) -> Self {
        Self { ends: Ends::new(Kind::Text, choices) }
    }
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
        let mut repaired = None;
        let chunk = match Chunk::<Choice<'_>>::of(event, &mut repaired)? {
            Read::Chunk(chunk) => chunk,
            Read::Done => return self.ends.complete(say).map(Piece::End),
            Read::Other => return Ok(Piece::Own),
        };
        self.ends.chunk(chunk.data());
        let spurious = self.choices(chunk.choices(), say)?;
        chunk.say_usage(Kind::Text, say)?;
        chunk.passed_on(&spurious)
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let mut repaired = None;
        let answer = Chunk::<Choice<'_>>::of_whole(&body, &mut repaired)?;
        answer.say_usage(Kind::Text, say)?;
        self.choices(answer.choices(), say)?;
        Ok(Whole { body: answer.data().clone(), usage: answer.usage_place() })
    }

    fn close(&mut self) -> Option<Vec<Bytes>> {
        self.ends.are_all().then(Vec::new)
    }
}

impl TextReader {
    /// Hands on what the choices say. Returns the places of those whose finish reason is none, or not the first.
    fn choices(&mut self, choices: &[Choice<'_>], say: &mut Say<'_>) -> Result<Vec<usize>, Fault> {
        let mut spurious = Vec::new();
        for (place, said) in choices.iter().enumerate() {
            let choice = self.ends.number(said.index, place);
            let text = said.text.as_ref().map_or("", |Text(text)| text);
            say(Event::Text { choice, text })?;
            if let Some(Text(stated)) = &said.finish_reason {
                match self.ends.finish(choice, stated) {
                    Some(reason) => say(Event::Finish { choice, reason, stop: None })?,
                    None => spurious.push(place),
                }
            }
        }
        Ok(spurious)
    }
}
