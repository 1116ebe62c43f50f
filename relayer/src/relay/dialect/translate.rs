//! Translation: a request is written in another dialect, and the answer is read in that dialect and written in the client's.

mod script;

use crate::relay::dialect::conversation::{Conversation, Unsayable};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Request, Say, Usage, Whole};
use crate::relay::json::Halves;
use crate::relay::sse;
use bytes::Bytes;
use script::{Script, first, own_id};
use serde_json::Value;
use std::fmt;
use steam_protocol::receipt::FinishReason;

/// Most bytes of an answer that wait to be written in their turn.
pub const MAX_WAITING: usize = 8 << 20;

/// Writes a conversation as a request of a dialect, without model, stream and output limit. An error is a field that the
/// dialect has no word for.
pub type Render = fn(Conversation) -> Result<serde_json::Map<String, serde_json::Value>, Unsayable>;

/// A dialect whose clients can be served by providers of others.
pub trait Translate {
    /// The conversation that `request`, which is of this dialect, carries on.
    ///
    /// # Errors
    /// A field that no other dialect has a word for.
    fn parse(&self, request: &Request) -> Result<Conversation, Unsayable>;

    /// Writes an answer to `request`, which is of this dialect, at `now_unix` in Unix seconds. The prompt has about `input` tokens.
    fn composer(&self, request: &Request, now_unix: i64, input: u64) -> Box<dyn Composer>;

    /// The details of `usage` in this dialect, as JSON.
    fn stated(&self, usage: Option<Usage>) -> String;
}

/// Writes an answer: a streamed one event by event, as data of this dialect's events, or a whole one.
pub trait Composer: fmt::Debug + Send {
    /// What `event` becomes.
    ///
    /// # Errors
    /// [`Fault`] if it cannot be written.
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<Bytes>) -> Result<(), Fault>;

    /// What is left at the end of the stream.
    fn end(&mut self, out: &mut Vec<Bytes>);

    /// A whole answer, without usage.
    fn whole(&mut self, said: Said) -> String;
}

/// An answer that is read in one dialect and written in another.
pub struct Translated {
    /// Reads what the provider sends.
    reader: Box<dyn Reader>,
    /// Joins letters that the provider cut.
    halves: Halves,
    /// Writes it for the client.
    script: Script,
    /// The client's dialect.
    client: &'static (dyn Translate + Sync),
}

impl fmt::Debug for Translated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translated").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Translated {
    /// An answer that `reader` reads and `composer` writes for a client of `client`.
    pub fn new(reader: Box<dyn Reader>, composer: Box<dyn Composer>, client: &'static (dyn Translate + Sync)) -> Self {
        Self { reader, halves: Halves::default(), script: Script::new(composer), client }
    }
}

impl Reader for Translated {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        let mut out = Vec::new();
        let Self { reader, halves, script, client } = self;
        let joined = halves.join_bytes(&event.data).map(|data| sse::Event { name: event.name, data });
        let piece = reader.event(joined.as_ref().unwrap_or(event), &mut |event| {
            restated(*client, event, say)?;
            script.take(&event, &mut out)
        })?;
        if let Piece::End(_) = piece {
            script.end(&mut out)?;
            return Ok(Piece::End(out));
        }
        Ok(Piece::Composed(out))
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let mut said = Said::default();
        let client = self.client;
        let body = self.halves.join_bytes(&body).unwrap_or(body);
        self.reader.whole(body, &mut |event| {
            // What was not asked for is refused before it is kept.
            restated(client, event, say)?;
            said.take(&event)
        })?;
        said.name_calls();
        Ok(Whole { body: self.script.composer.whole(said).into(), usage: None })
    }

    fn close(&mut self) -> Option<Vec<Bytes>> {
        self.reader.close()?;
        let mut out = Vec::new();
        self.script.end(&mut out).ok().map(|()| out)
    }
}

/// Hands an event on; usage is stated in the client's dialect.
fn restated(client: &dyn Translate, event: Event<'_>, say: &mut Say<'_>) -> Result<(), Fault> {
    match event {
        Event::Usage { usage, .. } => say(Event::Usage { usage, stated: &client.stated(usage) }),
        event => say(event),
    }
}

#[cfg(test)]
mod tests;

/// A whole answer in the neutral form.
#[derive(Debug, Default)]
pub struct Said {
    pub id: String,
    pub model: String,
    pub choices: Vec<Choice>,
}

/// One of its answers.
#[derive(Debug, Default)]
pub struct Choice {
    pub parts: Vec<Piecemeal>,
    /// The pages that it cites.
    pub citations: Vec<Value>,
    pub finish: Option<FinishReason>,
    /// The text that ended it.
    pub stop: Option<String>,
}

/// A part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Piecemeal {
    Text(String),
    Refusal(String),
    Reasoning(String),
    Call { number: u32, id: String, name: String, arguments: String },
}

impl Said {
    /// Takes what an event says.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if there is no neutral word for it.
    fn take(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        use Piecemeal::{Call, Reasoning, Refusal, Text};
        match *event {
            Event::Begin { id, model } => (self.id, self.model) = (id.to_owned(), model.to_owned()),
            Event::Text { choice, text } if !text.is_empty() => match self.parts(choice) {
                [.., Text(said)] => said.push_str(text),
                _ => self.choice(choice).parts.push(Text(text.to_owned())),
            },
            Event::Refusal { choice, text } if !text.is_empty() => match self.parts(choice) {
                [.., Refusal(said)] => said.push_str(text),
                _ => self.choice(choice).parts.push(Refusal(text.to_owned())),
            },
            Event::Reasoning { choice, text } if !text.is_empty() => match self.parts(choice) {
                [.., Reasoning(said)] => said.push_str(text),
                _ => self.choice(choice).parts.push(Reasoning(text.to_owned())),
            },
            Event::Call { choice, call, id, name, arguments } => {
                let known = self.parts(choice).iter_mut().find_map(|part| match part {
                    Call { number, id, name, arguments } if *number == call => Some((id, name, arguments)),
                    _ => None,
                });
                match known {
                    Some((known_id, known_name, known_arguments)) => {
                        // Some providers repeat both with each piece.
                        first(known_id, id);
                        first(known_name, name);
                        known_arguments.push_str(arguments);
                    }
                    None => {
                        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
                        self.choice(choice).parts.push(Call { number: call, id, name, arguments });
                    }
                }
            }
            Event::Citation { choice, source } => self.choice(choice).citations.push(source.clone()),
            Event::Finish { choice, reason, stop } => {
                let choice = self.choice(choice);
                (choice.finish, choice.stop) = (Some(reason), stop.map(ToOwned::to_owned));
            }
            // A provider was asked for nothing that has no neutral word.
            Event::Other { .. } => return Err(Fault::Malformed),
            // What is sealed would come back with the client's next request, and no other API has a word for it.
            Event::Text { .. }
            | Event::Refusal { .. }
            | Event::Reasoning { .. }
            | Event::Seal { .. }
            | Event::Redacted { .. }
            | Event::Vector { .. }
            | Event::Usage { .. } => {}
        }
        Ok(())
    }

    /// Gives calls that the provider did not name an id, by which their results will be known.
    fn name_calls(&mut self) {
        for part in self.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let Piecemeal::Call { number, id, .. } = part {
                first(id, &own_id(&self.id, *number));
            }
        }
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        let place = choice as usize;
        while self.choices.len() <= place {
            self.choices.push(Choice::default());
        }
        &mut self.choices[place]
    }

    fn parts(&mut self, choice: u32) -> &mut [Piecemeal] {
        &mut self.choice(choice).parts
    }
}

impl Choice {
    /// Whether it calls functions.
    pub fn calls(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Piecemeal::Call { .. }))
    }
}
