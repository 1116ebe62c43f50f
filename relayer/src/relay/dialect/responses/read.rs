//! A request for a response: the members that decide who serves it and what it may cost.

use super::{BETA, Responses};
use crate::relay::controls::Controls;
use crate::relay::dialect::media::Media;
use crate::relay::dialect::parameters::required;
use crate::relay::dialect::prompts::{CHAT_FORMAT, TOOLS_FORMAT};
use crate::relay::dialect::read::{
    Kind, document, field, fingerprint, kinds, kinds_at, limit, models, object, origin, sampling, tools, wrong,
};
use crate::relay::dialect::{CacheMarks, Image, Prompt, Reasoning, Request, Translations};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use steam_router::state::capability;

/// Parameters that every provider of responses knows, and the capability that covers each other one.
const PARAMETERS: [(&str, u64); 24] = [
    ("model", 0),
    ("models", 0),
    ("provider", 0),
    ("input", 0),
    ("instructions", 0),
    ("max_output_tokens", 0),
    ("temperature", 0),
    ("top_p", 0),
    ("stream", 0),
    ("stream_options", 0),
    ("store", 0),
    ("metadata", 0),
    ("client_metadata", 0),
    ("user", 0),
    ("safety_identifier", 0),
    ("service_tier", 0),
    ("prompt_cache_key", 0),
    ("include", 0),
    ("truncation", 0),
    ("text", 0),
    ("tools", 0),
    ("tool_choice", capability::TOOLS),
    ("parallel_tool_calls", capability::TOOLS),
    ("reasoning", capability::REASONING),
];

/// Members that only the provider reads, and what each must be.
const KINDS: [(&str, Kind); 13] = [
    ("top_logprobs", Kind::Integer),
    ("max_tool_calls", Kind::Integer),
    ("parallel_tool_calls", Kind::Flag),
    ("user", Kind::Text),
    ("service_tier", Kind::Text),
    ("truncation", Kind::Text),
    ("prompt_cache_key", Kind::Text),
    ("safety_identifier", Kind::Text),
    ("include", Kind::Texts),
    ("metadata", Kind::Object),
    ("client_metadata", Kind::Object),
    ("stream_options", Kind::Object),
    ("tool_choice", Kind::Choice),
];

/// Tokens around an item of the history.
const ITEM_OVERHEAD: u64 = 5;

/// Members with which no client can make an honest provider look bad.
const HARMLESS: [&str; 13] = [
    "input",
    "instructions",
    "max_output_tokens",
    "tools",
    "tool_choice",
    "max_tool_calls",
    "text",
    "include",
    "background",
    "truncation",
    "top_logprobs",
    "previous_response_id",
    "client_metadata",
];

/// What the history holds besides text.
#[derive(Default)]
struct Found {
    items: u32,
    images: Vec<Image>,
    media: Media,
    needs: u64,
    /// The ids of all calls, and the places of those of the client's tools without an output.
    calls: HashSet<String>,
    open: HashMap<String, usize>,
}

/// Reads a body, and of the headers those that steer routing or that providers of this dialect get.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field or header.
pub(super) fn request(body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
    let body = document(body)?;
    let members = body.object();
    let mut controls = Controls::read(&members, headers)?;
    let models = models(&members, &mut controls)?;
    stateless(&members)?;
    let text = members.get("input").ok_or_else(|| {
        RelayError::invalid("missing_input", "input", "send an `input`: a string or an array of items")
    })?;
    let found = Found::read(text)?;
    field::<String>(&members, "instructions", "a string")?;
    let stream = field(&members, "stream", "true or false")?.unwrap_or(false);
    let mut needs = found.needs | needs(&members, stream)?;
    if controls.require_parameters {
        needs |= required(&members, &PARAMETERS)?;
    }
    let max_output = limit(&members, "max_output_tokens", 1)?;
    let origin = origin(&members, &models, &controls, &HARMLESS);
    Ok(Request {
        dialect: &Responses,
        models,
        stream,
        include_usage: true,
        max_output,
        choices: 1,
        prompts: 1,
        needs,
        images: found.images,
        origin,
        controls,
        messages: found.items,
        fingerprint: fingerprint(text),
        text_bytes: (body.text().len() as u64).saturating_sub(found.media.bytes),
        media_tokens: found.media.tokens,
        reasoning: reasoning(&members)?,
        prompt: body.place(text),
        headers: headers.get_all(&BETA).iter().map(|value| (BETA, value.clone())).collect(),
        caching: CacheMarks::of(body.text()),
        body,
        translations: Translations::default(),
    })
}

/// Refuses what needs answers to be kept.
fn stateless(object: &Object<'_>) -> Result<(), RelayError> {
    let refuse = |name: &str| {
        let message =
            format!("`{name}` needs answers that are kept, and none are kept here: send the whole history in `input`");
        Err(RelayError::invalid("unsupported_parameter", name, message))
    };
    for name in ["previous_response_id", "conversation"] {
        if object.get(name).is_some() {
            return refuse(name);
        }
    }
    for name in ["store", "background"] {
        if field(object, name, "true or false")?.unwrap_or(false) {
            return refuse(name);
        }
    }
    Ok(())
}

fn needs(object: &Object<'_>, stream: bool) -> Result<u64, RelayError> {
    let mut needs = if stream { capability::STREAMING } else { 0 };
    needs |= if tools(object, None)? { capability::TOOLS } else { 0 };
    sampling(object, "stop")?;
    kinds(object, &KINDS)?;
    let text = self::object(object, "text")?;
    if let Some(text) = &text {
        kinds_at("text", text, &[("verbosity", Kind::Text)])?;
    }
    if let Some(format) = text.as_ref().map(|text| named(text, "text", "format")).transpose()?.flatten() {
        kinds_at("text.format", &format, &[("type", Kind::Text), ("name", Kind::Text), ("schema", Kind::Object)])?;
        match field::<String>(&format, "type", "a string")?.as_deref() {
            None | Some("text") => {}
            Some("json_object") => needs |= capability::JSON_MODE,
            Some("json_schema") => needs |= capability::JSON_SCHEMA,
            Some(_) => return Err(wrong("text.format.type", "text, json_object or json_schema")),
        }
    }
    Ok(needs)
}

/// The object `name` in the member `of`.
fn named<'a>(members: &Object<'a>, of: &str, name: &str) -> Result<Option<Object<'a>>, RelayError> {
    let read = members.get(name).map(Object::read).transpose();
    read.map_err(|_| wrong(&format!("{of}.{name}"), "an object"))
}

/// Whether the request asks for reasoning.
fn reasoning(object: &Object<'_>) -> Result<Reasoning, RelayError> {
    let Some(reasoning) = self::object(object, "reasoning")? else { return Ok(Reasoning::Usual) };
    kinds_at("reasoning", &reasoning, &[("effort", Kind::Text), ("summary", Kind::Text)])?;
    Ok(match reasoning.get("effort") {
        None => Reasoning::Usual,
        Some(r#""none""#) => Reasoning::Off,
        Some(_) => Reasoning::Asked,
    })
}

impl Found {
    fn read(input: &str) -> Result<Self, RelayError> {
        let kinds = "a string or an array of items, not empty";
        let input: Value = serde_json::from_str(input).map_err(|_| wrong("input", kinds))?;
        let mut found = Self { items: 1, ..Self::default() };
        match &input {
            Value::String(text) if !text.is_empty() => {}
            Value::Array(items) if !items.is_empty() => {
                found.items = u32::try_from(items.len()).unwrap_or(u32::MAX);
                for (place, item) in items.iter().enumerate() {
                    found.item(item).and_then(|()| found.call(place, item)).map_err(|what| invalid(place, what))?;
                }
                if let Some(place) = found.open.values().min() {
                    return Err(invalid(*place, "the call has no output: send one, of the same `call_id`, after it"));
                }
            }
            _ => return Err(wrong("input", kinds)),
        }
        Ok(found)
    }

    fn item(&mut self, item: &Value) -> Result<(), &'static str> {
        let Some(members) = item.as_object() else { return Err("an item must be an object") };
        match item["type"].as_str() {
            None | Some("message") => {
                let known = ["user", "assistant", "system", "developer"];
                if !item["role"].as_str().is_some_and(|role| known.contains(&role)) {
                    return Err("the role must be user, assistant, system or developer");
                }
                if !members.get("content").is_some_and(|content| content.is_string() || content.is_array()) {
                    return Err("`content` must be a string or an array of parts");
                }
            }
            Some("item_reference") => return Err("nothing is kept here to refer to: send the item itself"),
            Some("function_call") if !item["call_id"].is_string() || !item["name"].is_string() => {
                return Err("a call needs `call_id` and `name`");
            }
            Some("function_call") if !item["arguments"].is_null() && !item["arguments"].is_string() => {
                return Err("the `arguments` of a call must be a string of JSON");
            }
            Some("custom_tool_call") if !item["call_id"].is_string() || !item["name"].is_string() => {
                return Err("a call needs `call_id` and `name`");
            }
            Some("function_call_output" | "custom_tool_call_output")
                if !item["call_id"].is_string() || !(item["output"].is_string() || item["output"].is_array()) =>
            {
                return Err("the output of a call needs `call_id`, and `output` as a string or an array of parts");
            }
            Some(_) => {}
        }
        for name in ["content", "output"] {
            let Some(parts) = item[name].as_array() else { continue };
            if parts.is_empty() && item["type"] != "reasoning" {
                return Err("its parts must not be an empty array: leave the item out, or send a text");
            }
            parts.iter().try_for_each(|part| self.part(part))?;
        }
        Ok(())
    }

    /// Notes a call, or that it has an output: an output needs its call before it.
    fn call(&mut self, place: usize, item: &Value) -> Result<(), &'static str> {
        let (Some(kind), Some(id)) = (item["type"].as_str(), item["call_id"].as_str()) else { return Ok(()) };
        if kind.ends_with("_call") {
            self.calls.insert(id.to_owned());
            if ["function_call", "custom_tool_call"].contains(&kind) {
                self.open.entry(id.to_owned()).or_insert(place);
            }
        } else if kind.ends_with("_call_output") {
            if !self.calls.contains(id) {
                return Err("the output's `call_id` is that of no call before it");
            }
            self.open.remove(id);
        }
        Ok(())
    }

    fn part(&mut self, part: &Value) -> Result<(), &'static str> {
        let length = |name: &str| part[name].as_str().map(str::len);
        match part["type"].as_str() {
            Some("input_image") => {
                let detail = part["detail"].as_str();
                // What is not sent along is kept by the provider, under the name that it gave.
                let kept = part["image_url"].is_null() && part["file_id"].is_string();
                let url = part["image_url"].as_str().unwrap_or_default();
                self.images.push(if kept { Image::default() } else { Image::at(url, detail)? });
                self.media.image(url.len());
                self.needs |= capability::VISION;
            }
            Some("input_file") => {
                self.media.document(length("file_data"));
                self.needs |= capability::FILE_INPUT;
            }
            Some("input_audio") => {
                self.media.audio(part["input_audio"]["data"].as_str().map_or(0, str::len));
                self.needs |= capability::AUDIO_INPUT;
            }
            Some("input_text" | "output_text") if !part["text"].is_string() => return Err("a text needs `text`"),
            Some(_) => {}
            None => return Err("a part needs a `type`"),
        }
        Ok(())
    }
}

fn invalid(place: usize, what: &str) -> RelayError {
    let path = format!("input.{place}");
    RelayError::invalid("invalid_input", &path, format!("`{path}`: {what}"))
}

/// The texts of a request that a model reads, and the tokens around them.
pub(super) fn prompt(object: &Object<'_>) -> Prompt {
    let format = if object.get("tools").is_some() { TOOLS_FORMAT } else { CHAT_FORMAT };
    let mut prompt = Prompt { texts: Vec::new(), overhead: 0, format };
    for name in ["instructions", "tools", "text"] {
        prompt.texts.extend(object.get(name).map(str::to_owned));
    }
    match object.get("input").and_then(|input| serde_json::from_str::<Value>(input).ok()) {
        Some(Value::String(text)) => prompt.texts.push(text),
        Some(Value::Array(items)) => {
            prompt.overhead = ITEM_OVERHEAD.saturating_mul(items.len() as u64);
            items.iter().for_each(|item| texts(item, &mut prompt.texts));
        }
        _ => {}
    }
    prompt
}

fn texts(item: &Value, texts: &mut Vec<String>) {
    for name in ["content", "output", "arguments", "name", "input"] {
        match &item[name] {
            Value::String(text) => texts.push(text.clone()),
            Value::Array(parts) => {
                texts.extend(parts.iter().filter_map(|part| part["text"].as_str()).map(str::to_owned))
            }
            _ => {}
        }
    }
}
