//! A request for text completions: the members that decide who serves it and what it may cost.

use super::Completions;
use crate::relay::controls::Controls;
use crate::relay::dialect::parameters::required;
use crate::relay::dialect::prompts::Prompts;
use crate::relay::dialect::read::{
    Kind, MAX_CHOICES, between, document, field, fingerprint, include_usage, kinds, limit, models, origin, sampling,
};
use crate::relay::dialect::{CacheMarks, Reasoning, Request, Translations};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use axum::http::HeaderMap;
use bytes::Bytes;
use steam_router::state::capability;

/// Output tokens of an answer without a limit, as the API defines it.
pub(super) const DEFAULT_MAX_TOKENS: u32 = 16;
/// Most answers to one request, of all prompts together.
const MAX_ANSWERS: u32 = 128;

/// Parameters that every provider of completions knows, and the capability that covers each, for
/// `provider.require_parameters`.
const PARAMETERS: [(&str, u64); 18] = [
    ("model", 0),
    ("models", 0),
    ("provider", 0),
    ("prompt", 0),
    ("suffix", 0),
    ("max_tokens", 0),
    ("temperature", 0),
    ("top_p", 0),
    ("n", 0),
    ("best_of", 0),
    ("stream", 0),
    ("stream_options", 0),
    ("stop", 0),
    ("echo", 0),
    ("presence_penalty", 0),
    ("frequency_penalty", 0),
    ("logprobs", capability::LOGPROBS),
    ("seed", capability::SEED),
];

/// Members that only the provider reads, and what each must be.
const KINDS: [(&str, Kind); 6] = [
    ("suffix", Kind::Text),
    ("presence_penalty", Kind::Number),
    ("frequency_penalty", Kind::Number),
    ("seed", Kind::Integer),
    ("user", Kind::Text),
    ("logit_bias", Kind::Object),
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
        .get("prompt")
        .ok_or_else(|| RelayError::invalid("missing_prompt", "prompt", "send a `prompt`: a string or an array"))?;
    let prompts = Prompts::read(text, "prompt", MAX_ANSWERS)?.count();
    let n = field(&object, "n", "an integer")?.unwrap_or(1);
    between("n", n, 1..=MAX_CHOICES)?;
    let choices = prompts.saturating_mul(n);
    if choices > MAX_ANSWERS {
        let message = format!("`n` times the number of prompts may be {MAX_ANSWERS} at most");
        return Err(RelayError::invalid("invalid_value", "n", message));
    }
    if field::<u32>(&object, "best_of", "an integer")?.is_some_and(|best_of| best_of > n) {
        let message = "`best_of` may not be above `n`: answers that are not delivered cannot be counted";
        return Err(RelayError::invalid("unsupported_parameter", "best_of", message));
    }
    let echo = field(&object, "echo", "true or false")?.unwrap_or(false);
    let stream = field(&object, "stream", "true or false")?.unwrap_or(false);
    let max_output = limit(&object, "max_tokens", u32::from(!echo))?.unwrap_or(DEFAULT_MAX_TOKENS);
    let origin = origin(&object, &models, &controls, &["prompt", "best_of", "logprobs"]);
    Ok(Request {
        dialect: &Completions,
        models,
        stream,
        include_usage: include_usage(&object)?,
        max_output: Some(max_output),
        choices,
        prompts,
        needs: needs(&object, &controls, stream)?,
        images: Vec::new(),
        controls,
        origin,
        messages: 1,
        fingerprint: fingerprint(text),
        text_bytes: body.text().len() as u64,
        media_tokens: 0,
        reasoning: Reasoning::Usual,
        prompt: body.place(text),
        caching: CacheMarks::of(body.text()),
        body,
        headers: Vec::new(),
        translations: Translations::default(),
    })
}

fn needs(object: &Object<'_>, controls: &Controls, stream: bool) -> Result<u64, RelayError> {
    let mut needs = if stream { capability::STREAMING } else { 0 };
    sampling(object, "stop")?;
    kinds(object, &KINDS)?;
    if field::<u32>(object, "logprobs", "an integer")?.is_some() {
        needs |= capability::LOGPROBS;
    }
    if controls.require_parameters {
        needs |= required(object, &PARAMETERS)?;
    }
    Ok(needs)
}
