//! An answer of another dialect as a response.

use super::Responses;
use super::conversation::{groups, parse};
use crate::relay::dialect::conversation::{Conversation, Unsayable};
use crate::relay::dialect::translate::{Composer, MAX_WAITING, Piecemeal, Said, Translate};
use crate::relay::dialect::{Event, Fault, Request, Usage};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use steam_protocol::receipt::FinishReason;

/// Bytes that an item takes beside its text.
const ITEM_BYTES: usize = 256;

/// What a response says of its request where that says nothing.
const DEFAULTS: [(&str, &str); 11] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_p", "1.0"),
    ("truncation", r#""disabled""#),
];

impl Translate for Responses {
    fn parse(&self, request: &Request) -> Result<Conversation, Unsayable> {
        parse(request)
    }

    fn composer(&self, request: &Request, now_unix: i64, _: u64) -> Box<dyn Composer> {
        Box::new(ResponseComposer::new(request, now_unix))
    }

    fn stated(&self, usage: Option<Usage>) -> String {
        let reasoning = usage.map_or(0, |usage| usage.reasoning);
        json!({ "output_tokens_details": { "reasoning_tokens": reasoning } }).to_string()
    }
}

/// Writes an answer. All of it is kept: the last event repeats it.
#[derive(Debug)]
pub(super) struct ResponseComposer {
    /// The response without its output.
    response: Value,
    groups: Vec<(String, String, String)>,
    /// How the ids of items end.
    id: String,
    items: Vec<Item>,
    /// The place of the text or reasoning that is open, and of each call by its number.
    talk: Option<usize>,
    calls: HashMap<u32, usize>,
    /// Bytes of the items.
    kept: usize,
    sequence: u64,
    finished: bool,
}

/// An item of the output.
#[derive(Debug)]
struct Item {
    kind: Kind,
    text: String,
    /// Of a text: what it cites.
    annotations: Vec<Value>,
    /// Of a call: its id and the function's name.
    call: (String, String),
    open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
    /// A call, and its number.
    Call(u32),
}

/// The event of a piece, which comes as often as tokens do.
#[derive(Serialize)]
struct Delta<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<u32>,
    delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

impl ResponseComposer {
    fn new(request: &Request, now_unix: i64) -> Self {
        let object = request.body.object();
        let mut response = json!({
            "id": "", "object": "response", "created_at": now_unix, "status": "in_progress", "error": null,
            "incomplete_details": null, "model": "", "output": [], "previous_response_id": null, "store": false, "usage": null,
        });
        for (name, usual) in DEFAULTS {
            response[name] = serde_json::from_str(object.get(name).unwrap_or(usual)).unwrap_or_default();
        }
        let groups = groups(&response["tools"]);
        let (id, items, calls) = (String::new(), Vec::new(), HashMap::new());
        Self { response, groups, id, items, talk: None, calls, kept: 0, sequence: 0, finished: false }
    }

    fn name(&mut self, id: &str, model: &str) {
        self.id = id.to_owned();
        self.response["id"] = format!("resp_{id}").into();
        self.response["model"] = model.into();
    }

    fn write(&mut self, kind: &str, members: Value, out: &mut Vec<Bytes>) {
        let mut event = json!({ "type": kind, "sequence_number": self.sequence });
        if let (Some(event), Value::Object(members)) = (event.as_object_mut(), members) {
            event.extend(members);
        }
        self.sequence += 1;
        out.push(event.to_string().into());
    }

    /// Adds to the item of this kind that is open, or opens one.
    fn add(&mut self, kind: Kind, text: &str, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        self.kept += text.len();
        if self.kept > MAX_WAITING {
            return Err(Fault::Malformed);
        }
        let open = match kind {
            Kind::Call(call) => self.calls.get(&call).copied(),
            Kind::Text | Kind::Refusal | Kind::Reasoning => self.talk.filter(|place| self.items[*place].kind == kind),
        };
        let place = match open {
            Some(place) => place,
            None => self.open(kind, (String::new(), String::new()), out),
        };
        if text.is_empty() {
            return Ok(());
        }
        self.items[place].text.push_str(text);
        let (event, content_index, summary_index) = match kind {
            Kind::Text => ("response.output_text.delta", Some(0), None),
            Kind::Refusal => ("response.refusal.delta", Some(0), None),
            Kind::Reasoning => ("response.reasoning_summary_text.delta", None, Some(0)),
            Kind::Call(_) => ("response.function_call_arguments.delta", None, None),
        };
        let delta = Delta {
            kind: event,
            sequence_number: self.sequence,
            item_id: &self.item_id(place),
            output_index: place,
            content_index,
            summary_index,
            delta: text,
            logprobs: (kind == Kind::Text).then_some([]),
        };
        out.push(serde_json::to_vec(&delta).map_err(|_| Fault::Malformed)?.into());
        self.sequence += 1;
        Ok(())
    }

    fn last_text(&self) -> Option<usize> {
        self.items.iter().rposition(|item| item.kind == Kind::Text)
    }

    /// Adds to what the last text cites. One that is done already has it in the last event.
    fn cite(&mut self, source: &Value, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let Some(place) = self.last_text() else { return Ok(()) };
        let annotation = annotation(source);
        self.kept += annotation.to_string().len();
        if self.kept > MAX_WAITING {
            return Err(Fault::Malformed);
        }
        if self.items[place].open {
            let mut members = self.place(place);
            members["annotation_index"] = self.items[place].annotations.len().into();
            members["annotation"] = annotation.clone();
            self.write("response.output_text.annotation.added", members, out);
        }
        self.items[place].annotations.push(annotation);
        Ok(())
    }

    /// Opens an item; those of text and reasoning before it are done.
    fn open(&mut self, kind: Kind, call: (String, String), out: &mut Vec<Bytes>) -> usize {
        if let Some(talk) = self.talk.take() {
            self.close(talk, out);
        }
        let place = self.items.len();
        match kind {
            Kind::Call(call) => _ = self.calls.insert(call, place),
            Kind::Text | Kind::Refusal | Kind::Reasoning => self.talk = Some(place),
        }
        self.kept += ITEM_BYTES;
        self.items.push(Item { kind, text: String::new(), annotations: Vec::new(), call, open: true });
        let item = self.item(place, "in_progress");
        self.write("response.output_item.added", json!({ "output_index": place, "item": item }), out);
        if let Some((part, event)) = self.part(place, "added") {
            let mut members = self.place(place);
            members["part"] = part;
            self.write(&event, members, out);
        }
        place
    }

    fn close(&mut self, place: usize, out: &mut Vec<Bytes>) {
        if !std::mem::replace(&mut self.items[place].open, false) {
            return;
        }
        let text = self.items[place].text.clone();
        let (event, member) = match self.items[place].kind {
            Kind::Text => ("response.output_text.done", "text"),
            Kind::Refusal => ("response.refusal.done", "refusal"),
            Kind::Reasoning => ("response.reasoning_summary_text.done", "text"),
            Kind::Call(_) => ("response.function_call_arguments.done", "arguments"),
        };
        let mut members = self.place(place);
        members[member] = text.into();
        match self.items[place].kind {
            Kind::Text => members["logprobs"] = json!([]),
            Kind::Call(_) => members["name"] = self.function(place).0.into(),
            Kind::Refusal | Kind::Reasoning => {}
        }
        self.write(event, members, out);
        if let Some((part, event)) = self.part(place, "done") {
            let mut members = self.place(place);
            members["part"] = part;
            self.write(&event, members, out);
        }
        let item = self.item(place, "completed");
        self.write("response.output_item.done", json!({ "output_index": place, "item": item }), out);
    }

    /// The members that say which part of which item an event is of.
    fn place(&self, place: usize) -> Value {
        let mut members = json!({ "item_id": self.item_id(place), "output_index": place });
        match self.items[place].kind {
            Kind::Text | Kind::Refusal => members["content_index"] = 0.into(),
            Kind::Reasoning => members["summary_index"] = 0.into(),
            Kind::Call(_) => {}
        }
        members
    }

    fn item_id(&self, place: usize) -> String {
        let prefix = match self.items[place].kind {
            Kind::Text | Kind::Refusal => "msg",
            Kind::Reasoning => "rs",
            Kind::Call(_) => "fc",
        };
        format!("{prefix}_{}_{place}", self.id)
    }

    /// The part of an item as it is, and the event that says that it was `added` or is `done`.
    fn part(&self, place: usize, what: &str) -> Option<(Value, String)> {
        let Item { kind, text, annotations, .. } = &self.items[place];
        match kind {
            Kind::Text => {
                let part = json!({ "type": "output_text", "text": text, "annotations": annotations, "logprobs": [] });
                Some((part, format!("response.content_part.{what}")))
            }
            Kind::Refusal => {
                Some((json!({ "type": "refusal", "refusal": text }), format!("response.content_part.{what}")))
            }
            Kind::Reasoning => {
                let part = json!({ "type": "summary_text", "text": text });
                Some((part, format!("response.reasoning_summary_part.{what}")))
            }
            Kind::Call(_) => None,
        }
    }

    /// An item as it is: one in progress is announced without its part.
    fn item(&self, place: usize, status: &str) -> Value {
        let Item { kind, text, call, .. } = &self.items[place];
        let id = self.item_id(place);
        let parts: Vec<Value> =
            self.part(place, "").into_iter().filter(|_| status == "completed").map(|(part, _)| part).collect();
        match kind {
            Kind::Text | Kind::Refusal => {
                json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": parts })
            }
            Kind::Reasoning => json!({ "id": id, "type": "reasoning", "summary": parts }),
            Kind::Call(_) => {
                let (name, group) = self.function(place);
                let mut item = json!({
                    "id": id, "type": "function_call", "status": status, "call_id": call.0, "name": name, "arguments": text,
                });
                if let Some(group) = group {
                    item["namespace"] = group.into();
                }
                item
            }
        }
    }

    /// The function that a call names, and its group.
    fn function(&self, place: usize) -> (String, Option<String>) {
        let said = &self.items[place].call.1;
        match self.groups.iter().find(|(joined, ..)| joined == said) {
            Some((_, group, name)) => (name.clone(), Some(group.clone())),
            None => (said.clone(), None),
        }
    }

    /// The whole response, which ended for this reason.
    fn ended(&self, reason: FinishReason) -> Value {
        let mut response = self.response.clone();
        let details = match reason {
            FinishReason::Length => Some("max_output_tokens"),
            FinishReason::ContentFilter => Some("content_filter"),
            _ => None,
        };
        response["status"] = if details.is_some() { "incomplete" } else { "completed" }.into();
        if let Some(reason) = details {
            response["incomplete_details"] = json!({ "reason": reason });
        }
        response["output"] = (0..self.items.len()).map(|place| self.item(place, "completed")).collect();
        response
    }

    fn finish(&mut self, reason: FinishReason, out: &mut Vec<Bytes>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        for place in 0..self.items.len() {
            self.close(place, out);
        }
        let response = self.ended(reason);
        let kind = if response["status"] == "completed" { "response.completed" } else { "response.incomplete" };
        self.write(kind, json!({ "response": response }), out);
    }
}

fn annotation(source: &Value) -> Value {
    let mut annotation = json!({ "type": "url_citation" });
    if let (Some(annotation), Value::Object(source)) = (annotation.as_object_mut(), source) {
        annotation.extend(source.clone());
    }
    annotation
}

impl Composer for ResponseComposer {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match *event {
            Event::Begin { id, model } => {
                self.name(id, model);
                for kind in ["response.created", "response.in_progress"] {
                    self.write(kind, json!({ "response": self.response }), out);
                }
                Ok(())
            }
            Event::Text { text, .. } if !text.is_empty() => self.add(Kind::Text, text, out),
            Event::Refusal { text, .. } if !text.is_empty() => self.add(Kind::Refusal, text, out),
            Event::Reasoning { text, .. } if !text.is_empty() => self.add(Kind::Reasoning, text, out),
            Event::Call { call, id, name, arguments, .. } => {
                if !self.calls.contains_key(&call) {
                    self.open(Kind::Call(call), (id.to_owned(), name.to_owned()), out);
                }
                self.add(Kind::Call(call), arguments, out)
            }
            Event::Citation { source, .. } => self.cite(source, out),
            Event::Finish { reason, .. } => {
                self.finish(reason, out);
                Ok(())
            }
            // A provider was asked for nothing that responses have no word for.
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

    fn end(&mut self, out: &mut Vec<Bytes>) {
        self.finish(FinishReason::Stop, out);
    }

    fn whole(&mut self, said: Said) -> String {
        self.name(&said.id, &said.model);
        let choice = said.choices.into_iter().next().unwrap_or_default();
        for part in choice.parts {
            let nothing = (String::new(), String::new());
            let (kind, text, call) = match part {
                Piecemeal::Text(text) => (Kind::Text, text, nothing),
                Piecemeal::Refusal(text) => (Kind::Refusal, text, nothing),
                Piecemeal::Reasoning(text) => (Kind::Reasoning, text, nothing),
                Piecemeal::Call { number, id, name, arguments } => (Kind::Call(number), arguments, (id, name)),
            };
            self.items.push(Item { kind, text, annotations: Vec::new(), call, open: false });
        }
        if let Some(place) = self.last_text() {
            self.items[place].annotations = choice.citations.iter().map(annotation).collect();
        }
        let mut response = self.ended(choice.finish.unwrap_or(FinishReason::Stop));
        // Its place is where the billed usage goes.
        if let Some(members) = response.as_object_mut() {
            members.shift_remove("usage");
        }
        response.to_string()
    }
}
