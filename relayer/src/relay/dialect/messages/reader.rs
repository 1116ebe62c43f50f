//! What a provider of messages sends: events of a stream, or a whole answer.

use super::block::{Block, text};
use crate::relay::dialect::openai::{self, count};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Stated, Usage, Whole};
use crate::relay::json::{self, Text, place};
use crate::relay::sse::{self, Name};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use steam_protocol::receipt::FinishReason;

/// Reads an answer.
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    /// The usage so far: the first event has the input's, the last ones the output's.
    usage: Map<String, Value>,
    /// Whether the model reasoned.
    reasoned: bool,
    /// The arguments with which the blocks of calls began, until pieces of them come: a call without arguments has no pieces.
    inputs: Vec<(u32, String)>,
}

/// An event of a stream.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<Text<'a>>,
}

/// A whole answer, or the head of one.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Vec<Block<'a>>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Reader for MessageReader {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        if event.name == Name::Error {
            return Err(reported(&event.data));
        }
        // Some write it after the last event, or in its place.
        if event.data.trim_ascii() == openai::DONE {
            return Ok(Piece::Own);
        }
        let mut repaired = None;
        let (chunk, data) = json::lenient_piece::<Chunk<'_>>(&event.data, &mut repaired).ok_or(Fault::Malformed)?;
        if chunk.error.is_some() {
            return Err(reported(data));
        }
        match text(&chunk.kind) {
            "message_start" => {
                let message = chunk.message.as_ref().ok_or(Fault::Malformed)?;
                self.stated(message.usage, say)?;
                say(Event::Begin { id: text(&message.id), model: text(&message.model) })?;
            }
            "content_block_start" => {
                let block = chunk.content_block.as_ref().ok_or(Fault::Malformed)?;
                if let Some(input) = block.input.filter(|_| block.kind() == "tool_use") {
                    self.inputs.push((chunk.index, input.get().to_owned()));
                }
                self.block(chunk.index, block, say)?;
            }
            "content_block_stop" => {
                self.whole_inputs(|index| index == chunk.index, say)?;
            }
            "content_block_delta" => self.delta(chunk.index, chunk.delta.as_ref().ok_or(Fault::Malformed)?, say)?,
            "message_delta" => {
                // Some end the answer without the ends of its blocks.
                self.whole_inputs(|_| true, say)?;
                if let Some(delta) = &chunk.delta {
                    finish(&delta.stop_reason, &delta.stop_sequence, say)?;
                }
                self.stated(chunk.usage, say)?;
            }
            "message_stop" => {
                self.whole_inputs(|_| true, say)?;
                return Ok(Piece::End(Vec::new()));
            }
            // Pings, ends of blocks, and what may come yet.
            _ => {}
        }
        Ok(Piece::Data(data.clone()))
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let mut repaired = None;
        let (message, body) = json::lenient::<Message<'_>>(&body, &mut repaired).ok_or(Fault::Malformed)?;
        let json = std::str::from_utf8(body).map_err(|_| Fault::Malformed)?;
        if message.error.is_some() {
            return Err(reported(body));
        }
        let blocks = message.content.as_ref().ok_or(Fault::Malformed)?;
        say(Event::Begin { id: text(&message.id), model: text(&message.model) })?;
        for (call, block) in (0..).zip(blocks) {
            self.block(call, block, say)?;
            // In a stream the arguments follow in pieces.
            if let Some(input) = block.input.filter(|_| block.kind() == "tool_use") {
                say(Event::Call { choice: 0, call, id: "", name: "", arguments: input.get() })?;
            }
        }
        finish(&message.stop_reason, &message.stop_sequence, say)?;
        self.stated(message.usage, say)?;
        let usage = message.usage.map(|usage| place(json, usage.get()));
        Ok(Whole { body: body.clone(), usage })
    }
}

impl MessageReader {
    /// A block, or its beginning.
    fn block(&mut self, call: u32, block: &Block<'_>, say: &mut Say<'_>) -> Result<(), Fault> {
        let choice = 0;
        match block.kind() {
            "text" => say(Event::Text { choice, text: text(&block.text) }),
            "thinking" => {
                self.reasoned = true;
                say(Event::Reasoning { choice, text: text(&block.thinking) })?;
                seal(text(&block.signature), say)
            }
            "redacted_thinking" => {
                self.reasoned = true;
                say(Event::Redacted { choice, data: text(&block.data) })
            }
            "tool_use" => {
                let (id, name) = (text(&block.id), text(&block.name));
                say(Event::Call { choice, call, id, name, arguments: "" })
            }
            other => say(Event::Other { choice, text: other }),
        }
    }

    /// Says the arguments of calls that came whole with the beginning of their blocks, of those that have ended.
    fn whole_inputs(&mut self, has_ended: impl Fn(u32) -> bool, say: &mut Say<'_>) -> Result<(), Fault> {
        for (call, arguments) in self.inputs.extract_if(.., |(index, _)| has_ended(*index)) {
            say(Event::Call { choice: 0, call, id: "", name: "", arguments: &arguments })?;
        }
        Ok(())
    }

    fn delta(&mut self, call: u32, delta: &Delta<'_>, say: &mut Say<'_>) -> Result<(), Fault> {
        let choice = 0;
        if let Some(Text(text)) = &delta.text {
            say(Event::Text { choice, text })?;
        }
        if let Some(Text(text)) = &delta.thinking {
            say(Event::Reasoning { choice, text })?;
        }
        if let Some(Text(arguments)) = delta.partial_json.as_ref().filter(|Text(arguments)| !arguments.is_empty()) {
            self.inputs.retain(|(index, _)| *index != call);
            say(Event::Call { choice, call, id: "", name: "", arguments })?;
        }
        seal(text(&delta.signature), say)
    }

    /// Adds to the usage, and states all of it.
    fn stated(&mut self, usage: Option<&RawValue>, say: &mut Say<'_>) -> Result<(), Fault> {
        let Some(usage) = usage.map(RawValue::get).filter(|usage| *usage != "null") else { return Ok(()) };
        let Ok(usage) = serde_json::from_str::<Map<String, Value>>(usage) else { return Err(Fault::Malformed) };
        self.usage.extend(usage.into_iter().filter(|(_, value)| !value.is_null()));
        let stated = Value::Object(self.usage.clone()).to_string();
        say(Event::Usage { usage: self.counts(), stated: &stated })
    }

    /// The counts, if they are counts. `input_tokens` has neither what came from a cache nor what was written to one.
    fn counts(&self) -> Option<Usage> {
        let count = |name: &str| match self.usage.get(name) {
            None => Some(0),
            Some(value) => self::count(value),
        };
        let (cached, written) = (count("cache_read_input_tokens")?, count("cache_creation_input_tokens")?);
        let lifetime = |name: &str| match self.usage.get("cache_creation").and_then(|lifetimes| lifetimes.get(name)) {
            None => Some(0),
            Some(value) => self::count(value),
        };
        let cache_write_long = lifetime("ephemeral_1h_input_tokens")?;
        // What is of no stated lifetime is of the shorter one, which is the default and the cheaper.
        let cache_write = lifetime("ephemeral_5m_input_tokens")?.max(written.saturating_sub(cache_write_long));
        let input = self::count(self.usage.get("input_tokens")?)?;
        let completion = self::count(self.usage.get("output_tokens")?)?;
        let thinking =
            self.usage.get("output_tokens_details").and_then(|details| self::count(&details["thinking_tokens"]));
        // What is shown of reasoning may be a summary: without a count, all of the output may be reasoning.
        let unknown = if self.reasoned { completion } else { 0 };
        Some(Usage {
            prompt: [cached, cache_write, cache_write_long].into_iter().try_fold(input, u64::checked_add)?,
            cached,
            cache_write,
            cache_write_long,
            completion,
            reasoning: thinking.unwrap_or(unknown),
        })
    }
}

fn seal(seal: &str, say: &mut Say<'_>) -> Result<(), Fault> {
    if seal.is_empty() { Ok(()) } else { say(Event::Seal { choice: 0, seal }) }
}

/// Hands on why the answer ended, if that is a reason.
fn finish(reason: &Option<Text<'_>>, stop: &Option<Text<'_>>, say: &mut Say<'_>) -> Result<(), Fault> {
    let reason = match text(reason) {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        "pause_turn" => FinishReason::Other,
        _ => return Ok(()),
    };
    say(Event::Finish { choice: 0, reason, stop: stop.as_ref().map(|Text(stop)| stop.as_ref()) })
}

fn reported(data: &[u8]) -> Fault {
    Fault::Reported(Box::new(Stated::read(&String::from_utf8_lossy(data))))
}
