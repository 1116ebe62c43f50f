//! An answer of another dialect as one of chat completions.

use super::Chat;
use crate::relay::dialect::conversation::{Conversation, Unsayable};
use crate::relay::dialect::translate::{Choice, Composer, Piecemeal, Said, Translate};
use crate::relay::dialect::{Event, Fault, Request, Usage};
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use steam_protocol::receipt::FinishReason;

impl Translate for Chat {
    fn parse(&self, request: &Request) -> Result<Conversation, Unsayable> {
        super::conversation::parse(request)
    }

    fn composer(&self, _: &Request, now_unix: i64, _: u64) -> Box<dyn Composer> {
        Box::new(ChatComposer { created: now_unix, ..ChatComposer::default() })
    }

    fn stated(&self, usage: Option<Usage>) -> String {
        let reasoning = usage.map_or(0, |usage| usage.reasoning);
        json!({ "completion_tokens_details": { "reasoning_tokens": reasoning } }).to_string()
    }
}

/// Writes an answer.
#[derive(Debug, Default)]
pub(super) struct ChatComposer {
    id: String,
    model: String,
    created: i64,
    /// Calls that were begun.
    calls: Vec<u32>,
}

/// A chunk of a stream, which comes as often as tokens do.
#[derive(serde::Serialize)]
struct Chunk<'a, D> {
    id: &'a str,
    object: &'a str,
    created: i64,
    model: &'a str,
    choices: [ChunkChoice<'a, D>; 1],
}

#[derive(serde::Serialize)]
struct ChunkChoice<'a, D> {
    index: u32,
    delta: D,
    finish_reason: Option<&'a str>,
}

/// An object of one text.
struct Member<'a>(&'a str, &'a str);

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

impl ChatComposer {
    fn name(&mut self, id: &str, model: &str) {
        (self.id, self.model) = (format!("chatcmpl-{id}"), model.to_owned());
    }

    fn with(&self, object: &str, choices: Value) -> Value {
        json!({ "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices })
    }

    fn chunk(&self, delta: impl Serialize, finish: Option<&str>, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let choices = [ChunkChoice { index: 0, delta, finish_reason: finish }];
        let Self { id, model, created, .. } = self;
        let chunk = Chunk { id, object: "chat.completion.chunk", created: *created, model, choices };
        out.push(serde_json::to_vec(&chunk).map_err(|_| Fault::Malformed)?.into());
        Ok(())
    }

    fn call(
        &mut self,
        (call, id, name, arguments): (u32, &str, &str, &str),
        out: &mut Vec<Bytes>,
    ) -> Result<(), Fault> {
        // Calls are numbered from 0; other dialects number everything in an answer.
        let known = self.calls.iter().position(|known| *known == call);
        let mut function = json!({ "arguments": arguments });
        let said = match known {
            Some(place) => json!({ "index": place, "function": function }),
            None => {
                self.calls.push(call);
                function["name"] = name.into();
                json!({ "index": self.calls.len() - 1, "id": id, "type": "function", "function": function })
            }
        };
        self.chunk(json!({ "tool_calls": [said] }), None, out)
    }
}

impl Composer for ChatComposer {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match *event {
            Event::Begin { id, model } => {
                self.name(id, model);
                self.chunk(json!({ "role": "assistant", "content": "" }), None, out)
            }
            Event::Text { text, .. } if !text.is_empty() => self.chunk(Member("content", text), None, out),
            Event::Refusal { text, .. } if !text.is_empty() => self.chunk(Member("refusal", text), None, out),
            Event::Reasoning { text, .. } if !text.is_empty() => {
                self.chunk(Member("reasoning_content", text), None, out)
            }
            Event::Call { call, id, name, arguments, .. } => self.call((call, id, name, arguments), out),
            Event::Citation { source, .. } => self.chunk(json!({ "annotations": [cited(source)] }), None, out),
            Event::Finish { reason, .. } => self.chunk(json!({}), Some(finish(reason, !self.calls.is_empty())), out),
            // A provider was asked for nothing that chat has no word for.
            Event::Other { .. } => Err(Fault::Malformed),
            Event::Text { .. }
            | Event::Refusal { .. }
            | Event::Reasoning { .. }
            | Event::Seal { .. }
            | Event::Redacted { .. }
            | Event::Vector { .. }
            | Event::Usage { .. } => Ok(()),
        }
    }

    fn end(&mut self, _: &mut Vec<Bytes>) {}

    fn whole(&mut self, said: Said) -> String {
        self.name(&said.id, &said.model);
        let choices = said.choices.into_iter().enumerate();
        self.with("chat.completion", choices.map(|(index, choice)| message(index, choice)).collect()).to_string()
    }
}

fn message(index: usize, choice: Choice) -> Value {
    let finish = finish(choice.finish.unwrap_or(FinishReason::Stop), choice.calls());
    let (mut content, mut refusal, mut reasoning, mut calls) =
        (String::new(), String::new(), String::new(), Vec::new());
    for part in choice.parts {
        match part {
            Piecemeal::Text(text) => content.push_str(&text),
            Piecemeal::Refusal(text) => refusal.push_str(&text),
            Piecemeal::Reasoning(text) => reasoning.push_str(&text),
            Piecemeal::Call { id, name, arguments, .. } => {
                let function = json!({ "name": name, "arguments": arguments });
                calls.push(json!({ "id": id, "type": "function", "function": function }));
            }
        }
    }
    let text = |text: String| if text.is_empty() { Value::Null } else { text.into() };
    let nothing = content.is_empty() && !calls.is_empty();
    let content = if nothing { Value::Null } else { content.into() };
    let mut message = json!({ "role": "assistant", "content": content, "refusal": text(refusal) });
    if !reasoning.is_empty() {
        message["reasoning_content"] = reasoning.into();
    }
    if !choice.citations.is_empty() {
        message["annotations"] = choice.citations.iter().map(cited).collect();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({ "index": index, "message": message, "logprobs": null, "finish_reason": finish })
}

fn cited(source: &Value) -> Value {
    json!({ "type": "url_citation", "url_citation": source })
}

fn finish(reason: FinishReason, calls: bool) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_calls",
        _ if calls => "tool_calls",
        _ => "stop",
    }
}
