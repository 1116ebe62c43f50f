//! The messages of a chat request: what they hold besides text, and the texts that a model reads.

mod history;

use crate::relay::dialect::media::Media;
use crate::relay::dialect::prompts::{ANSWER_OVERHEAD, CHAT_FORMAT, MESSAGE_OVERHEAD, TOOLS_FORMAT};
use crate::relay::dialect::{Image, Prompt};
use crate::relay::error::RelayError;
use crate::relay::json::{Object, Text, shorten};
use history::Calls;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use steam_router::state::capability;

/// What the messages hold besides text.
#[derive(Default)]
pub(super) struct Messages {
    /// How many there are.
    pub(super) count: u32,
    /// Images in them.
    pub(super) images: Vec<Image>,
    /// Everything that is no text.
    pub(super) media: Media,
    /// The capabilities that the content needs.
    pub(super) needs: u64,
}

/// Who can say something.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
/// Those whose messages are nothing without content.
const ASKERS: [&str; 3] = ["system", "developer", "user"];

impl Messages {
    /// Reads the member `messages`.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it is no array of messages, or one of them is none.
    pub(super) fn read(text: &str) -> Result<Self, RelayError> {
        let expected = "must be an array of objects with `role` and `content`";
        let messages: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| wrong("messages", expected))?;
        if messages.is_empty() {
            return Err(RelayError::invalid("missing_messages", "messages", "send at least one message"));
        }
        let mut found = Self { count: u32::try_from(messages.len()).unwrap_or(u32::MAX), ..Self::default() };
        let mut calls = Calls::default();
        for (place, message) in messages.iter().enumerate() {
            let path = format!("messages.{place}");
            let message: Message<'_> = serde_json::from_str(message.get())
                .map_err(|_| wrong(&path, "must be an object with `role` and `content`"))?;
            let role = message.role.as_ref().map_or("", |Text(role)| role.as_ref());
            if !ROLES.contains(&role) {
                let message = format!("has the unknown role `{}`; roles are {}", shorten(role), ROLES.join(", "));
                return Err(wrong(&format!("{path}.role"), &message));
            }
            let content = format!("{path}.content");
            if ASKERS.contains(&role) && message.content.is_none_or(|content| content.get() == "null") {
                return Err(wrong(&content, "must be a string or an array of parts"));
            }
            found.message(&message, &content)?;
            calls.message(&message, &path)?;
        }
        calls.end()?;
        Ok(found)
    }

    fn message(&mut self, message: &Message<'_>, path: &str) -> Result<(), RelayError> {
        let parts = message.raw_parts().map_err(|_| wrong(path, "must be a string or an array of parts"))?;
        if parts.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong(path, "must not be an empty array: leave the message out, or send a text"));
        }
        for (place, part) in parts.into_iter().flatten().enumerate() {
            let path = format!("{path}.{place}");
            let part: Part<'_> = serde_json::from_str(part.get())
                .map_err(|_| wrong(&path, "must be an object with `type`, and its text a string"))?;
            self.part(&part).map_err(|what| wrong(&path, what))?;
        }
        Ok(())
    }

    fn part(&mut self, part: &Part<'_>) -> Result<(), &'static str> {
        let object = |value: Option<&'_ RawValue>| value.is_some_and(|value| value.get().starts_with('{'));
        match part.kind.0.as_ref() {
            "text" if part.text.is_none() => Err("of type `text` needs `text`"),
            "image_url" => {
                let image = part.image_url.ok_or("of type `image_url` needs `image_url`")?;
                self.images.push(pictured(image.get())?);
                self.media.image(image.get().len());
                self.needs |= capability::VISION;
                Ok(())
            }
            "input_audio" if object(part.input_audio) => {
                self.media.audio(part.input_audio.map_or(0, |audio| audio.get().len()));
                self.needs |= capability::AUDIO_INPUT;
                Ok(())
            }
            "file" if object(part.file) => {
                let file = part.file.and_then(|file| Object::read(file.get()).ok());
                let data = file.as_ref().and_then(|file| file.get("file_data"));
                self.media.document(data.map(str::len));
                self.needs |= capability::FILE_INPUT;
                Ok(())
            }
            "input_audio" | "file" => Err("needs an object of the name of its type"),
            // What else there may be is for the provider to say.
            _ => Ok(()),
        }
    }
}

/// The image that an `image_url` names: an object with its URL, or the URL alone.
fn pictured(json: &str) -> Result<Image, &'static str> {
    #[derive(Deserialize)]
    struct ImageUrl<'a> {
        #[serde(borrow)]
        url: Text<'a>,
        #[serde(borrow, default)]
        detail: Option<Text<'a>>,
    }
    let read = match serde_json::from_str(json) {
        Ok(image) => Ok(image),
        Err(_) => serde_json::from_str(json).map(|url| ImageUrl { url, detail: None }),
    };
    let ImageUrl { url, detail } = read.map_err(|_| "needs an `image_url` with a `url`")?;
    Image::at(&url.0, detail.as_ref().map(|Text(detail)| detail.as_ref()))
}

fn wrong(path: &str, what: &str) -> RelayError {
    RelayError::invalid("invalid_messages", path, format!("`{path}` {what}"))
}

/// The texts of a request that a model reads, and the tokens around them.
pub(super) fn prompt(object: &Object<'_>) -> Prompt {
    let format = if object.get("tools").or(object.get("functions")).is_some() { TOOLS_FORMAT } else { CHAT_FORMAT };
    let mut prompt = Prompt { texts: Vec::new(), overhead: ANSWER_OVERHEAD, format };
    if let Some(messages) = object.get("messages")
        && let Ok(messages) = serde_json::from_str::<Vec<Message<'_>>>(messages)
    {
        for message in &messages {
            prompt.overhead += MESSAGE_OVERHEAD;
            message.texts(&mut prompt.texts);
        }
    }
    for name in ["tools", "functions", "response_format", "tool_choice"] {
        prompt.texts.extend(object.get(name).map(str::to_owned));
    }
    prompt
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_call_id: Option<Text<'a>>,
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
    #[serde(borrow, default)]
    input_audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// The parts, if the content has parts.
    fn raw_parts(&self) -> Result<Option<Vec<&'a RawValue>>, serde_json::Error> {
        match self.content {
            Some(content) if !content.get().starts_with('"') && content.get() != "null" => {
                serde_json::from_str(content.get()).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn texts(&self, texts: &mut Vec<String>) {
        if let Some(content) = self.content
            && let Ok(Text(text)) = serde_json::from_str::<Text<'_>>(content.get())
        {
            texts.push(text.into_owned());
        }
        let parts = self.raw_parts().ok().flatten().into_iter().flatten();
        for part in parts.filter_map(|part| serde_json::from_str::<Part<'_>>(part.get()).ok()) {
            texts.extend([part.text, part.refusal].into_iter().flatten().map(|Text(text)| Cow::into_owned(text)));
        }
        texts.extend(self.name.iter().map(|Text(name)| name.clone().into_owned()));
        texts.extend([self.tool_calls, self.function_call].into_iter().flatten().map(|calls| calls.get().to_owned()));
    }
}
