//! An answer of another dialect as a message.

use super::Messages;
use crate::relay::dialect::conversation::{Conversation, Unsayable};
use crate::relay::dialect::translate::{Choice, Composer, MAX_WAITING, Piecemeal, Said, Translate};
use crate::relay::dialect::{Event, Fault, Request, Usage};
use crate::relay::json as document;
use bytes::Bytes;
use serde_json::{Value, json};
use steam_protocol::receipt::FinishReason;

impl Translate for Messages {
    fn parse(&self, request: &Request) -> Result<Conversation, Unsayable> {
        super::conversation::parse(request)
    }

    fn composer(&self, _: &Request, _: i64, input: u64) -> Box<dyn Composer> {
        Box::new(MessageComposer { input, ..MessageComposer::default() })
    }

    fn stated(&self, _: Option<Usage>) -> String {
        "{}".into()
    }
}

/// Writes an answer. Its blocks come one after the other, while other dialects may send pieces of several calls in turns:
/// one call is written as it comes, and the pieces of the next ones wait.
#[derive(Debug, Default)]
pub(super) struct MessageComposer {
    /// About how many tokens the prompt has: other dialects tell at the end, and this one at the beginning.
    input: u64,
    /// The block that is open, and how many there are with it.
    open: Option<Open>,
    blocks: u32,
    /// Arguments of the open call that do not begin as an object, which this API's arguments are.
    odd: Option<String>,
    /// Calls that were begun, by their numbers.
    calls: Vec<u32>,
    /// Calls whose turn has not come.
    waiting: Vec<Waiting>,
    /// What was said after a call was begun.
    late: Vec<Late>,
    /// Bytes that wait.
    kept: usize,
    /// Whether the model refused, which this API says in the reason why the answer ended.
    refused: bool,
    finished: bool,
}

/// What an open block is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(u32),
}

/// What is written after the calls.
#[derive(Debug)]
enum Late {
    Text(String),
    Thinking(String),
}

#[derive(Debug)]
struct Waiting {
    call: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Composer for MessageComposer {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        self.refused |= matches!(event, Event::Refusal { text, .. } if !text.is_empty());
        match *event {
            Event::Begin { id, model } => start((id, model), self.input, out),
            Event::Text { text, .. } | Event::Refusal { text, .. } | Event::Reasoning { text, .. }
                if text.is_empty() => {}
            Event::Text { .. } | Event::Refusal { .. } | Event::Reasoning { .. } if !self.calls.is_empty() => {
                return self.later(event);
            }
            Event::Text { text, .. } | Event::Refusal { text, .. } => self.text(text, out),
            Event::Reasoning { text, .. } => self.thinking(text, out),
            Event::Call { call, id, name, arguments, .. } => return self.call((call, id, name, arguments), out),
            Event::Finish { reason, stop, .. } => self.finish(reason, stop, out),
            // A provider was asked for nothing that messages have no word for.
            Event::Other { .. } => return Err(Fault::Malformed),
            // What is sealed would come back with the client's next request, and no other API has a word for it.
            // Nor has it an index of what is cited, by which this API's clients give a citation back.
            Event::Seal { .. }
            | Event::Redacted { .. }
            | Event::Citation { .. }
            | Event::Vector { .. }
            | Event::Usage { .. } => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        self.finish(FinishReason::Stop, None, out);
    }

    fn whole(&mut self, said: Said) -> String {
        let mut message = head(&said.id, &said.model);
        let choice = said.choices.into_iter().next().unwrap_or_default();
        let refused = choice.parts.iter().any(|part| matches!(part, Piecemeal::Refusal(_)));
        let reason = reason(choice.finish.unwrap_or(FinishReason::Stop), refused);
        message["stop_reason"] = stop_reason(reason, choice.calls(), None).into();
        message["content"] = blocks(choice).into();
        document::write_exact(&message)
    }
}

impl MessageComposer {
    fn text(&mut self, text: &str, out: &mut Vec<Bytes>) {
        self.switch(Open::Text, &json!({ "type": "text", "text": "" }), out);
        self.delta(&json!({ "type": "text_delta", "text": text }), out);
    }

    fn thinking(&mut self, text: &str, out: &mut Vec<Bytes>) {
        self.switch(Open::Thinking, &json!({ "type": "thinking", "thinking": "", "signature": "" }), out);
        self.delta(&json!({ "type": "thinking_delta", "thinking": text }), out);
    }

    /// Keeps what came after a call was begun: blocks come one after the other.
    fn later(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        let bytes = match (*event, self.late.last_mut()) {
            (Event::Text { text, .. } | Event::Refusal { text, .. }, Some(Late::Text(late)))
            | (Event::Reasoning { text, .. }, Some(Late::Thinking(late))) => {
                late.push_str(text);
                text.len()
            }
            (Event::Text { text, .. } | Event::Refusal { text, .. }, _) => {
                self.late.push(Late::Text(text.to_owned()));
                text.len()
            }
            (Event::Reasoning { text, .. }, _) => {
                self.late.push(Late::Thinking(text.to_owned()));
                text.len()
            }
            _ => 0,
        };
        self.keep(bytes)
    }

    fn write_late(&mut self, out: &mut Vec<Bytes>) {
        for late in std::mem::take(&mut self.late) {
            match late {
                Late::Text(text) => self.text(&text, out),
                Late::Thinking(text) => self.thinking(&text, out),
            }
        }
    }

    fn call(&mut self, piece: (u32, &str, &str, &str), out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let (call, id, name, arguments) = piece;
        if self.calls.is_empty() {
            self.calls.push(call);
            self.begin_call(call, id, name, out);
        }
        if self.open == Some(Open::Call(call)) {
            let waiting = self.arguments(arguments, out);
            return self.keep(waiting);
        }
        match self.waiting.iter_mut().find(|waiting| waiting.call == call) {
            Some(waiting) => {
                waiting.id.push_str(id);
                waiting.name.push_str(name);
                waiting.arguments.push_str(arguments);
            }
            None => {
                self.calls.push(call);
                let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
                self.waiting.push(Waiting { call, id, name, arguments });
            }
        }
        self.keep(id.len() + name.len() + arguments.len())
    }

    /// Bounds what waits.
    fn keep(&mut self, bytes: usize) -> Result<(), Fault> {
        self.kept += bytes;
        if self.kept > MAX_WAITING { Err(Fault::Malformed) } else { Ok(()) }
    }

    fn begin_call(&mut self, call: u32, id: &str, name: &str, out: &mut Vec<Bytes>) {
        self.switch(Open::Call(call), &json!({ "type": "tool_use", "id": id, "name": name, "input": {} }), out);
        self.odd = Some(String::new());
    }

    /// Writes the next arguments of the open call, once they have begun as an object. Others wait for its end: returns how many
    /// bytes of these do.
    fn arguments(&mut self, arguments: &str, out: &mut Vec<Bytes>) -> usize {
        let Some(odd) = &mut self.odd else {
            self.write_arguments(arguments, out);
            return 0;
        };
        // Spaces before JSON say nothing.
        odd.push_str(if odd.is_empty() { arguments.trim_start() } else { arguments });
        if odd.starts_with('{') {
            let begun = self.odd.take().unwrap_or_default();
            self.write_arguments(&begun, out);
            return 0;
        }
        arguments.len()
    }

    fn write_arguments(&self, arguments: &str, out: &mut Vec<Bytes>) {
        if !arguments.is_empty() {
            self.delta(&json!({ "type": "input_json_delta", "partial_json": arguments }), out);
        }
    }

    /// Closes what is open and writes what waits and the reason why the answer ended, once.
    fn finish(&mut self, reason: FinishReason, stop: Option<&str>, out: &mut Vec<Bytes>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        for Waiting { call, id, name, arguments } in std::mem::take(&mut self.waiting) {
            self.begin_call(call, &id, &name, out);
            // What waits was counted when it came.
            self.arguments(&arguments, out);
        }
        self.write_late(out);
        self.close(out);
        let reason = self::reason(reason, self.refused);
        let delta = json!({ "stop_reason": stop_reason(reason, !self.calls.is_empty(), stop), "stop_sequence": stop });
        write(out, &json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 0 } }));
    }

    /// Opens a block of this kind, unless it is open.
    fn switch(&mut self, kind: Open, block: &Value, out: &mut Vec<Bytes>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(out);
        self.start_block(block, out);
        self.open = Some(kind);
    }

    fn close(&mut self, out: &mut Vec<Bytes>) {
        if let Some(odd) = self.odd.take()
            && let Some(input) = input(&odd).as_object().filter(|input| !input.is_empty())
        {
            self.write_arguments(&document::write_exact(&json!(input)), out);
        }
        if self.open.take().is_some() {
            self.stop_block(out);
        }
    }

    fn start_block(&mut self, block: &Value, out: &mut Vec<Bytes>) {
        write(out, &json!({ "type": "content_block_start", "index": self.blocks, "content_block": block }));
        self.blocks += 1;
    }

    fn stop_block(&self, out: &mut Vec<Bytes>) {
        write(out, &json!({ "type": "content_block_stop", "index": self.blocks.saturating_sub(1) }));
    }

    fn delta(&self, delta: &Value, out: &mut Vec<Bytes>) {
        let index = self.blocks.saturating_sub(1);
        write(out, &json!({ "type": "content_block_delta", "index": index, "delta": delta }));
    }
}

fn write(out: &mut Vec<Bytes>, event: &Value) {
    out.push(event.to_string().into());
}

fn start((id, model): (&str, &str), input: u64, out: &mut Vec<Bytes>) {
    let mut message = head(id, model);
    message["usage"] = json!({ "input_tokens": input, "output_tokens": 0 });
    write(out, &json!({ "type": "message_start", "message": message }));
    write(out, &json!({ "type": "ping" }));
}

fn head(id: &str, model: &str) -> Value {
    json!({
        "id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null,
    })
}

fn blocks(choice: Choice) -> Vec<Value> {
    let block = |part: Piecemeal| match part {
        Piecemeal::Text(text) | Piecemeal::Refusal(text) => json!({ "type": "text", "text": text }),
        Piecemeal::Reasoning(text) => json!({ "type": "thinking", "thinking": text, "signature": "" }),
        Piecemeal::Call { id, name, arguments, .. } => {
            json!({ "type": "tool_use", "id": id, "name": name, "input": input(&arguments) })
        }
    };
    choice.parts.into_iter().map(block).collect()
}

/// The arguments of a call as an object, without which a client's next request could not repeat it. Those that are none, or no
/// JSON, are the model's mistake; the client is shown them.
fn input(arguments: &str) -> Value {
    match document::read_exact(arguments) {
        Ok(input @ Value::Object(_)) => input,
        Ok(Value::Null) => json!({}),
        Err(_) if arguments.trim().is_empty() => json!({}),
        _ => json!({ "arguments": arguments }),
    }
}

/// Why an answer ended in which the model may have `refused`.
fn reason(reason: FinishReason, refused: bool) -> FinishReason {
    if refused && reason == FinishReason::Stop { FinishReason::ContentFilter } else { reason }
}

fn stop_reason(reason: FinishReason, calls: bool, stop: Option<&str>) -> &'static str {
    match reason {
        FinishReason::Length => "max_tokens",
        FinishReason::ContentFilter => "refusal",
        FinishReason::ToolCalls => "tool_use",
        _ if calls => "tool_use",
        _ if stop.is_some() => "stop_sequence",
        _ => "end_turn",
    }
}
