//! A chat request: the members that decide who serves it and what it may cost are read, everything else goes to the
//! provider in the bytes it came in.

use super::messages::Messages;
use super::{Chat, parameters};
use crate::relay::controls::{Controls, MAX_MODELS, suffix};
use crate::relay::dialect::{Origin, Request};
use crate::relay::error::RelayError;
use crate::relay::json::{Document, Object, Unread};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::hash::{DefaultHasher, Hasher};
use steam_router::state::capability;

/// Most answers to one request.
const MAX_CHOICES: u32 = 16;

/// Reads a body, and of the headers those that steer routing.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field or header.
pub(super) fn request(body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
    let body = Document::read(body).map_err(unread)?;
    let object = body.object();
    let model: Option<String> = field(&object, "model", "a string")?.filter(|model: &String| !model.is_empty());
    let mut controls = Controls::read(&object, headers)?;
    let models = models(model, std::mem::take(&mut controls.models))?;
    let text = object
        .get("messages")
        .ok_or_else(|| RelayError::invalid("missing_messages", "messages", "send at least one message"))?;
    let messages = Messages::read(text)?;
    let stream = field(&object, "stream", "true or false")?.unwrap_or(false);
    let include_usage = include_usage(&object)?;
    let choices = choices(&object)?;
    let mut needs = needs(&object, messages.images, stream)?;
    if controls.require_parameters {
        needs |= parameters::required(&object)?;
    }
    let client_shaped = is_client_shaped(&object, &controls);
    let max_output = max_output(&object)?;
    Ok(Request {
        dialect: &Chat,
        models,
        stream,
        include_usage,
        max_output,
        choices,
        needs,
        images: messages.images,
        controls,
        origin: if client_shaped { Origin::ClientShaped } else { Origin::Open },
        messages: messages.count,
        fingerprint: fingerprint(text),
        text_bytes: (body.text().len() as u64).saturating_sub(messages.image_bytes),
        prompt: body.place(text),
        body,
    })
}

fn unread(error: Unread) -> RelayError {
    RelayError::Invalid { message: error.to_string(), param: None, code: "malformed_body" }
}

/// The request's own model first, then those to fall back on, none of them twice.
fn models(model: Option<String>, mut others: Vec<String>) -> Result<Vec<String>, RelayError> {
    if let Some(model) = model {
        // Clients that must name a `model` name the first of `models`.
        others.retain(|other| suffix(other).0 != suffix(&model).0);
        others.insert(0, model);
    }
    if others.is_empty() {
        return Err(RelayError::invalid("missing_model", "model", "name a model; GET /v1/models lists them"));
    }
    if others.len() > MAX_MODELS {
        let message = format!("`model` and `models` may name {MAX_MODELS} models together");
        return Err(RelayError::invalid("invalid_value", "models", message));
    }
    Ok(others)
}

fn include_usage(object: &Object<'_>) -> Result<bool, RelayError> {
    let Some(options) = object.get("stream_options") else { return Ok(false) };
    let options = Object::read(options)
        .map_err(|_| RelayError::invalid("invalid_value", "stream_options", "`stream_options` must be an object"))?;
    Ok(field(&options, "include_usage", "true or false")?.unwrap_or(false))
}

fn choices(object: &Object<'_>) -> Result<u32, RelayError> {
    let choices = field(object, "n", "an integer")?.unwrap_or(1);
    if !(1..=MAX_CHOICES).contains(&choices) {
        return Err(RelayError::invalid("invalid_value", "n", format!("`n` must be between 1 and {MAX_CHOICES}")));
    }
    Ok(choices)
}

/// Whether the client picks the provider, or cuts or bends the answer.
fn is_client_shaped(object: &Object<'_>, controls: &Controls) -> bool {
    controls.only.is_some()
        || !controls.order.is_empty()
        || !controls.ignore.is_empty()
        || ["stop", "logit_bias"].iter().any(|name| object.get(name).is_some())
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn max_output(object: &Object<'_>) -> Result<Option<u32>, RelayError> {
    let mut limit = None;
    for name in ["max_tokens", "max_completion_tokens"] {
        let Some(value) = field::<u32>(object, name, "a positive integer")? else { continue };
        if value == 0 {
            return Err(RelayError::invalid("invalid_value", name, format!("`{name}` must be a positive integer")));
        }
        if limit.replace(value).is_some() {
            return Err(RelayError::invalid(
                "invalid_value",
                name,
                "send one of `max_tokens` and `max_completion_tokens`, not both",
            ));
        }
    }
    Ok(limit)
}

fn needs(object: &Object<'_>, images: u32, stream: bool) -> Result<u64, RelayError> {
    let mut needs = 0;
    for name in ["tools", "functions"] {
        let tools: Option<Vec<&RawValue>> = match object.get(name) {
            None => None,
            Some(value) => Some(
                serde_json::from_str(value)
                    .map_err(|_| RelayError::invalid("invalid_value", name, format!("`{name}` must be an array")))?,
            ),
        };
        if tools.is_some_and(|tools| !tools.is_empty()) {
            needs |= capability::TOOLS;
        }
    }
    if stream {
        needs |= capability::STREAMING;
    }
    if field::<bool>(object, "logprobs", "true or false")?.unwrap_or(false) {
        needs |= capability::LOGPROBS;
    }
    if images > 0 {
        needs |= capability::VISION;
    }
    needs |= format_needs(object)?;
    if let Some(modalities) = field::<Vec<String>>(object, "modalities", "an array of strings")?
        && modalities.iter().any(|modality| modality != "text")
    {
        return Err(RelayError::invalid(
            "unsupported_parameter",
            "modalities",
            "only answers in text are supported; leave `modalities` out",
        ));
    }
    Ok(needs)
}

/// The ability that `response_format` needs.
fn format_needs(object: &Object<'_>) -> Result<u64, RelayError> {
    let Some(format) = object.get("response_format") else { return Ok(0) };
    let format = Object::read(format)
        .map_err(|_| RelayError::invalid("invalid_value", "response_format", "`response_format` must be an object"))?;
    match field::<String>(&format, "type", "a string")?.as_deref() {
        None | Some("text") => Ok(0),
        Some("json_object") => Ok(capability::JSON_MODE),
        Some("json_schema") => Ok(capability::JSON_SCHEMA),
        Some(_) => Err(RelayError::invalid(
            "invalid_value",
            "response_format.type",
            "`response_format.type` must be text, json_object or json_schema",
        )),
    }
}

/// A member of the right type, unless it is absent or null.
fn field<T: DeserializeOwned>(object: &Object<'_>, name: &str, expected: &str) -> Result<Option<T>, RelayError> {
    object
        .get(name)
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| RelayError::invalid("invalid_value", name, format!("`{name}` must be {expected}")))
}
