//! A chat request: the members that decide who serves it and what it may cost are read, everything else goes to the
//! provider in the bytes it came in.

use super::messages::Messages;
use super::{Chat, parameters};
use crate::relay::controls::Controls;
use crate::relay::dialect::parameters::required;
use crate::relay::dialect::read::{
    Kind, MAX_CHOICES, between, document, field, fingerprint, include_usage, kinds, kinds_at, limit, models, object,
    objects, origin, sampling, tools,
};
use crate::relay::dialect::{CacheMarks, Reasoning, Request, Translations};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use axum::http::HeaderMap;
use bytes::Bytes;
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

/// Members that only the provider reads, and what each must be.
const KINDS: [(&str, Kind); 18] = [
    ("presence_penalty", Kind::Number),
    ("frequency_penalty", Kind::Number),
    ("seed", Kind::Integer),
    ("top_logprobs", Kind::Integer),
    ("parallel_tool_calls", Kind::Flag),
    ("store", Kind::Flag),
    ("user", Kind::Text),
    ("service_tier", Kind::Text),
    ("verbosity", Kind::Text),
    ("prompt_cache_key", Kind::Text),
    ("safety_identifier", Kind::Text),
    ("logit_bias", Kind::Object),
    ("metadata", Kind::Object),
    ("prediction", Kind::Object),
    ("web_search_options", Kind::Object),
    ("audio", Kind::Object),
    ("tool_choice", Kind::Choice),
    ("function_call", Kind::Choice),
];

/// Reads a body, and of the headers those that steer routing.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field or header.
pub(super) fn request(body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
    let body = document(body)?;
    let members = body.object();
    let mut controls = Controls::read(&members, headers)?;
    let models = models(&members, &mut controls)?;
    let text = members
        .get("messages")
        .ok_or_else(|| RelayError::invalid("missing_messages", "messages", "send at least one message"))?;
    let messages = Messages::read(text)?;
    let stream = field(&members, "stream", "true or false")?.unwrap_or(false);
    let include_usage = include_usage(&members)?;
    let choices = field(&members, "n", "an integer")?.unwrap_or(1);
    between("n", choices, 1..=MAX_CHOICES)?;
    let mut needs = needs(&members, messages.needs, stream)?;
    if controls.require_parameters {
        needs |= required(&members, &parameters::PARAMETERS)?;
    }
    let origin = origin(&members, &models, &controls, &HARMLESS);
    let max_output = max_output(&members)?;
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
        text_bytes: (body.text().len() as u64).saturating_sub(messages.media.bytes),
        media_tokens: messages.media.tokens,
        reasoning: reasoning(&members)?,
        prompt: body.place(text),
        caching: CacheMarks::of(body.text()),
        body,
        headers: Vec::new(),
        translations: Translations::default(),
    })
}

fn max_output(object: &Object<'_>) -> Result<Option<u32>, RelayError> {
    let (first, second) = ("max_tokens", "max_completion_tokens");
    match (limit(object, first, 1)?, limit(object, second, 1)?) {
        (Some(one), Some(other)) if one != other => {
            let message =
                "`max_tokens` and `max_completion_tokens` mean the same: send one of them, or the same number";
            Err(RelayError::invalid("invalid_value", second, message))
        }
        (one, other) => Ok(one.or(other)),
    }
}

fn needs(object: &Object<'_>, found: u64, stream: bool) -> Result<u64, RelayError> {
    let mut needs = 0;
    if tools(object, Some("function"))? || !objects(object, "functions")?.is_empty() {
        needs |= capability::TOOLS;
    }
    sampling(object, "stop")?;
    kinds(object, &KINDS)?;
    if stream {
        needs |= capability::STREAMING;
    }
    if field::<bool>(object, "logprobs", "true or false")?.unwrap_or(false) {
        needs |= capability::LOGPROBS;
    }
    needs |= found;
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

/// Whether the request asks for reasoning.
fn reasoning(object: &Object<'_>) -> Result<Reasoning, RelayError> {
    let effort: Option<String> = field(object, "reasoning_effort", "a string")?;
    let detailed = self::object(object, "reasoning")?;
    let of = match &detailed {
        Some(reasoning) => {
            kinds_at("reasoning", reasoning, &[("effort", Kind::Text), ("enabled", Kind::Flag)])?;
            field(reasoning, "effort", "a string")?
        }
        None => None,
    };
    let off = detailed.as_ref().and_then(|reasoning| reasoning.get("enabled")) == Some("false");
    Ok(match effort.or(of).as_deref() {
        Some("none") => Reasoning::Off,
        None if off => Reasoning::Off,
        None if detailed.is_none() => Reasoning::Usual,
        _ => Reasoning::Asked,
    })
}

/// The ability that `response_format` needs.
fn format_needs(object: &Object<'_>) -> Result<u64, RelayError> {
    let Some(format) = self::object(object, "response_format")? else { return Ok(0) };
    kinds_at("response_format", &format, &[("type", Kind::Text), ("json_schema", Kind::Object)])?;
    match field::<String>(&format, "type", "a string")?.as_deref() {
        None | Some("text") => Ok(0),
        Some("json_object") => Ok(capability::JSON_MODE),
        // Other forms, such as a grammar, ask for more than a schema does.
        Some(_) => Ok(capability::JSON_SCHEMA),
    }
}
