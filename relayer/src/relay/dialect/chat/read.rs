//! A chat request: the members that decide who serves it and what it may cost are read, everything else goes to the
//! provider in the bytes it came in.

use super::messages::Messages;
use super::{Chat, parameters};
use crate::relay::controls::Controls;
use crate::relay::dialect::read::{
    MAX_CHOICES, between, document, field, fingerprint, include_usage, limit, models, origin,
};
use crate::relay::dialect::{Request, Translations};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::value::RawValue;
use steam_router::state::capability;

/// Members with which no client can make an honest provider look bad. `stop` and `logit_bias` are none of them.
const HARMLESS: [&str; 14] = [
    "messages",
    "max_completion_tokens",
    "modalities",
    "response_format",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "reasoning_effort",
    "verbosity",
    "prediction",
    "web_search_options",
];

/// Reads a body, and of the headers those that steer routing.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field or header.
pub(super) fn request(body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
    let body = document(body)?;
    let object = body.object();
    let mut controls = Controls::read(&object, headers)?;
    let models = models(&object, &mut controls)?;
    let text = object
        .get("messages")
        .ok_or_else(|| RelayError::invalid("missing_messages", "messages", "send at least one message"))?;
    let messages = Messages::read(text)?;
    let stream = field(&object, "stream", "true or false")?.unwrap_or(false);
    let include_usage = include_usage(&object)?;
    let choices = field(&object, "n", "an integer")?.unwrap_or(1);
    between("n", choices, 1..=MAX_CHOICES)?;
    let mut needs = needs(&object, messages.images, stream)?;
    if controls.require_parameters {
        needs |= parameters::required(&object)?;
    }
    let origin = origin(&object, &models, &controls, &HARMLESS);
    let max_output = max_output(&object)?;
    Ok(Request {
        dialect: &Chat,
        models,
        stream,
        include_usage,
        max_output,
        choices,
        prompts: 1,
        needs,
        images: messages.images,
        controls,
        origin,
        messages: messages.count,
        fingerprint: fingerprint(text),
        text_bytes: (body.text().len() as u64).saturating_sub(messages.image_bytes),
        prompt: body.place(text),
        body,
        headers: Vec::new(),
        translations: Translations::default(),
    })
}

fn max_output(object: &Object<'_>) -> Result<Option<u32>, RelayError> {
    let (first, second) = ("max_tokens", "max_completion_tokens");
    match (limit(object, first, 1)?, limit(object, second, 1)?) {
        (Some(_), Some(_)) => {
            let message = "send one of `max_tokens` and `max_completion_tokens`, not both";
            Err(RelayError::invalid("invalid_value", second, message))
        }
        (one, other) => Ok(one.or(other)),
    }
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
