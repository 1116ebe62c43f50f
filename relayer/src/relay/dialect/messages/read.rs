//! A request for messages: the members that decide who serves it and what it may cost.

mod history;

use super::block::{self, Block, text};
use super::{BETA, Messages, VERSION};
use crate::relay::controls::Controls;
use crate::relay::dialect::media::Media;
use crate::relay::dialect::parameters::required;
use crate::relay::dialect::prompts::{ANSWER_OVERHEAD, CHAT_FORMAT, MESSAGE_OVERHEAD, TOOLS_FORMAT};
use crate::relay::dialect::read::{
    Kind, document, field, fingerprint, kinds, kinds_at, limit, models, object, origin, sampling, tools, wrong,
};
use crate::relay::dialect::{CacheMarks, Image, Prompt, Reasoning, Request, Translations};
use crate::relay::error::RelayError;
use crate::relay::json::{Object, Text, shorten};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use history::Calls;
use serde::Deserialize;
use serde_json::value::RawValue;
use steam_router::state::capability;

/// Media types of images.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Parameters that every provider of messages knows, and the capability that covers each other one.
const PARAMETERS: [(&str, u64); 19] = [
    ("model", 0),
    ("models", 0),
    ("provider", 0),
    ("messages", 0),
    ("system", 0),
    ("max_tokens", 0),
    ("temperature", 0),
    ("top_p", 0),
    ("top_k", 0),
    ("stop_sequences", 0),
    ("stream", 0),
    ("metadata", 0),
    ("service_tier", 0),
    ("cache_control", 0),
    ("output_config", 0),
    ("context_management", 0),
    ("tools", 0),
    ("tool_choice", capability::TOOLS),
    ("thinking", capability::REASONING),
];

/// Members that only the provider reads, and what each must be.
const KINDS: [(&str, Kind); 6] = [
    ("top_k", Kind::Integer),
    ("service_tier", Kind::Text),
    ("metadata", Kind::Object),
    ("cache_control", Kind::Object),
    ("context_management", Kind::Object),
    ("tool_choice", Kind::Object),
];

/// The same of the members of `tool_choice`.
const TOOL_CHOICE: [(&str, Kind); 3] =
    [("type", Kind::Text), ("name", Kind::Text), ("disable_parallel_tool_use", Kind::Flag)];

/// Whether `max_tokens` must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Required,
    None,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    media_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
}

/// Members of this dialect with which no client can make an honest provider look bad.
const HARMLESS: [&str; 9] = [
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "container",
    "context_management",
    "output_config",
    "betas",
];

/// What the messages hold besides text.
#[derive(Default)]
struct Found {
    count: u32,
    images: Vec<Image>,
    documents: u32,
    media: Media,
    calls: Calls,
}

/// Reads a body, and of the headers those that steer routing or that providers of this dialect get.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field or header.
pub(super) fn request(body: Bytes, headers: &HeaderMap, bound: Limit) -> Result<Request, RelayError> {
    let body = document(body)?;
    let members = body.object();
    let mut controls = Controls::read(&members, headers)?;
    let models = models(&members, &mut controls)?;
    let text = members
        .get("messages")
        .ok_or_else(|| RelayError::invalid("missing_messages", "messages", "send at least one message"))?;
    let found = Found::read(text)?;
    // What is only counted may end anywhere.
    if let Some(id) = found.calls.open().filter(|_| bound == Limit::Required) {
        let what = format!("must go on with a message that has a `tool_result` for the call `{}`", shorten(id));
        return Err(invalid("messages", &what));
    }
    let max_output = limit(&members, "max_tokens", 1)?;
    if max_output.is_none() && bound == Limit::Required {
        let message = "send `max_tokens`: the most tokens of the answer";
        return Err(RelayError::invalid("missing_max_tokens", "max_tokens", message));
    }
    if let Some(system) = members.get("system") {
        block::read(system).map_err(|_| wrong("system", "a string or an array of blocks"))?;
    }
    let stream = field(&members, "stream", "true or false")?.unwrap_or(false);
    let mut needs = needs(&members, &found, stream)?;
    if controls.require_parameters {
        needs |= required(&members, &PARAMETERS)?;
    }
    let origin = origin(&members, &models, &controls, &HARMLESS);
    Ok(Request {
        dialect: &Messages,
        models,
        stream,
        include_usage: true,
        max_output,
        choices: 1,
        prompts: 1,
        needs,
        images: found.images,
        controls,
        origin,
        messages: found.count,
        fingerprint: fingerprint(text),
        text_bytes: (body.text().len() as u64).saturating_sub(found.media.bytes),
        media_tokens: found.media.tokens,
        reasoning: reasoning(&members)?,
        prompt: body.place(text),
        caching: CacheMarks::of(body.text()),
        body,
        headers: forwarded(headers),
        translations: Translations::default(),
    })
}

fn forwarded(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let of = |name: HeaderName| headers.get_all(&name).iter().map(move |value| (name.clone(), value.clone())).collect();
    let all: [Vec<_>; 2] = [VERSION, BETA].map(of);
    all.concat()
}

fn needs(object: &Object<'_>, found: &Found, stream: bool) -> Result<u64, RelayError> {
    let mut needs = 0;
    let mut need = |is: bool, bit: u64| needs |= if is { bit } else { 0 };
    need(stream, capability::STREAMING);
    need(!found.images.is_empty(), capability::VISION);
    need(found.documents > 0, capability::FILE_INPUT);
    need(tools(object, None)?, capability::TOOLS);
    sampling(object, "stop_sequences")?;
    kinds(object, &KINDS)?;
    if let Some(choice) = self::object(object, "tool_choice")? {
        kinds_at("tool_choice", &choice, &TOOL_CHOICE)?;
    }
    if let Some(config) = self::object(object, "output_config")? {
        kinds_at("output_config", &config, &[("format", Kind::Object), ("effort", Kind::Text)])?;
        need(config.get("format").is_some(), capability::JSON_SCHEMA);
    }
    Ok(needs)
}

/// Whether the request asks for thinking.
fn reasoning(object: &Object<'_>) -> Result<Reasoning, RelayError> {
    let Some(thinking) = self::object(object, "thinking")? else { return Ok(Reasoning::Usual) };
    kinds_at("thinking", &thinking, &[("type", Kind::Text), ("budget_tokens", Kind::Integer)])?;
    let kind: Option<String> = field(&thinking, "type", "enabled, adaptive or disabled")?;
    Ok(if kind.as_deref() == Some("disabled") { Reasoning::Off } else { Reasoning::Asked })
}

impl Found {
    fn read(messages: &str) -> Result<Self, RelayError> {
        let expected = "must be an array of objects with `role` and `content`";
        let messages: Vec<&RawValue> = serde_json::from_str(messages).map_err(|_| invalid("messages", expected))?;
        if messages.is_empty() {
            return Err(RelayError::invalid("missing_messages", "messages", "send at least one message"));
        }
        let mut found = Self { count: u32::try_from(messages.len()).unwrap_or(u32::MAX), ..Self::default() };
        for (place, message) in messages.iter().enumerate() {
            let path = format!("messages.{place}");
            let message: Message<'_> = serde_json::from_str(message.get())
                .map_err(|_| invalid(&path, "must be an object with `role` and `content`"))?;
            found.message(&message, &path, place + 1 == messages.len())?;
        }
        found.calls.answered()?;
        Ok(found)
    }

    fn message(&mut self, message: &Message<'_>, path: &str, is_last: bool) -> Result<(), RelayError> {
        let content = format!("{path}.content");
        let blocks = block::read(message.content.get())
            .map_err(|_| invalid(&content, "must be a string or an array of blocks with `type`"))?;
        let role = message.role.0.as_ref();
        // What the assistant is to continue may be empty.
        if blocks.is_empty() && !(is_last && role == "assistant") {
            return Err(invalid(&content, "must not be an empty array: leave the message out, or send a text"));
        }
        match role {
            "user" => self.calls.user(&blocks, &content)?,
            "assistant" => self.calls.assistant(&blocks)?,
            "system" => {}
            other => {
                let what = format!("has the unknown role `{}`; roles are user, assistant and system", shorten(other));
                return Err(invalid(&format!("{path}.role"), &what));
            }
        }
        for (place, block) in blocks.iter().enumerate() {
            self.block(block).map_err(|what| invalid(&format!("{content}.{place}"), what))?;
        }
        Ok(())
    }

    fn block(&mut self, block: &Block<'_>) -> Result<(), &'static str> {
        match block.kind() {
            "image" => self.image(block),
            "text" if block.text.is_none() => Err("of type `text` needs `text`"),
            "tool_use" if text(&block.id).is_empty() || text(&block.name).is_empty() => {
                Err("of type `tool_use` needs `id` and `name`")
            }
            "tool_use" if !block.input.is_some_and(|input| input.get().starts_with('{')) => {
                Err("of type `tool_use` needs an object as `input`")
            }
            "document" => {
                self.document(block);
                Ok(())
            }
            "tool_result" => {
                let Some(content) = block.content else { return Ok(()) };
                let blocks =
                    block::read(content.get()).map_err(|_| "must have a string or an array of blocks as `content`")?;
                blocks.iter().try_for_each(|block| self.block(block))
            }
            _ => Ok(()),
        }
    }

    fn document(&mut self, block: &Block<'_>) {
        self.documents += 1;
        let source = block.source.and_then(|source| serde_json::from_str::<Source<'_>>(source.get()).ok());
        match source {
            // A document of text is text.
            Some(source) if matches!(source.kind.0.as_ref(), "text" | "content") => {}
            Some(source) if source.data.is_some() => self.media.document(Some(text(&source.data).len())),
            _ => self.media.document(None),
        }
    }

    fn image(&mut self, block: &Block<'_>) -> Result<(), &'static str> {
        let source = block.source.and_then(|source| serde_json::from_str::<Source<'_>>(source.get()).ok());
        let source = source.ok_or("needs a `source`")?;
        self.images.push(match source.kind.0.as_ref() {
            "base64" if IMAGES.contains(&text(&source.media_type)) => Image::of(text(&source.data))?,
            "base64" => return Err("must be of the type image/jpeg, image/png, image/gif or image/webp"),
            "url" => Image::at(text(&source.url), None)?,
            _ => Image::default(),
        });
        self.media.image(text(&source.data).len());
        Ok(())
    }
}

fn invalid(path: &str, what: &str) -> RelayError {
    RelayError::invalid("invalid_messages", path, format!("`{path}` {what}"))
}

/// The member `thinking` with the same part of a lower output limit, where its budget is not below that: the API refuses it
/// then.
pub(super) fn thinking_within(object: &Object<'_>, max_output: u32) -> Option<String> {
    let thinking = Object::read(object.get("thinking")?).ok()?;
    let budget: u64 = thinking.get("budget_tokens")?.parse().ok()?;
    let (wanted, given) = (object.get("max_tokens")?.parse::<u64>().ok()?, u64::from(max_output));
    if budget < given || wanted == 0 {
        return None;
    }
    let part = (budget.saturating_mul(given) / wanted).min(given.saturating_sub(1));
    Some(thinking.edited(&[("budget_tokens", Some(part.to_string()))]))
}

/// The texts of a request that a model reads, and the tokens around them.
pub(super) fn prompt(object: &Object<'_>) -> Prompt {
    let format = if object.get("tools").is_some() { TOOLS_FORMAT } else { CHAT_FORMAT };
    let mut prompt = Prompt { texts: Vec::new(), overhead: ANSWER_OVERHEAD, format };
    for block in object.get("system").and_then(|system| block::read(system).ok()).unwrap_or_default() {
        block.texts(&mut prompt.texts);
    }
    if let Some(messages) = object.get("messages")
        && let Ok(messages) = serde_json::from_str::<Vec<Message<'_>>>(messages)
    {
        for message in &messages {
            prompt.overhead += MESSAGE_OVERHEAD;
            for block in block::read(message.content.get()).unwrap_or_default() {
                block.texts(&mut prompt.texts);
            }
        }
    }
    for name in ["tools", "tool_choice", "output_config"] {
        prompt.texts.extend(object.get(name).map(str::to_owned));
    }
    prompt
}
