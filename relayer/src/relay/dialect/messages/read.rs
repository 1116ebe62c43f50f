//! A request for messages: the members that decide who serves it and what it may cost.

use super::block::{self, Block, text};
use super::{BETA, Messages, VERSION};
use crate::relay::controls::Controls;
use crate::relay::dialect::read::{document, field, fingerprint, limit, models, origin, wrong};
use crate::relay::dialect::{Prompt, Request, Translations};
use crate::relay::error::RelayError;
use crate::relay::json::{Object, Text, shorten};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use steam_router::state::capability;

/// Tokens around a message, and those that start the answer.
const MESSAGE_OVERHEAD: u64 = 5;
const ANSWER_OVERHEAD: u64 = 3;
/// Media types of images.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

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

/// Members with which no client can make an honest provider look bad. `stop_sequences` is none of them.
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
    images: u32,
    documents: u32,
    /// Bytes of images.
    image_bytes: u64,
    /// Calls of the last message that no result answers yet.
    open: Vec<String>,
}

/// Reads a body, and of the headers those that steer routing or that providers of this dialect get.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field or header.
pub(super) fn request(body: Bytes, headers: &HeaderMap, bound: Limit) -> Result<Request, RelayError> {
    let body = document(body)?;
    let object = body.object();
    let mut controls = Controls::read(&object, headers)?;
    let models = models(&object, &mut controls)?;
    let text = object
        .get("messages")
        .ok_or_else(|| RelayError::invalid("missing_messages", "messages", "send at least one message"))?;
    let found = Found::read(text)?;
    let max_output = limit(&object, "max_tokens", 1)?;
    if max_output.is_none() && bound == Limit::Required {
        let message = "send `max_tokens`: the most tokens of the answer";
        return Err(RelayError::invalid("missing_max_tokens", "max_tokens", message));
    }
    if let Some(system) = object.get("system") {
        block::read(system).map_err(|_| wrong("system", "a string or an array of blocks"))?;
    }
    let stream = field(&object, "stream", "true or false")?.unwrap_or(false);
    let needs = needs(&object, &found, stream)?;
    let origin = origin(&object, &models, &controls, &HARMLESS);
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
        text_bytes: (body.text().len() as u64).saturating_sub(found.image_bytes),
        prompt: body.place(text),
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
    need(found.images > 0, capability::VISION);
    need(found.documents > 0, capability::FILE_INPUT);
    let tools: Option<Vec<&RawValue>> = match object.get("tools") {
        Some(tools) => Some(serde_json::from_str(tools).map_err(|_| wrong("tools", "an array"))?),
        None => None,
    };
    need(tools.is_some_and(|tools| !tools.is_empty()), capability::TOOLS);
    if let Some(config) = object.get("output_config") {
        let config = Object::read(config).map_err(|_| wrong("output_config", "an object"))?;
        need(config.get("format").is_some(), capability::JSON_SCHEMA);
    }
    let stops: Option<Vec<String>> = field(object, "stop_sequences", "an array of strings")?;
    drop(stops);
    Ok(needs)
}

impl Found {
    fn read(messages: &str) -> Result<Self, RelayError> {
        let wrong = |message: String| RelayError::invalid("invalid_messages", "messages", message);
        let messages: Vec<Message<'_>> = serde_json::from_str(messages)
            .map_err(|_| wrong("`messages` must be an array of objects with `role` and `content`".into()))?;
        if messages.is_empty() {
            return Err(RelayError::invalid("missing_messages", "messages", "send at least one message"));
        }
        let mut found = Self { count: u32::try_from(messages.len()).unwrap_or(u32::MAX), ..Self::default() };
        for (place, message) in messages.iter().enumerate() {
            let wrong = |what: &str| wrong(format!("`messages.{place}`: {what}"));
            let blocks = block::read(message.content.get())
                .map_err(|_| wrong("`content` must be a string or an array of blocks with `type`"))?;
            match message.role.0.as_ref() {
                "user" => found.answers(&blocks).map_err(|what| wrong(&what))?,
                "assistant" => found.calls(&blocks),
                "system" => {}
                other => {
                    let message =
                        format!("the role `{}` is unknown; roles are user, assistant and system", shorten(other));
                    return Err(wrong(&message));
                }
            }
            for block in &blocks {
                found.block(block).map_err(wrong)?;
            }
        }
        Ok(found)
    }

    fn calls(&mut self, blocks: &[Block<'_>]) {
        let calls = blocks.iter().filter(|block| block.kind() == "tool_use");
        self.open = calls.map(|block| text(&block.id).to_owned()).collect();
    }

    /// Checks that a message answers the calls before it, and nothing else.
    fn answers(&mut self, blocks: &[Block<'_>]) -> Result<(), String> {
        for result in blocks.iter().filter(|block| block.kind() == "tool_result") {
            let id = text(&result.tool_use_id);
            let Some(place) = self.open.iter().position(|open| open == id) else {
                return Err(format!("no `tool_use` in the message before has the id `{}`", shorten(id)));
            };
            self.open.swap_remove(place);
        }
        match self.open.pop() {
            Some(id) => Err(format!("the call `{}` in the message before needs a `tool_result`", shorten(&id))),
            None => Ok(()),
        }
    }

    fn block(&mut self, block: &Block<'_>) -> Result<(), &'static str> {
        match block.kind() {
            "image" => self.image(block),
            "document" => {
                self.documents += 1;
                Ok(())
            }
            "tool_result" => {
                let Some(content) = block.content else { return Ok(()) };
                let blocks = block::read(content.get())
                    .map_err(|_| "the `content` of a `tool_result` must be a string or an array of blocks")?;
                blocks.iter().try_for_each(|block| self.block(block))
            }
            _ => Ok(()),
        }
    }

    fn image(&mut self, block: &Block<'_>) -> Result<(), &'static str> {
        let source = block.source.and_then(|source| serde_json::from_str::<Source<'_>>(source.get()).ok());
        let source = source.ok_or("an image needs a `source`")?;
        let known = match source.kind.0.as_ref() {
            "base64" => IMAGES.contains(&text(&source.media_type)) && !text(&source.data).is_empty(),
            "url" => !text(&source.url).is_empty(),
            _ => true,
        };
        if !known {
            return Err(
                "an image must be base64 data of the type image/jpeg, image/png, image/gif or image/webp, or a URL",
            );
        }
        self.images += 1;
        self.image_bytes += text(&source.data).len() as u64;
        Ok(())
    }
}

/// The texts of a request that a model reads, and the tokens around them.
pub(super) fn prompt(object: &Object<'_>) -> Prompt {
    let mut prompt = Prompt { texts: Vec::new(), overhead: ANSWER_OVERHEAD };
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
