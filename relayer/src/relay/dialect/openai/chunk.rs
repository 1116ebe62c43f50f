//! What a provider of chat or text completions sends: chunks of a stream, or a whole answer. The two differ in their choices.

use super::{DONE, Kind, reported_status, usage};
use crate::relay::dialect::{Event, Fault, Piece, Say};
use crate::relay::json::{Object, Text, place};
use crate::relay::sse;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::ops::Range;

/// A chunk of a stream or a whole answer.
#[derive(Deserialize)]
pub(in crate::relay::dialect) struct Chunk<'a, C> {
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub model: Option<&'a RawValue>,
    choices: Option<Vec<C>>,
    /// A null is kept: its place is where the billed usage goes.
    #[serde(borrow, default, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(skip)]
    json: &'a str,
}

/// One of the choices, or a part of it.
pub(in crate::relay::dialect) trait Choice {
    /// Why it ended, if it did.
    fn finish_reason(&self) -> Option<&Text<'_>>;

    /// Whether it is a whole one.
    fn is_whole(&self) -> bool;
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a, C: Choice + Deserialize<'a>> Chunk<'a, C> {
    /// Reads the data of an event. `None` if it is the one after the last chunk.
    ///
    /// # Errors
    /// [`Fault`].
    pub(in crate::relay::dialect) fn of(event: &'a sse::Event) -> Result<Option<Self>, Fault> {
        if event.error {
            return Err(Fault::Reported { status: None });
        }
        if &event.data[..] == DONE {
            return Ok(None);
        }
        Self::read(&event.data).map(Some)
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`Fault`].
    pub(in crate::relay::dialect) fn of_whole(body: &'a [u8]) -> Result<Self, Fault> {
        let answer = Self::read(body)?;
        let choices = answer.choices();
        if choices.is_empty() || !choices.iter().all(C::is_whole) {
            return Err(Fault::Malformed);
        }
        Ok(answer)
    }

    fn read(data: &'a [u8]) -> Result<Self, Fault> {
        let json = std::str::from_utf8(data).map_err(|_| Fault::Malformed)?;
        let chunk = Self { json, ..serde_json::from_str(json).map_err(|_| Fault::Malformed)? };
        let ended_in_error = |choice: &C| choice.finish_reason().is_some_and(|Text(reason)| reason == "error");
        match chunk.error {
            Some(error) => Err(Fault::Reported { status: reported_status(error.get()) }),
            None if chunk.choices().iter().any(ended_in_error) => Err(Fault::Reported { status: None }),
            None if chunk.choices.is_none() && chunk.stated().is_none() => Err(Fault::Malformed),
            None => Ok(chunk),
        }
    }

    pub(in crate::relay::dialect) fn choices(&self) -> &[C] {
        self.choices.as_deref().unwrap_or_default()
    }

    /// Hands on the provider's usage, if it is there.
    ///
    /// # Errors
    /// What `say` returns.
    pub(in crate::relay::dialect) fn say_usage(&self, kind: Kind, say: &mut Say<'_>) -> Result<(), Fault> {
        match self.stated() {
            Some(stated) => say(Event::Usage { usage: usage(kind, stated), stated }),
            None => Ok(()),
        }
    }

    /// What a client of the same dialect gets of it: everything but the usage.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if it is no object.
    pub(in crate::relay::dialect) fn passed_on(&self, event: &sse::Event) -> Result<Piece, Fault> {
        if self.stated().is_none() {
            return Ok(Piece::Data(event.data.clone()));
        }
        if self.choices().is_empty() {
            return Ok(Piece::Own);
        }
        let object = Object::read(self.json).map_err(|_| Fault::Malformed)?;
        Ok(Piece::Data(object.edited(&[("usage", None)]).into()))
    }

    /// The place of the usage in a whole answer.
    pub(in crate::relay::dialect) fn usage_place(&self) -> Option<Range<usize>> {
        self.usage.map(|usage| place(self.json, usage.get()))
    }

    /// The provider's usage, unless it is absent or null.
    fn stated(&self) -> Option<&'a str> {
        self.usage.map(RawValue::get).filter(|usage| *usage != "null")
    }
}
