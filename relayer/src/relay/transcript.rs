//! What was said so far in one answer, counted, and what the provider said about it.

use crate::relay::dialect::{Event, Fault, Piece, Reader, Usage, Whole};
use crate::relay::sse;
use crate::tokens::{Counting, Tally};
use bytes::Bytes;
use std::collections::BTreeSet;
use steam_protocol::receipt::FinishReason;

/// Most bytes that a token of an answer is believed to have on average: the longest of usual vocabularies have 128, and a text of
/// those alone is none.
const MOST_TOKEN_BYTES: u64 = 32;
/// Bytes that an answer may have in addition.
const SPARE_BYTES: u64 = 8 << 10;

/// Most calls of an answer: which call a piece belongs to is looked for among all that were begun.
const MAX_CALLS: usize = 1_024;

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
    /// Bytes that they can have.
    most: u64,
    /// Those that have ended.
    finished: BTreeSet<u32>,
    /// Whether anything was said but an end.
    silent: bool,
    /// The calls that were begun, and those of them that say anything.
    begun: BTreeSet<(u32, u32)>,
    calls: BTreeSet<(u32, u32)>,
}

impl Transcript {
    /// Nothing said of `choices` answers of at most `max_output` tokens each, which `reader` reads.
    pub fn new(counting: Counting, choices: u32, max_output: u32, reader: Box<dyn Reader>) -> Self {
        let counts = Counts {
            delivered: Tally::new(counting),
            reasoning: Tally::new(counting),
            finish: None,
            usage: None,
            stated_usage: None,
            choices,
            most: (u64::from(max_output) * u64::from(choices))
                .saturating_mul(MOST_TOKEN_BYTES)
                .saturating_add(SPARE_BYTES),
            finished: BTreeSet::new(),
            silent: true,
            begun: BTreeSet::new(),
            calls: BTreeSet::new(),
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

    /// The stream has ended without its last event. Returns what completes it for the client, if it said why it ended.
    pub fn close(&mut self) -> Option<Vec<Bytes>> {
        self.counts.finish?;
        self.reader.close()
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
    /// Whether the provider said nothing and ended all the same: such an answer is one, and too many of them are a sign.
    pub fn is_empty(&self) -> bool {
        self.silent && self.finish == Some(FinishReason::Stop)
    }

    /// How many calls say anything.
    pub fn calls(&self) -> u64 {
        self.calls.len() as u64
    }

    /// The answers that have not ended.
    pub fn unfinished(&self) -> Vec<u32> {
        (0..self.choices).filter(|choice| !self.finished.contains(choice)).collect()
    }

    /// Counts what an event says. Returns whether that is content, or the end of an answer without any.
    fn take(&mut self, event: Event<'_>) -> Result<bool, Fault> {
        let ends = matches!(event, Event::Finish { .. });
        let content = self.count(event)?;
        self.silent &= ends || !content;
        Ok(content)
    }

    fn count(&mut self, event: Event<'_>) -> Result<bool, Fault> {
        match event {
            Event::Text { choice, text } => self.deliver(choice, text),
            Event::Begin { .. } => Ok(false),
            Event::Refusal { choice, text } => self.deliver(choice, text),
            Event::Other { choice, text } => self.deliver(choice, text).map(|_| true),
            // A call is content even before it has a name.
            Event::Call { choice, call, name, arguments, .. } => {
                self.deliver(choice, name)?;
                self.begun.insert((choice, call));
                if self.begun.len() > MAX_CALLS {
                    return Err(Fault::Malformed);
                }
                // A call without a word has nothing to bill.
                if !(name.is_empty() && arguments.is_empty()) {
                    self.calls.insert((choice, call));
                }
                self.deliver(choice, arguments).map(|_| true)
            }
            Event::Seal { choice, .. } | Event::Citation { choice, .. } => self.expect(choice).map(|()| false),
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
                if self.finished.insert(choice) {
                    self.finish = Some(reason);
                }
                Ok(true)
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
        // Nobody pays for what is beyond the limit, and a stream of it would never end.
        if self.delivered.bytes() > self.most { Err(Fault::Malformed) } else { Ok(true) }
    }

    /// Refuses answers beyond those that were asked for: they would be paid for, and each takes memory.
    fn expect(&self, choice: u32) -> Result<(), Fault> {
        if choice < self.choices { Ok(()) } else { Err(Fault::Malformed) }
    }
}
