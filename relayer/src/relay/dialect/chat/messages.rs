//! The messages of a chat request: what they hold besides text, and the texts that a model reads.

use crate::relay::dialect::Prompt;
use crate::relay::error::RelayError;
use crate::relay::json::{Object, Text, shorten};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Tokens around a message in the chat formats of known models, role included.
pub(super) const MESSAGE_OVERHEAD: u64 = 5;
/// Tokens that start the answer.
pub(super) const ANSWER_OVERHEAD: u64 = 3;

/// What the messages hold besides text.
#[derive(Default)]
pub(super) struct Messages {
    /// How many there are.
    pub(super) count: u32,
    /// Images in them.
    pub(super) images: u32,
    /// Bytes of the images.
    pub(super) image_bytes: u64,
}

impl Messages {
    /// Reads the member `messages`.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it is no array of messages, or holds a kind of content that is not supported.
    pub(super) fn read(text: &str) -> Result<Self, RelayError> {
        let wrong = |message: &str| RelayError::invalid("invalid_messages", "messages", message);
        let messages: Vec<Message<'_>> = serde_json::from_str(text)
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

/// The texts of a request that a model reads, and the tokens around them.
pub(super) fn prompt(object: &Object<'_>) -> Prompt {
    let mut prompt = Prompt { texts: Vec::new(), overhead: ANSWER_OVERHEAD };
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
