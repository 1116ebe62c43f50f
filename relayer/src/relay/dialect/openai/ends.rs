//! The ends of the choices in one answer: each ends once, for a reason that is one, whatever the provider makes of it.

use super::{Kind, envelope, finish_reason};
use crate::relay::dialect::{Event, Fault, Say};
use bytes::Bytes;
use steam_protocol::receipt::FinishReason;

/// The choices of one answer.
#[derive(Debug)]
pub(in crate::relay::dialect) struct Ends {
    kind: Kind,
    /// How many were asked for.
    asked: u32,
    begun: Vec<Begun>,
    /// `id`, `created` and `model` of the first chunk, as JSON members, each with a comma after it.
    envelope: Option<String>,
}

#[derive(Debug)]
struct Begun {
    choice: u32,
    /// Its number at the provider.
    stated: u32,
    called: bool,
    finished: bool,
}

impl Ends {
    /// Nothing has begun of `asked` choices.
    pub(in crate::relay::dialect) fn new(kind: Kind, asked: u32) -> Self {
        Self { kind, asked, begun: Vec::new(), envelope: None }
    }

    /// Takes a chunk's bytes.
    pub(in crate::relay::dialect) fn chunk(&mut self, data: &[u8]) {
        self.envelope.get_or_insert_with(|| envelope(data));
    }

    /// The number of the choice that the provider calls `stated`, or that stands at `place`. A single choice may have any number.
    pub(in crate::relay::dialect) fn number(&mut self, stated: Option<u32>, place: usize) -> u32 {
        let stated = stated.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
        if let Some(known) = self.begun.iter().find(|begun| begun.stated == stated) {
            return known.choice;
        }
        let choice = match (self.asked, self.begun.len()) {
            (1, 0) => 0,
            (1, _) => stated.max(1),
            _ => stated,
        };
        // What was not asked for is refused before it is kept.
        if choice < self.asked {
            self.begun.push(Begun { choice, stated, called: false, finished: false });
        }
        choice
    }

    /// The choice calls a function.
    pub(in crate::relay::dialect) fn called(&mut self, choice: u32) {
        if let Some(begun) = self.of(choice) {
            begun.called = true;
        }
    }

    /// Why the choice ended, if `reason` is a reason and the first one.
    pub(in crate::relay::dialect) fn finish(&mut self, choice: u32, reason: &str) -> Option<FinishReason> {
        let reason = finish_reason(reason)?;
        let begun = self.of(choice)?;
        (!std::mem::replace(&mut begun.finished, true)).then_some(reason)
    }

    /// Whether every choice that has begun has ended.
    pub(in crate::relay::dialect) fn are_all(&self) -> bool {
        self.begun.iter().all(|begun| begun.finished)
    }

    /// The answer is complete: ends what has not ended. Returns what the client gets for it.
    ///
    /// # Errors
    /// What `say` returns.
    pub(in crate::relay::dialect) fn complete(&mut self, say: &mut Say<'_>) -> Result<Vec<Bytes>, Fault> {
        let (mut choices, nothing) = (Vec::new(), self.kind.nothing());
        for Begun { choice, stated, called, finished } in &mut self.begun {
            if std::mem::replace(finished, true) {
                continue;
            }
            let (reason, name) =
                if *called { (FinishReason::ToolCalls, "tool_calls") } else { (FinishReason::Stop, "stop") };
            say(Event::Finish { choice: *choice, reason, stop: None })?;
            choices.push(format!(r#"{{"index":{stated},{nothing},"finish_reason":"{name}"}}"#));
        }
        if choices.is_empty() {
            return Ok(Vec::new());
        }
        let (envelope, object) = (self.envelope.as_deref().unwrap_or_default(), self.kind.object());
        let chunk = format!(r#"{{{envelope}"object":"{object}","choices":[{}]}}"#, choices.join(","));
        Ok(vec![chunk.into()])
    }

    fn of(&mut self, choice: u32) -> Option<&mut Begun> {
        self.begun.iter_mut().find(|begun| begun.choice == choice)
    }
}
