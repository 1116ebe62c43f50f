//! What a provider of responses sends: events of a stream, or a whole answer.

use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Usage, Whole};
use crate::relay::json::{Text, place};
use crate::relay::sse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use steam_protocol::receipt::FinishReason;

/// Reads an answer.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    begun: bool,
    /// Whether a stream has said anything, or its end says all.
    said: bool,
    called: bool,
}

/// An event of a stream.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(default)]
    output_index: u32,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
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
        let json = std::str::from_utf8(&event.data).map_err(|_| Fault::Malformed)?;
        let chunk: Chunk<'_> = serde_json::from_str(json).map_err(|_| Fault::Malformed)?;
        let (choice, call) = (0, chunk.output_index);
        let delta = || -> Result<Cow<'_, str>, Fault> {
            let delta = chunk.delta.ok_or(Fault::Malformed)?;
            serde_json::from_str::<Text<'_>>(delta.get()).map(|Text(text)| text).map_err(|_| Fault::Malformed)
        };
        match chunk.kind.0.as_ref() {
            "error" | "response.failed" => return Err(reported(json)),
            "response.output_text.delta" => say(Event::Text { choice, text: &delta()? })?,
            "response.refusal.delta" => say(Event::Refusal { choice, text: &delta()? })?,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                say(Event::Reasoning { choice, text: &delta()? })?;
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                say(Event::Call { choice, call, id: "", name: "", arguments: &delta()? })?;
            }
            "response.output_item.added" => {
                let item: Value = serde_json::from_str(chunk.item.ok_or(Fault::Malformed)?.get()).unwrap_or_default();
                if is_call(&item) {
                    self.called = true;
                    say_call(call, &item, "", say)?;
                }
            }
            "response.completed" | "response.incomplete" => {
                self.end(chunk.response.ok_or(Fault::Malformed)?.get(), say)?;
                return Ok(Piece::End(vec![event.data.clone()]));
            }
            "response.created" => {
                let response = read(chunk.response.ok_or(Fault::Malformed)?.get())?;
                self.begin(&response, say)?;
            }
            _ => {}
        }
        self.said |= chunk.kind.0.ends_with(".delta");
        Ok(Piece::Data(event.data.clone()))
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let json = std::str::from_utf8(&body).map_err(|_| Fault::Malformed)?;
        self.end(json, say)?;
        let usage = read(json)?.usage.map(|usage| place(json, usage.get()));
        Ok(Whole { body, usage })
    }
}

impl ResponseReader {
    fn begin(&mut self, response: &Response<'_>, say: &mut Say<'_>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let text =
            |text: &Option<Text<'_>>| text.as_ref().map_or(String::new(), |Text(text)| text.clone().into_owned());
        say(Event::Begin { id: &text(&response.id), model: &text(&response.model) })
    }

    /// A whole answer, or the end of a stream.
    fn end(&mut self, json: &str, say: &mut Say<'_>) -> Result<(), Fault> {
        let response = read(json)?;
        let failed = response.status.as_ref().is_some_and(|Text(status)| status == "failed");
        if failed || response.error.as_ref().is_some_and(|error| !error.is_null()) {
            return Err(reported(json));
        }
        let output = response.output.as_deref().ok_or(Fault::Malformed)?;
        self.begin(&response, say)?;
        if !self.said {
            for (place, item) in output.iter().enumerate() {
                self.item(u32::try_from(place).unwrap_or(u32::MAX), item, say)?;
            }
        }
        let reason = match response.incomplete_details.as_ref().and_then(|details| details["reason"].as_str()) {
            Some("max_output_tokens") => FinishReason::Length,
            Some("content_filter") => FinishReason::ContentFilter,
            Some(_) => FinishReason::Other,
            None if self.called || output.iter().any(is_call) => FinishReason::ToolCalls,
            None => FinishReason::Stop,
        };
        say(Event::Finish { choice: 0, reason, stop: None })?;
        match response.usage.map(RawValue::get).filter(|usage| *usage != "null") {
            Some(stated) => say(Event::Usage { usage: usage(stated), stated }),
            None => Ok(()),
        }
    }

    fn item(&mut self, call: u32, item: &Value, say: &mut Say<'_>) -> Result<(), Fault> {
        let choice = 0;
        let parts = |name: &str| item[name].as_array().map_or(&[][..], Vec::as_slice);
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                for part in parts("content") {
                    match part["type"].as_str() {
                        Some("refusal") => say(Event::Refusal { choice, text: text(&part["refusal"]) })?,
                        _ => say(Event::Text { choice, text: text(&part["text"]) })?,
                    }
                }
                Ok(())
            }
            "reasoning" => {
                let mut said = parts("summary").iter().chain(parts("content"));
                said.try_for_each(|part| say(Event::Reasoning { choice, text: text(&part["text"]) }))
            }
            "function_call" | "custom_tool_call" => {
                self.called = true;
                let arguments = if item["type"] == "function_call" { &item["arguments"] } else { &item["input"] };
                say_call(call, item, text(arguments), say)
            }
            other => say(Event::Other { choice, text: other }),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_call(item: &Value) -> bool {
    ["function_call", "custom_tool_call"].iter().any(|kind| item["type"] == *kind)
}

fn say_call(call: u32, item: &Value, arguments: &str, say: &mut Say<'_>) -> Result<(), Fault> {
    say(Event::Call { choice: 0, call, id: text(&item["call_id"]), name: text(&item["name"]), arguments })
}

fn read(json: &str) -> Result<Response<'_>, Fault> {
    serde_json::from_str(json).map_err(|_| Fault::Malformed)
}

/// The status that the code of an error stands for.
fn reported(json: &str) -> Fault {
    let event: Value = serde_json::from_str(json).unwrap_or_default();
    let places = ["/response/error/code", "/error/code", "/error/type", "/code"];
    let code = places.iter().find_map(|place| event.pointer(place)?.as_str());
    let status = match code {
        Some("rate_limit_exceeded") => Some(429),
        Some("server_error") => Some(500),
        Some("server_is_overloaded" | "slow_down") => Some(503),
        Some("invalid_prompt" | "context_length_exceeded" | "invalid_request_error") => Some(400),
        _ => None,
    };
    Fault::Reported { status }
}

/// Reads a `usage` object. `None` if it lacks a count, or one is no count.
fn usage(stated: &str) -> Option<Usage> {
    let usage: Value = serde_json::from_str(stated).ok()?;
    Some(Usage {
        prompt: usage["input_tokens"].as_u64()?,
        cached: usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        cache_write: usage["input_tokens_details"]["cache_write_tokens"].as_u64().unwrap_or(0),
        cache_write_long: 0,
        completion: usage["output_tokens"].as_u64()?,
        reasoning: usage["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
    })
}
