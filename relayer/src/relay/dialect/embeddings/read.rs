//! A request for embeddings: the members that decide who serves it and what it may cost.

use super::Embeddings;
use crate::relay::controls::Controls;
use crate::relay::dialect::parameters::required;
use crate::relay::dialect::prompts::Prompts;
use crate::relay::dialect::read::{Kind, document, field, fingerprint, kinds, limit, models, origin, wrong};
use crate::relay::dialect::{CacheMarks, Reasoning, Request, Translations};
use crate::relay::error::RelayError;
use axum::http::HeaderMap;
use bytes::Bytes;

/// Parameters that every provider of embeddings knows.
const PARAMETERS: [(&str, u64); 7] = [
    ("model", 0),
    ("models", 0),
    ("provider", 0),
    ("input", 0),
    ("encoding_format", 0),
    ("dimensions", 0),
    ("user", 0),
];

/// Most inputs of one request, as OpenAI's API has it.
const MAX_INPUTS: u32 = 2_048;

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
        .get("input")
        .ok_or_else(|| RelayError::invalid("missing_input", "input", "send an `input`: a string or an array"))?;
    let inputs = Prompts::read(text, "input", MAX_INPUTS)?.count();
    if field(&object, "stream", "false")?.unwrap_or(false) {
        return Err(RelayError::invalid("invalid_value", "stream", "embeddings are not streamed; leave `stream` out"));
    }
    let formats = "float or base64";
    let format: Option<String> = field(&object, "encoding_format", formats)?;
    if format.is_some_and(|format| !["float", "base64"].contains(&format.as_str())) {
        return Err(wrong("encoding_format", formats));
    }
    limit(&object, "dimensions", 1)?;
    kinds(&object, &[("user", Kind::Text)])?;
    let needs = if controls.require_parameters { required(&object, &PARAMETERS)? } else { 0 };
    let origin = origin(&object, &models, &controls, &["input", "encoding_format", "dimensions"]);
    Ok(Request {
        dialect: &Embeddings,
        models,
        stream: false,
        include_usage: false,
        max_output: Some(0),
        choices: inputs,
        prompts: inputs,
        needs,
        images: Vec::new(),
        controls,
        origin,
        messages: 1,
        fingerprint: fingerprint(text),
        text_bytes: body.text().len() as u64,
        media_tokens: 0,
        reasoning: Reasoning::Off,
        prompt: body.place(text),
        caching: CacheMarks::of(body.text()),
        body,
        headers: Vec::new(),
        translations: Translations::default(),
    })
}
