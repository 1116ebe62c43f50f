//! What was said so far in one answer, counted, and what the provider said about it.

use crate::relay::dialect::{Event, Fault, Piece, Reader, Usage, Whole};
use crate::relay::sse;
use crate::tokens::{Counting, Tally};
use bytes::Bytes;
use steam_protocol::receipt::FinishReason;

/// One answer as it is read.
#[derive(Debug)]
pub struct Transcript {
    reader: Box<dyn Reader>,
    /// What was read so far.
    pub counts: Counts,
}

/// The count of one answer.
#[derive(Debug)]
pub struct Counts {
    /// Everything visible.
    pub delivered: Tally,
    /// The visible reasoning in it.
    pub reasoning: Tally,
    /// Why it ended, once it has.
    pub finish: Option<FinishReason>,
    /// The provider's usage, the last of them, if its counts are counts.
    pub usage: Option<Usage>,
    /// The same in the provider's own JSON.
    pub stated_usage: Option<String>,
    /// Answers that were asked for.
    choices: u32,
}

impl Transcript {
    /// Nothing said of `choices` answers, which `reader` reads.
    pub fn new(counting: Counting, choices: u32, reader: Box<dyn Reader>) -> Self {
        let counts = Counts {
            delivered: Tally::new(counting),
            reasoning: Tally::new(counting),
            finish: None,
            usage: None,
            stated_usage: None,
            choices,
        };
        Self { reader, counts }
    }

    /// Takes an event of a stream. Returns what becomes of it, and whether it has content.
    ///
    /// # Errors
    /// It is no part of an answer, or reports an error.
    pub fn event(&mut self, event: &sse::Event) -> Result<(Piece, bool), Fault> {
        let mut content = false;
        let Self { reader, counts } = self;
        let piece = reader.event(event, &mut |event| {
            content |= counts.take(event)?;
            Ok(())
        })?;
        Ok((piece, content))
    }

    /// Takes a whole answer. Returns it, and whether it has content.
    ///
    /// # Errors
    /// It is no answer, or reports an error.
    pub fn whole(&mut self, body: Bytes) -> Result<(Whole, bool), Fault> {
        let mut content = false;
        let Self { reader, counts } = self;
        let whole = reader.whole(body, &mut |event| {
            content |= counts.take(event)?;
            Ok(())
        })?;
        Ok((whole, content))
    }
}

impl Counts {
    /// Counts what an event says. Returns whether that is content.
    fn take(&mut self, event: Event<'_>) -> Result<bool, Fault> {
        match event {
            Event::Text { choice, text } => self.deliver(choice, text),
            Event::Begin { .. } => Ok(false),
            Event::Refusal { choice, text } | Event::Other { choice, text } => self.deliver(choice, text),
            // A call is content even before it has a name.
            Event::Call { choice, name, arguments, .. } => {
                self.deliver(choice, name)?;
                self.deliver(choice, arguments).map(|_| true)
            }
            Event::Seal { choice, .. } => self.expect(choice).map(|()| false),
            Event::Redacted { choice, .. } => self.expect(choice).map(|()| true),
            Event::Reasoning { choice, text } => {
                let content = self.deliver(choice, text)?;
                if content {
                    self.reasoning.add(choice, text);
                }
                Ok(content)
            }
            Event::Vector { choice } => self.expect(choice).map(|()| true),
            Event::Finish { choice, reason, .. } => {
                self.expect(choice)?;
                self.finish = Some(reason);
                // An empty answer that stopped is a failure; one that ran into a limit or a filter is an answer.
                Ok(!matches!(reason, FinishReason::Stop | FinishReason::Error))
            }
            Event::Usage { usage, stated } => {
                self.usage = usage;
                self.stated_usage = Some(stated.to_owned());
                Ok(false)
            }
        }
    }

    fn deliver(&mut self, choice: u32, text: &str) -> Result<bool, Fault> {
        self.expect(choice)?;
        if text.is_empty() {
            return Ok(false);
        }
        self.delivered.add(choice, text);
        Ok(true)
    }

    /// Refuses answers beyond those that were asked for: they would be paid for, and each takes memory.
    fn expect(&self, choice: u32) -> Result<(), Fault> {
        if choice < self.choices { Ok(()) } else { Err(Fault::Malformed) }
    }
}
