//! What a provider of chat or text completions sends: chunks of a stream, or a whole answer. The two differ in their choices.

use super::{DONE, Kind, usage};
use crate::relay::dialect::{Event, Fault, Piece, Say, Stated};
use crate::relay::json::{self, Object, Text, place};
use crate::relay::sse::{self, Name};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::ops::Range;

/// A chunk of a stream or a whole answer.
#[derive(Deserialize)]
pub(in crate::relay::dialect) struct Chunk<'a, C> {
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(default = "none")]
    choices: Option<Vec<C>>,
    /// A null is kept: its place is where the billed usage goes.
    #[serde(borrow, default, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(skip)]
    json: &'a str,
    #[serde(skip)]
    data: Bytes,
}

/// What an event of a stream is.
pub(in crate::relay::dialect) enum Read<'a, C> {
    /// A part of the answer.
    Chunk(Box<Chunk<'a, C>>),
    /// The event after the last chunk.
    Done,
    /// Nothing that belongs to an answer.
    Other,
}

/// One of the choices, or a part of it.
pub(in crate::relay::dialect) trait Choice {
    /// Why it ended, if it did.
    fn finish_reason(&self) -> Option<&Text<'_>>;

    /// Whether it is a whole one.
    fn is_whole(&self) -> bool;
}

/// Finish reasons with which a provider says that it failed.
const FAILURES: [&str; 2] = ["error", "insufficient_system_resource"];

fn none<C>() -> Option<Vec<C>> {
    None
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a, C: Choice + Deserialize<'a>> Chunk<'a, C> {
    /// Reads an event of a stream. JSON that only a lenient reader takes is kept in `repaired` as everyone takes it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(in crate::relay::dialect) fn of(
        event: &'a sse::Event,
        repaired: &'a mut Option<Bytes>,
    ) -> Result<Read<'a, C>, Fault> {
        match event.name {
            Name::Error => {
                let text = String::from_utf8_lossy(&event.data);
                return Err(Fault::Reported(Box::new(Stated::read(&text))));
            }
            Name::Other => return Ok(Read::Other),
            Name::Usual => {}
        }
        if event.data.trim_ascii() == DONE {
            return Ok(Read::Done);
        }
        Self::checked(json::lenient_piece(&event.data, repaired)).map(Box::new).map(Read::Chunk)
    }

    /// Reads a whole answer, as [`Self::of`].
    ///
    /// # Errors
    /// [`Fault`].
    pub(in crate::relay::dialect) fn of_whole(body: &'a Bytes, repaired: &'a mut Option<Bytes>) -> Result<Self, Fault> {
        let answer = Self::checked(json::lenient(body, repaired))?;
        let choices = answer.choices();
        if choices.is_empty() || !choices.iter().all(C::is_whole) {
            return Err(Fault::Malformed);
        }
        Ok(answer)
    }

    fn checked(read: Option<(Self, &'a Bytes)>) -> Result<Self, Fault> {
        let (chunk, data) = read.ok_or(Fault::Malformed)?;
        let json = std::str::from_utf8(data).map_err(|_| Fault::Malformed)?;
        let chunk = Self { json, data: data.clone(), ..chunk };
        let failed =
            |choice: &C| choice.finish_reason().is_some_and(|Text(reason)| FAILURES.contains(&reason.as_ref()));
        let is_error = chunk.object.is_some_and(|object| object.get() == r#""error""#) || chunk.error.is_some();
        if is_error || chunk.choices().iter().any(failed) {
            return Err(Fault::Reported(Box::new(Stated { breaks_off: !is_error, ..Stated::read(json) })));
        }
        Ok(chunk)
    }

    pub(in crate::relay::dialect) fn choices(&self) -> &[C] {
        self.choices.as_deref().unwrap_or_default()
    }

    /// The bytes that were read.
    pub(in crate::relay::dialect) fn data(&self) -> &Bytes {
        &self.data
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

    /// What a client of the same dialect gets of it: everything but the usage, and the finish reasons of the choices at the places
    /// `spurious`.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if it is no object.
    pub(in crate::relay::dialect) fn passed_on(&self, spurious: &[usize]) -> Result<Piece, Fault> {
        if self.choices().is_empty() && self.stated().is_some() {
            return Ok(Piece::Usage(self.data.clone()));
        }
        if spurious.is_empty() && self.stated().is_none() {
            return Ok(Piece::Data(self.data.clone()));
        }
        let object = Object::read(self.json).map_err(|_| Fault::Malformed)?;
        let mut edits = vec![("usage", None)];
        if let Some(choices) = object.get("choices").filter(|_| !spurious.is_empty()) {
            let mut choices: Value = serde_json::from_str(choices).map_err(|_| Fault::Malformed)?;
            for place in spurious {
                if let Some(reason) = choices.pointer_mut(&format!("/{place}/finish_reason")) {
                    *reason = Value::Null;
                }
            }
            edits.push(("choices", Some(choices.to_string())));
        }
        Ok(Piece::Data(object.edited(&edits).into()))
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
