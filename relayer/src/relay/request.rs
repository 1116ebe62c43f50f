//! A chat request: the fields that decide who serves it and what it may cost are read, everything else goes to the
//! provider in the bytes it came in.

mod parameters;

use crate::relay::controls::{Controls, MAX_MODELS, suffix};
use crate::relay::error::RelayError;
use crate::relay::json::{self, Object, Text, shorten};
use crate::tokens::{Counted, Counting, Tokenizers};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};
use steam_router::state::capability;

/// Most answers to one request.
pub const MAX_CHOICES: u32 = 16;
/// Tokens around a message in the chat formats of known models, role included.
const MESSAGE_OVERHEAD: u64 = 5;
/// Tokens that start the answer.
const ANSWER_OVERHEAD: u64 = 3;

/// Names of the abilities in `bits`, of those a chat request can need.
pub fn abilities(bits: u32) -> String {
    let known = [
        (capability::STREAMING, "stream"),
        (capability::VISION, "images"),
        (capability::TOOLS, "tools"),
        (capability::JSON_MODE, "response_format json_object"),
        (capability::JSON_SCHEMA, "response_format json_schema"),
        (capability::LOGPROBS, "logprobs"),
        (capability::SEED, "seed"),
        (capability::REASONING, "reasoning_effort"),
    ];
    let names: Vec<&str> = known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    names.join(", ")
}

/// A `/v1/chat/completions` request.
#[derive(Debug)]
pub struct ChatRequest {
    /// The models to try, in this order, as the client wrote them, suffixes included. Never empty.
    pub models: Vec<String>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client wants the usage at the end of a stream.
    pub include_usage: bool,
    /// Most output tokens of each answer, if the client said.
    pub max_output: Option<u32>,
    /// Answers wanted.
    pub choices: u32,
    /// Bits of [`steam_router::state::capability`].
    pub needs: u32,
    /// Images in the messages.
    pub images: u32,
    /// The client's wishes about routing.
    pub controls: Controls,
    /// What its answer may say of the provider.
    pub origin: Origin,
    /// Messages of the prompt.
    pub messages: u32,
    /// Tells different prompts apart, until this process ends.
    pub fingerprint: u64,
    /// Bytes of the body that are not images.
    text_bytes: u64,
    body: Bytes,
}

/// Where a request comes from, and so what its answer may say of the provider's honesty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client that leaves the choice to the relayer.
    Open,
    /// A client that chose the provider, or shapes the answer: it could make an honest provider look bad.
    Steered,
    /// The operator, by a prompt that is answered with so many bytes at least.
    Probe {
        /// Bytes below which an answer is cut.
        least_bytes: u64,
    },
}

impl ChatRequest {
    /// Reads a body that came without headers that steer routing.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], naming the field.
    pub fn parse(body: Bytes) -> Result<Self, RelayError> {
        Self::read(body, &HeaderMap::new())
    }

    /// Reads a body, and of the headers those that steer routing.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], naming the field or header.
    pub fn read(body: Bytes, headers: &HeaderMap) -> Result<Self, RelayError> {
        let text = std::str::from_utf8(&body).map_err(|_| malformed("the body is not UTF-8"))?;
        json::check(text).map_err(|error| malformed(format!("the body is not valid JSON: {error}")))?;
        let object = Object::read(text).map_err(|_| malformed("the body must be a JSON object"))?;

        let model: Option<String> = field(&object, "model", "a string")?.filter(|model: &String| !model.is_empty());
        let mut controls = Controls::read(&object, headers)?;
        let models = models(model, std::mem::take(&mut controls.models))?;
        let messages = object
            .get("messages")
            .ok_or_else(|| RelayError::invalid("missing_messages", "messages", "send at least one message"))?;
        let fingerprint = fingerprint(messages.get());
        let messages = Messages::read(messages)?;

        let stream = field(&object, "stream", "true or false")?.unwrap_or(false);
        let include_usage = match object.get("stream_options") {
            None => false,
            Some(options) => {
                let options = Object::read(options.get()).map_err(|_| {
                    RelayError::invalid("invalid_value", "stream_options", "`stream_options` must be an object")
                })?;
                field(&options, "include_usage", "true or false")?.unwrap_or(false)
            }
        };
        let choices = field(&object, "n", "an integer")?.unwrap_or(1);
        if !(1..=MAX_CHOICES).contains(&choices) {
            return Err(RelayError::invalid("invalid_value", "n", format!("`n` must be between 1 and {MAX_CHOICES}")));
        }
        let mut needs = needs(&object, messages.images, stream)?;
        if controls.require_parameters {
            needs |= parameters::required(&object)?;
        }
        Ok(Self {
            models,
            stream,
            include_usage,
            max_output: max_output(&object)?,
            choices,
            needs,
            images: messages.images,
            origin: if steered(&object, &controls) { Origin::Steered } else { Origin::Open },
            messages: messages.count,
            fingerprint,
            controls,
            text_bytes: (text.len() as u64).saturating_sub(messages.image_bytes),
            body,
        })
    }

    /// The body as it arrived.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body for a provider: `model` without its suffix, the output limit `max_output`, usage asked for in streams, and
    /// without what is meant for the relayer. All else keeps its bytes.
    ///
    /// # Errors
    /// None: the body was read before.
    pub fn for_provider(&self, model: &str, max_output: u32) -> Result<Bytes, RelayError> {
        let unreadable = |_| RelayError::Internal("a body that was read before");
        let text = std::str::from_utf8(&self.body).map_err(|_| RelayError::Internal("a body that was UTF-8 before"))?;
        let object = Object::read(text).map_err(unreadable)?;
        let mut edits = vec![("provider", None), ("models", None)];
        if field::<String>(&object, "model", "a string")?.as_deref() != Some(model) {
            edits.push(("model", Some(json::string(model))));
        }
        if self.max_output.is_none() {
            edits.push((limit_field(&object, model), Some(max_output.to_string())));
        }
        if self.stream {
            let asked = match object.get("stream_options") {
                Some(options) => Object::read(options.get())
                    .map_err(unreadable)?
                    .edited(&[("include_usage", Some("true".to_owned()))]),
                None => br#"{"include_usage":true}"#.to_vec(),
            };
            let asked = String::from_utf8(asked).map_err(|_| RelayError::Internal("JSON that is not UTF-8"))?;
            edits.push(("stream_options", Some(asked)));
        }
        Ok(object.edited(&edits).into())
    }

    /// The relayer's own count of the input: with `counting`'s tokenizer, or of the body's bytes. Images are extra.
    pub async fn count_input(&self, tokenizers: &Tokenizers, counting: Counting) -> Counted {
        if counting == Counting::Bytes {
            return Counted { bytes: self.text_bytes, tokens: self.text_bytes.div_ceil(4) };
        }
        let (texts, overhead) = self.texts();
        let counted = tokenizers.count(counting, texts).await;
        Counted { bytes: self.text_bytes, tokens: counted.tokens + overhead }
    }

    /// What the model reads, and the tokens around it.
    fn texts(&self) -> (Vec<String>, u64) {
        let mut texts = Vec::new();
        let mut overhead = ANSWER_OVERHEAD;
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let Ok(object) = Object::read(text) else { return (texts, overhead) };
        if let Some(messages) = object.get("messages")
            && let Ok(messages) = serde_json::from_str::<Vec<Message<'_>>>(messages.get())
        {
            for message in &messages {
                overhead += MESSAGE_OVERHEAD;
                message.texts(&mut texts);
            }
        }
        for name in ["tools", "functions", "response_format", "tool_choice"] {
            texts.extend(object.get(name).map(|value| value.get().to_owned()));
        }
        (texts, overhead)
    }
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

/// Whether the client picks the provider, or cuts or bends the answer.
fn steered(object: &Object<'_>, controls: &Controls) -> bool {
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

/// Which of the two names of the output limit a provider of `model` knows.
fn limit_field(object: &Object<'_>, model: &str) -> &'static str {
    // A null is replaced where it stands.
    let present = |wanted: &str| object.0.iter().any(|(name, _)| name == wanted);
    if present("max_tokens") {
        return "max_tokens";
    }
    let name = model.rsplit('/').next().unwrap_or(model);
    let reasoning = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if present("max_completion_tokens") || reasoning || name.starts_with("gpt-5") {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
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

fn needs(object: &Object<'_>, images: u32, stream: bool) -> Result<u32, RelayError> {
    let mut needs = 0;
    for name in ["tools", "functions"] {
        let tools: Option<Vec<&RawValue>> = match object.get(name) {
            None => None,
            Some(value) => Some(
                serde_json::from_str(value.get())
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
    if let Some(format) = object.get("response_format") {
        let format = Object::read(format.get()).map_err(|_| {
            RelayError::invalid("invalid_value", "response_format", "`response_format` must be an object")
        })?;
        needs |= match field::<String>(&format, "type", "a string")?.as_deref() {
            None | Some("text") => 0,
            Some("json_object") => capability::JSON_MODE,
            Some("json_schema") => capability::JSON_SCHEMA,
            Some(_) => {
                return Err(RelayError::invalid(
                    "invalid_value",
                    "response_format.type",
                    "`response_format.type` must be text, json_object or json_schema",
                ));
            }
        };
    }
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

/// A member of the right type, unless it is absent or null.
pub(super) fn field<T: DeserializeOwned>(
    object: &Object<'_>,
    name: &str,
    expected: &str,
) -> Result<Option<T>, RelayError> {
    object
        .get(name)
        .map(|value| serde_json::from_str(value.get()))
        .transpose()
        .map_err(|_| RelayError::invalid("invalid_value", name, format!("`{name}` must be {expected}")))
}

fn malformed(message: impl Into<String>) -> RelayError {
    RelayError::Invalid { message: message.into(), param: None, code: "malformed_body" }
}

/// What the messages hold besides text.
#[derive(Default)]
struct Messages {
    count: u32,
    images: u32,
    image_bytes: u64,
}

impl Messages {
    fn read(raw: &RawValue) -> Result<Self, RelayError> {
        let wrong = |message: &str| RelayError::invalid("invalid_messages", "messages", message);
        let messages: Vec<Message<'_>> = serde_json::from_str(raw.get())
            .map_err(|_| wrong("`messages` must be an array of objects with `role` and `content`"))?;
        if messages.is_empty() {
            return Err(RelayError::invalid("missing_messages", "messages", "send at least one message"));
        }
        let mut found = Self { count: u32::try_from(messages.len()).unwrap_or(u32::MAX), ..Self::default() };
        for message in &messages {
            for part in message.parts().map_err(|_| wrong("`content` must be a string or an array of parts"))? {
                match part.kind.0.as_ref() {
                    "text" | "refusal" => {}
                    "image_url" => {
                        let image =
                            part.image_url.ok_or_else(|| wrong("a part of type `image_url` needs `image_url`"))?;
                        found.images += 1;
                        found.image_bytes += image.get().len() as u64;
                    }
                    other => {
                        return Err(RelayError::invalid(
                            "unsupported_content",
                            "messages",
                            format!("content of type `{}` is not supported; send text or image_url", shorten(other)),
                        ));
                    }
                }
            }
        }
        Ok(found)
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    fn parts(&self) -> Result<Vec<Part<'a>>, serde_json::Error> {
        match self.content {
            Some(content) if content.get().starts_with('"') || content.get() == "null" => Ok(Vec::new()),
            Some(content) => serde_json::from_str(content.get()),
            None => Ok(Vec::new()),
        }
    }

    fn texts(&self, texts: &mut Vec<String>) {
        if let Some(content) = self.content
            && let Ok(Text(text)) = serde_json::from_str::<Text<'_>>(content.get())
        {
            texts.push(text.into_owned());
        }
        for part in self.parts().unwrap_or_default() {
            texts.extend([part.text, part.refusal].into_iter().flatten().map(|Text(text)| Cow::into_owned(text)));
        }
        texts.extend(self.name.iter().map(|Text(name)| name.clone().into_owned()));
        texts.extend([self.tool_calls, self.function_call].into_iter().flatten().map(|calls| calls.get().to_owned()));
    }
}

#[cfg(test)]
mod tests;
