//! A chat completion's request, as this program asks for one itself.

use serde_json::{Value, json};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The model.
    pub model: &'a str,
    /// The conversation, of [`message`]s.
    pub messages: &'a [Value],
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// How the answer comes.
    pub stream: Stream,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Whole.
    Off,
    /// In chunks.
    On,
    /// In chunks, the last of which has the usage.
    WithUsage,
}

impl Question<'_> {
    /// The request's body.
    pub fn body(&self) -> Value {
        let mut body = json!({ "model": self.model, "messages": self.messages, "max_tokens": self.max_tokens });
        if self.stream != Stream::Off {
            body["stream"] = json!(true);
        }
        if self.stream == Stream::WithUsage {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body
    }
}

/// A message of a conversation: what `role` says.
pub fn message(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}
