//! What a provider of responses sends: events of a stream, or a whole answer.

use crate::relay::dialect::event;
use crate::relay::dialect::openai::{Citations, count};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Stated, Usage, Whole};
use crate::relay::json::{self, Text, place};
use crate::relay::sse::{self, Name};
use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use steam_protocol::receipt::FinishReason;

/// The items that call something of the client's.
const CALLS: [&str; 2] = ["function_call", "custom_tool_call"];

/// Reads an answer.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    begun: bool,
    called: bool,
    citations: Citations,
    /// What was said already. Some providers say a text in pieces, some at its end, some in the whole response alone.
    said: BTreeSet<Said>,
}

/// A text of the answer: which item's, of what kind, and which part's.
type Said = (u32, Kind, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Text or a refusal.
    Text,
    Summary,
    Reasoning,
    /// A call's id and name.
    Call,
    Arguments,
    /// Something without a word here.
    Other,
}

/// An event of a stream.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "index")]
    output_index: u32,
    #[serde(default, deserialize_with = "index")]
    content_index: u32,
    #[serde(default, deserialize_with = "index")]
    summary_index: u32,
    #[serde(borrow, default)]
    annotation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<Text<'a>>,
}

/// A whole answer.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    incomplete_details: Option<Value>,
    #[serde(default)]
    output: Option<Vec<Value>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

impl Reader for ResponseReader {
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        if event.name == Name::Error {
            return Err(reported(&event.data));
        }
        let mut repaired = None;
        let (chunk, data) = json::lenient_piece::<Chunk<'_>>(&event.data, &mut repaired).ok_or(Fault::Malformed)?;
        match optional(&chunk.kind) {
            _ if chunk.error.is_some() => return Err(reported(data)),
            "error" | "response.failed" => return Err(reported(data)),
            "response.created" => {
                let json = chunk.response.ok_or(Fault::Malformed)?.get();
                let response = read(json)?;
                if response.failed() {
                    return Err(reported(json.as_bytes()));
                }
                self.begin(&response, say)?;
            }
            "response.completed" | "response.incomplete" => {
                let response = chunk.response.ok_or(Fault::Malformed)?.get();
                self.end(&read(response)?, response, say)?;
                return Ok(Piece::End(vec![data.clone()]));
            }
            kind => self.part(kind, &chunk, say)?,
        }
        Ok(Piece::Data(data.clone()))
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let mut repaired = None;
        let (response, body) = json::lenient::<Response<'_>>(&body, &mut repaired).ok_or(Fault::Malformed)?;
        let json = std::str::from_utf8(body).map_err(|_| Fault::Malformed)?;
        self.end(&response, json, say)?;
        let usage = response.usage.map(|usage| place(json, usage.get()));
        Ok(Whole { body: body.clone(), usage })
    }
}

impl ResponseReader {
    /// A part of the output, or the end of one.
    fn part(&mut self, kind: &str, chunk: &Chunk<'_>, say: &mut Say<'_>) -> Result<(), Fault> {
        let (choice, call) = (0, chunk.output_index);
        let key = match kind {
            "response.output_text.delta" | "response.output_text.done" => (call, Kind::Text, chunk.content_index),
            "response.refusal.delta" | "response.refusal.done" => (call, Kind::Text, chunk.content_index),
            "response.reasoning_summary_text.delta" | "response.reasoning_summary_text.done" => {
                (call, Kind::Summary, chunk.summary_index)
            }
            "response.reasoning_text.delta" | "response.reasoning_text.done" => {
                (call, Kind::Reasoning, chunk.content_index)
            }
            "response.function_call_arguments.delta"
            | "response.function_call_arguments.done"
            | "response.custom_tool_call_input.delta"
            | "response.custom_tool_call_input.done" => (call, Kind::Arguments, 0),
            "response.output_text.annotation.added" => {
                let cited: Value =
                    serde_json::from_str(chunk.annotation.map_or("null", RawValue::get)).unwrap_or_default();
                return self.cited(&cited, say);
            }
            "response.output_item.added" | "response.output_item.done" => {
                let json = chunk.item.ok_or(Fault::Malformed)?.get();
                let announced = kind.ends_with(".added");
                // An item that is announced says nothing yet but which function it calls.
                if announced && !CALLS.contains(&&*event::kind(json)) {
                    return Ok(());
                }
                let item: Value = serde_json::from_str(json).unwrap_or_default();
                return if announced { self.call(call, &item, say) } else { self.item(call, &item, say) };
            }
            _ => return Ok(()),
        };
        let full = [&chunk.text, &chunk.refusal, &chunk.arguments, &chunk.input].into_iter().flatten().next();
        let text = match (chunk.delta, full) {
            (Some(delta), _) if kind.ends_with(".delta") => {
                self.said.insert(key);
                json::text_of(delta.get()).ok_or(Fault::Malformed)?
            }
            (_, Some(Text(full))) if self.said.insert(key) => Cow::Borrowed(full.as_ref()),
            _ => return Ok(()),
        };
        match key.1 {
            Kind::Text if kind.starts_with("response.refusal") => say(Event::Refusal { choice, text: &text }),
            Kind::Text => say(Event::Text { choice, text: &text }),
            Kind::Summary | Kind::Reasoning => say(Event::Reasoning { choice, text: &text }),
            Kind::Arguments => say(Event::Call { choice, call, id: "", name: "", arguments: &text }),
            Kind::Call | Kind::Other => Ok(()),
        }
    }

    fn begin(&mut self, response: &Response<'_>, say: &mut Say<'_>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        say(Event::Begin { id: optional(&response.id), model: optional(&response.model) })
    }

    /// A whole answer, or the end of a stream: says what was not said before.
    fn end(&mut self, response: &Response<'_>, json: &str, say: &mut Say<'_>) -> Result<(), Fault> {
        if response.failed() {
            return Err(reported(json.as_bytes()));
        }
        // Who has streamed everything may leave it out at the end.
        let output = match response.output.as_deref() {
            None if self.said.is_empty() => return Err(Fault::Malformed),
            output => output.unwrap_or_default(),
        };
        self.repeated(output);
        self.begin(response, say)?;
        for (place, item) in (0..).zip(output) {
            self.item(place, item, say)?;
        }
        let reason = match response.incomplete_details.as_ref().and_then(|details| details["reason"].as_str()) {
            Some("max_output_tokens") => FinishReason::Length,
            Some("content_filter") => FinishReason::ContentFilter,
            Some(_) => FinishReason::Other,
            None if optional(&response.status) == "incomplete" => FinishReason::Length,
            None if self.called => FinishReason::ToolCalls,
            None => FinishReason::Stop,
        };
        say(Event::Finish { choice: 0, reason, stop: None })?;
        match response.usage.map(RawValue::get).filter(|usage| *usage != "null") {
            Some(stated) => say(Event::Usage { usage: usage(stated), stated }),
            None => Ok(()),
        }
    }

    /// Notes what the last event repeats of a stream whose events number it otherwise, or not at all: where as much was said of a
    /// kind as the whole answer has, it has nothing more of it.
    fn repeated(&mut self, output: &[Value]) {
        for kind in [Kind::Text, Kind::Summary, Kind::Reasoning, Kind::Call, Kind::Arguments] {
            let whole = (0..).zip(output).flat_map(|(place, item)| keys(place, item, kind)).collect::<Vec<Said>>();
            let said = self.said.iter().filter(|(_, known, _)| *known == kind).count();
            if said > 0 && said >= whole.len() {
                self.said.extend(whole);
            }
        }
    }

    /// An item of the output, complete.
    fn item(&mut self, place: u32, item: &Value, say: &mut Say<'_>) -> Result<(), Fault> {
        let choice = 0;
        let parts = |name: &str| (0..).zip(item[name].as_array().into_iter().flatten());
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                for (part, said) in parts("content") {
                    let new = self.said.insert((place, Kind::Text, part));
                    match said["type"].as_str() {
                        Some("refusal") if new => say(Event::Refusal { choice, text: text(&said["refusal"]) })?,
                        Some("refusal") => {}
                        _ if new => say(Event::Text { choice, text: text(&said["text"]) })?,
                        _ => {}
                    }
                    for cited in said["annotations"].as_array().into_iter().flatten() {
                        self.cited(cited, say)?;
                    }
                }
                Ok(())
            }
            "reasoning" => {
                for (name, kind) in [("summary", Kind::Summary), ("content", Kind::Reasoning)] {
                    for (part, said) in parts(name) {
                        if self.said.insert((place, kind, part)) {
                            say(Event::Reasoning { choice, text: text(&said["text"]) })?;
                        }
                    }
                }
                Ok(())
            }
            "function_call" | "custom_tool_call" => {
                self.call(place, item, say)?;
                if !self.said.insert((place, Kind::Arguments, 0)) {
                    return Ok(());
                }
                let arguments = if item["type"] == "function_call" { &item["arguments"] } else { &item["input"] };
                say(Event::Call { choice, call: place, id: "", name: "", arguments: text(arguments) })
            }
            other if self.said.insert((place, Kind::Other, 0)) => say(Event::Other { choice, text: other }),
            _ => Ok(()),
        }
    }

    /// What a text cites.
    fn cited(&mut self, cited: &Value, say: &mut Say<'_>) -> Result<(), Fault> {
        let source = self.citations.next(0, cited).filter(|_| cited["type"] == "url_citation");
        source.map_or(Ok(()), |source| say(Event::Citation { choice: 0, source: &source }))
    }

    /// The id and the name of a call, if `item` is one, once.
    fn call(&mut self, place: u32, item: &Value, say: &mut Say<'_>) -> Result<(), Fault> {
        let is_call = CALLS.iter().any(|kind| item["type"] == *kind);
        if !is_call || !self.said.insert((place, Kind::Call, 0)) {
            return Ok(());
        }
        self.called = true;
        let (id, name) = (text(&item["call_id"]), text(&item["name"]));
        say(Event::Call { choice: 0, call: place, id, name, arguments: "" })
    }
}

/// What an item has of this kind.
fn keys(place: u32, item: &Value, kind: Kind) -> Vec<Said> {
    let parts = |name: &str| item[name].as_array().map_or(0, Vec::len) as u32;
    let count = match (item["type"].as_str().unwrap_or_default(), kind) {
        ("message", Kind::Text) => parts("content"),
        ("reasoning", Kind::Summary) => parts("summary"),
        ("reasoning", Kind::Reasoning) => parts("content"),
        (called, Kind::Call | Kind::Arguments) if CALLS.contains(&called) => 1,
        _ => 0,
    };
    (0..count).map(|part| (place, kind, part)).collect()
}

impl Response<'_> {
    /// Whether its provider gave it up.
    fn failed(&self) -> bool {
        matches!(optional(&self.status), "failed" | "cancelled")
            || self.error.as_ref().is_some_and(|error| !error.is_null())
    }
}

fn optional<'a>(text: &'a Option<Text<'_>>) -> &'a str {
    text.as_ref().map_or("", |Text(text)| text)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A place; what is none is the first.
fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Index;
    impl<'de> Visitor<'de> for Index {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a place")
        }

        fn visit_u64<E>(self, place: u64) -> Result<u32, E> {
            Ok(u32::try_from(place).unwrap_or(0))
        }

        fn visit_i64<E>(self, _: i64) -> Result<u32, E> {
            Ok(0)
        }

        fn visit_f64<E>(self, _: f64) -> Result<u32, E> {
            Ok(0)
        }

        fn visit_bool<E>(self, _: bool) -> Result<u32, E> {
            Ok(0)
        }

        fn visit_str<E>(self, _: &str) -> Result<u32, E> {
            Ok(0)
        }

        fn visit_unit<E>(self) -> Result<u32, E> {
            Ok(0)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u32, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(0)
        }
    }
    deserializer.deserialize_any(Index)
}

fn read(json: &str) -> Result<Response<'_>, Fault> {
    serde_json::from_str(json).map_err(|_| Fault::Malformed)
}

fn reported(data: &[u8]) -> Fault {
    Fault::Reported(Box::new(Stated::read(&String::from_utf8_lossy(data))))
}

/// Reads a `usage` object. `None` if it lacks a count, or one is no count.
fn usage(stated: &str) -> Option<Usage> {
    let usage: Value = serde_json::from_str(stated).ok()?;
    Some(Usage {
        prompt: count(&usage["input_tokens"])?,
        cached: count(&usage["input_tokens_details"]["cached_tokens"]).unwrap_or(0),
        cache_write: count(&usage["input_tokens_details"]["cache_write_tokens"]).unwrap_or(0),
        cache_write_long: 0,
        completion: count(&usage["output_tokens"])?,
        reasoning: count(&usage["output_tokens_details"]["reasoning_tokens"]).unwrap_or(0),
    })
}
