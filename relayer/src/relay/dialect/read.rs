//! What reading a request and writing it for a provider have in common in all dialects.

use crate::relay::controls::{Controls, MAX_MODELS, suffix};
use crate::relay::dialect::Origin;
use crate::relay::error::RelayError;
use crate::relay::json::{self, Document, Object, Text, letters};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::hash::{DefaultHasher, Hasher};
use std::ops::RangeInclusive;

/// Most answers to one prompt.
pub(super) const MAX_CHOICES: u32 = 16;

/// Changes of an object's members: a new value, or none.
pub(super) type Edits<'a> = Vec<(&'a str, Option<String>)>;

/// Reads a body.
///
/// # Errors
/// [`RelayError::Invalid`] if it is no JSON object.
pub(super) fn document(body: Bytes) -> Result<Document, RelayError> {
    let document = Document::read(body).map_err(|error| RelayError::Invalid {
        message: error.to_string(),
        param: None,
        code: "malformed_body",
    })?;
    document.object().0.iter().try_for_each(|(name, _)| spelled(name))?;
    Ok(document)
}

/// Members that decide what is served and billed, in any dialect.
const STEERING: [&str; 19] = [
    "best_of",
    "input",
    "instructions",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "model",
    "models",
    "n",
    "prompt",
    "provider",
    "stop",
    "stop_sequences",
    "stream",
    "stream_options",
    "system",
    "tools",
    "usage",
];

/// Refuses another spelling of a member that steers: servers that take it would serve something else than is counted here.
fn spelled(name: &str) -> Result<(), RelayError> {
    if STEERING.contains(&name) {
        return Ok(());
    }
    match STEERING.iter().find(|known| letters(known).eq(letters(name))) {
        Some(known) => Err(RelayError::invalid("invalid_value", name, format!("write `{known}` in place of `{name}`"))),
        None => Ok(()),
    }
}

/// A member of the right type, unless it is absent or null.
///
/// # Errors
/// [`RelayError::Invalid`], naming it.
pub(super) fn field<T: DeserializeOwned>(
    object: &Object<'_>,
    name: &str,
    expected: &str,
) -> Result<Option<T>, RelayError> {
    object.get(name).map(serde_json::from_str).transpose().map_err(|_| wrong(name, expected))
}

/// The refusal of a member that is not what it must be.
pub(super) fn wrong(name: &str, expected: &str) -> RelayError {
    RelayError::invalid("invalid_value", name, format!("`{name}` must be {expected}"))
}

/// A member that is an object.
///
/// # Errors
/// [`RelayError::Invalid`], naming it.
pub(super) fn object<'a>(object: &Object<'a>, name: &str) -> Result<Option<Object<'a>>, RelayError> {
    object.get(name).map(Object::read).transpose().map_err(|_| wrong(name, "an object"))
}

/// The objects of a member that is an array of them.
///
/// # Errors
/// [`RelayError::Invalid`], naming the member, or the one in it that is no object.
pub(super) fn objects<'a>(object: &Object<'a>, name: &str) -> Result<Vec<Object<'a>>, RelayError> {
    let Some(json) = object.get(name) else { return Ok(Vec::new()) };
    let all: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| wrong(name, "an array of objects"))?;
    let read = |(place, one): (usize, &'a RawValue)| {
        Object::read(one.get()).map_err(|_| wrong(&format!("{name}.{place}"), "an object"))
    };
    all.into_iter().enumerate().map(read).collect()
}

/// Checks the members that every dialect for conversations has in the same form.
///
/// # Errors
/// [`RelayError::Invalid`], naming one.
pub(super) fn sampling(object: &Object<'_>, stops: &str) -> Result<(), RelayError> {
    for name in ["temperature", "top_p"] {
        field::<f64>(object, name, "a number")?;
    }
    if let Some(stop) = object.get(stops) {
        let one = stops == "stop" && serde_json::from_str::<String>(stop).is_ok();
        if !one && serde_json::from_str::<Vec<String>>(stop).is_err() {
            return Err(wrong(stops, "an array of strings"));
        }
    }
    Ok(())
}

/// What a member must be that only the provider reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Number,
    Integer,
    Flag,
    Text,
    Texts,
    Object,
    /// A word, or an object that says more.
    Choice,
}

/// Checks members that only the provider reads: one of another kind is a mistake at every provider.
///
/// # Errors
/// [`RelayError::Invalid`], naming one.
pub(super) fn kinds(object: &Object<'_>, known: &[(&str, Kind)]) -> Result<(), RelayError> {
    mistaken(object, known).map_or(Ok(()), |(name, expected)| Err(wrong(name, expected)))
}

/// The same of an object that is at `path` itself.
///
/// # Errors
/// [`RelayError::Invalid`], naming a member by its whole path.
pub(super) fn kinds_at(path: &str, object: &Object<'_>, known: &[(&str, Kind)]) -> Result<(), RelayError> {
    mistaken(object, known).map_or(Ok(()), |(name, expected)| Err(wrong(&format!("{path}.{name}"), expected)))
}

/// The first member of another kind than it must be, and that.
fn mistaken<'a>(object: &'a Object<'_>, known: &[(&str, Kind)]) -> Option<(&'a str, &'static str)> {
    for (name, json) in object.0.iter().filter(|(_, json)| *json != "null") {
        let Some((_, kind)) = known.iter().find(|(known, _)| known == name) else { continue };
        let first = json.as_bytes().first().copied().unwrap_or_default();
        let number = first == b'-' || first.is_ascii_digit();
        let (is, expected) = match kind {
            Kind::Number => (number, "a number"),
            Kind::Integer => (number && !json.contains(['.', 'e', 'E']), "an integer"),
            Kind::Flag => (matches!(*json, "true" | "false"), "true or false"),
            Kind::Text => (first == b'"', "a string"),
            Kind::Texts => (serde_json::from_str::<Vec<Text<'_>>>(json).is_ok(), "an array of strings"),
            Kind::Object => (first == b'{', "an object"),
            Kind::Choice => (matches!(first, b'"' | b'{'), "a string or an object"),
        };
        if !is {
            return Some((name.as_ref(), expected));
        }
    }
    None
}

/// What describes a function, wherever it stands.
const OF_FUNCTION: [(&str, Kind); 4] =
    [("description", Kind::Text), ("parameters", Kind::Object), ("input_schema", Kind::Object), ("strict", Kind::Flag)];

/// The tools of a request. What their `inner` object holds, or they themselves where there is none, has a name.
///
/// # Errors
/// [`RelayError::Invalid`], naming what is none.
pub(super) fn tools(object: &Object<'_>, inner: Option<&str>) -> Result<bool, RelayError> {
    let tools = objects(object, "tools")?;
    for (place, tool) in tools.iter().enumerate() {
        let mut path = format!("tools.{place}");
        let is_own = tool.get("type").is_some_and(|kind| ![r#""function""#, r#""custom""#].contains(&kind));
        let named = |of: &Object<'_>, path: &str| match of.get("name").map(serde_json::from_str::<String>) {
            Some(Ok(name)) if !name.is_empty() => Ok(()),
            // A tool of the provider's own may have none.
            None if inner.is_none() && is_own => Ok(()),
            _ => Err(wrong(&format!("{path}.name"), "a string, not empty")),
        };
        kinds(tool, &[("type", Kind::Text), ("description", Kind::Text)])
            .map_err(|_| wrong(&path, "a tool, with its type as a string"))?;
        match inner {
            None => {
                named(tool, &path)?;
                kinds_at(&path, tool, &OF_FUNCTION)?;
            }
            Some(inner) => {
                path = format!("{path}.{inner}");
                let Some(json) = tool.get(inner) else {
                    // Other kinds of tools have other members.
                    if tool.get("type") == Some(r#""function""#) {
                        return Err(wrong(&path, "an object"));
                    }
                    continue;
                };
                let function = Object::read(json).map_err(|_| wrong(&path, "an object"))?;
                named(&function, &path)?;
                kinds_at(&path, &function, &OF_FUNCTION)?;
            }
        }
    }
    Ok(!tools.is_empty())
}

/// Checks the range of a number.
///
/// # Errors
/// [`RelayError::Invalid`], naming it.
pub(super) fn between(name: &str, value: u32, range: RangeInclusive<u32>) -> Result<(), RelayError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(wrong(name, &format!("between {} and {}", range.start(), range.end())))
}

/// A number of tokens, `least` at least.
///
/// # Errors
/// [`RelayError::Invalid`], naming it.
pub(super) fn limit(object: &Object<'_>, name: &str, least: u32) -> Result<Option<u32>, RelayError> {
    let expected = "a positive integer";
    let limit: Option<u64> = field(object, name, expected)?;
    // More than any offer gives is lowered to what one gives.
    let limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    if limit.is_some_and(|limit| limit < least) {
        return Err(wrong(name, expected));
    }
    Ok(limit)
}

/// The request's own model first, then those to fall back on, none of them twice.
///
/// # Errors
/// [`RelayError::Invalid`] if there is none, or there are too many.
pub(super) fn models(object: &Object<'_>, controls: &mut Controls) -> Result<Vec<String>, RelayError> {
    let model: Option<String> = field(object, "model", "a string")?.filter(|model: &String| !model.is_empty());
    let mut models = std::mem::take(&mut controls.models);
    if let Some(model) = model {
        // Clients that must name a `model` name the first of `models`.
        models.retain(|other| suffix(other).0 != suffix(&model).0);
        models.insert(0, model);
    }
    if models.is_empty() {
        return Err(RelayError::invalid("missing_model", "model", "name a model; GET /v1/models lists them"));
    }
    if models.len() > MAX_MODELS {
        let message = format!("`model` and `models` may name {MAX_MODELS} models together");
        return Err(RelayError::invalid("invalid_value", "models", message));
    }
    Ok(models)
}

/// Whether `stream_options` ask for the usage.
///
/// # Errors
/// [`RelayError::Invalid`], naming the member.
pub(super) fn include_usage(object: &Object<'_>) -> Result<bool, RelayError> {
    let Some(options) = object.get("stream_options") else { return Ok(false) };
    let options = Object::read(options).map_err(|_| wrong("stream_options", "an object"))?;
    kinds_at("stream_options", &options, &[("include_usage", Kind::Flag)])?;
    Ok(field(&options, "include_usage", "true or false")?.unwrap_or(false))
}

/// Whether the client takes part in the choice of the provider, or ends or bends the answer.
///
/// What a member does to an honest provider decides. A stranger who sends it must not be able to make one fail or look slow:
/// - `harmless` members, and those of [`COMMON`], have no such effect. A provider serves them, ignores what it does not know, or
///   refuses the request, which is no failure. They may be as usual as they like, or the board would see nothing of the market.
/// - [`ENDS`] say after which words an answer ends. No provider fails over them, but an answer may be as short as the client
///   likes, or empty: [`Origin::ClientEnded`].
/// - Everything else bends the request: members that the relayer does not know, and those that can forbid every word, keep an
///   answer from ending, or break an engine whose tokenizer they do not fit, as `logit_bias`, `allowed_token_ids`, `min_tokens`
///   and `ignore_eos`.
pub(super) fn origin(object: &Object<'_>, models: &[String], controls: &Controls, harmless: &[&str]) -> Origin {
    let chosen = controls.takes_part() || models.iter().any(|model| suffix(model).1.is_some());
    let given = || object.0.iter().filter(|(_, value)| *value != "null").map(|(name, value)| (name.as_ref(), *value));
    let is_harmless = |name: &str| harmless.contains(&name) || COMMON.contains(&name);
    let bent = given().any(|(name, _)| !is_harmless(name) && !ENDS.contains(&name));
    match (chosen || bent, given().any(|(name, value)| ENDS.contains(&name) && value != "[]")) {
        (true, _) => Origin::ClientShaped,
        (false, true) => Origin::ClientEnded,
        (false, false) => Origin::Open,
    }
}

/// Members that say where an answer ends.
const ENDS: [&str; 2] = ["stop", "stop_sequences"];

/// Members with which no client of any dialect can make an honest provider look bad.
const COMMON: [&str; 29] = [
    "cache_control",
    "include_reasoning",
    "min_p",
    "prompt_cache_options",
    "reasoning",
    "repetition_penalty",
    "transforms",
    "usage",
    "model",
    "models",
    "provider",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "user",
    "metadata",
    "store",
    "service_tier",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
];

/// Members with which a provider has no reason of its own to refuse a request.
const PLAIN: [&str; 12] = [
    "model",
    "models",
    "messages",
    "prompt",
    "input",
    "system",
    "instructions",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
];

/// Whether a request has nothing beside texts and limits: what one provider takes of the rest another may rightly refuse.
pub(super) fn is_plain(object: &Object<'_>) -> bool {
    object.0.iter().all(|(name, value)| *value == "null" || PLAIN.contains(&name.as_ref()))
}

/// Tells different prompts apart.
pub(super) fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The changes that every provider's body needs: what is meant for the relayer is taken out, and the model is named as the
/// provider knows it.
pub(super) fn common_edits<'a>(object: &Object<'_>, model: &str) -> Edits<'a> {
    let mut edits = vec![("provider", None), ("models", None)];
    // A provider of the model whose name stands in the body gets that very text.
    let named = json::string(model);
    if object.get("model") != Some(named.as_str()) {
        edits.push(("model", Some(named)));
    }
    edits
}

/// The `stream_options` of a request, with usage asked for.
///
/// # Errors
/// [`RelayError::Internal`] if they are no object, which reading the request refused.
pub(super) fn with_usage(object: &Object<'_>) -> Result<String, RelayError> {
    let Some(options) = object.get("stream_options") else { return Ok(r#"{"include_usage":true}"#.to_owned()) };
    let options = Object::read(options).map_err(|_| RelayError::Internal("options that were an object before"))?;
    Ok(options.edited(&[("include_usage", Some("true".to_owned()))]))
}
