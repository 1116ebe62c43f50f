//! The order of an answer's events, as composers rely on it: the head once and first, each call with its id and its name in its
//! first piece, the end once and last.

use super::{Composer, MAX_WAITING};
use crate::relay::dialect::{Event, Fault};
use bytes::Bytes;
use steam_protocol::receipt::FinishReason;

/// Puts the events of a provider's stream in order for a composer.
pub(super) struct Script {
    /// Writes them.
    pub(super) composer: Box<dyn Composer>,
    begun: bool,
    /// The answer's id.
    id: String,
    calls: Vec<Call>,
    /// Bytes of arguments that wait for their call's name, and of the names.
    kept: usize,
    finish: Option<(FinishReason, Option<String>)>,
}

/// A call.
struct Call {
    number: u32,
    id: String,
    name: String,
    /// Those that were not written yet.
    arguments: String,
    written: bool,
}

/// Which calls are written though something of them is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Id,
    IdOrName,
}

impl Script {
    /// Nothing was said yet.
    pub(super) fn new(composer: Box<dyn Composer>) -> Self {
        Self { composer, begun: false, id: String::new(), calls: Vec::new(), kept: 0, finish: None }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// It cannot be written, or too much waits.
    pub(super) fn take(&mut self, event: &Event<'_>, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match *event {
            Event::Begin { .. } if self.begun => Ok(()),
            Event::Begin { id, .. } => {
                self.begun = true;
                self.id = id.to_owned();
                self.composer.event(event, out)
            }
            Event::Finish { reason, stop, .. } => {
                self.finish.get_or_insert_with(|| (reason, stop.map(ToOwned::to_owned)));
                Ok(())
            }
            Event::Call { call, id, name, arguments, .. } => {
                self.begin(out)?;
                self.call(call, (id, name), arguments, out)
            }
            // They say nothing to the client where they stand.
            Event::Text { text: "", .. } | Event::Usage { .. } => Ok(()),
            _ => {
                self.begin(out)?;
                self.write_calls(None, Missing::Id, out)?;
                self.composer.event(event, out)
            }
        }
    }

    /// Writes the end.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn end(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        self.begin(out)?;
        self.write_calls(None, Missing::IdOrName, out)?;
        let (reason, stop) = self.finish.take().unwrap_or((FinishReason::Stop, None));
        self.composer.event(&Event::Finish { choice: 0, reason, stop: stop.as_deref() }, out)?;
        self.composer.end(out);
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        self.composer.event(&Event::Begin { id: "", model: "" }, out)
    }

    fn call(
        &mut self,
        number: u32,
        (id, name): (&str, &str),
        arguments: &str,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Fault> {
        self.write_calls(Some(number), Missing::Id, out)?;
        let place = match self.calls.iter().position(|call| call.number == number) {
            Some(place) => place,
            None => {
                let (id, name, arguments) = (String::new(), String::new(), String::new());
                self.calls.push(Call { number, id, name, arguments, written: false });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[place];
        if call.written {
            return self.composer.event(&Event::Call { choice: 0, call: number, id: "", name: "", arguments }, out);
        }
        first(&mut call.id, id);
        name_on(&mut call.name, name);
        call.arguments.push_str(arguments);
        self.kept += arguments.len() + name.len();
        if self.kept > MAX_WAITING {
            return Err(Fault::Malformed);
        }
        // A name may come in pieces, until there are arguments.
        let is_whole = !(call.id.is_empty() || call.name.is_empty() || call.arguments.is_empty());
        if is_whole { self.write(place, out) } else { Ok(()) }
    }

    /// Writes the calls that wait, but for the one numbered `but`, if no more than `missing` is missing.
    fn write_calls(&mut self, but: Option<u32>, missing: Missing, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        for place in 0..self.calls.len() {
            let call = &self.calls[place];
            let due = missing == Missing::IdOrName || !call.name.is_empty();
            if !call.written && due && but != Some(call.number) {
                self.write(place, out)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, place: usize, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let call = &mut self.calls[place];
        call.written = true;
        first(&mut call.id, &own_id(&self.id, call.number));
        let (arguments, number) = (std::mem::take(&mut call.arguments), call.number);
        self.kept -= arguments.len();
        let (id, name, arguments) = (call.id.as_str(), call.name.as_str(), arguments.as_str());
        self.composer.event(&Event::Call { choice: 0, call: number, id, name, arguments }, out)
    }
}

/// Sets `known` to `said` if it is not known yet.
pub(super) fn first(known: &mut String, said: &str) {
    if known.is_empty() {
        known.push_str(said);
    }
}

/// Adds a piece to the name of a call. Some providers repeat all of it with each piece of the arguments.
fn name_on(known: &mut String, said: &str) {
    match said.strip_prefix(known.as_str()) {
        Some(rest) => known.push_str(rest),
        None => known.push_str(said),
    }
}

/// The id of a call that the provider gave none.
pub(super) fn own_id(answer: &str, number: u32) -> String {
    format!("call_{answer}_{number}")
}
