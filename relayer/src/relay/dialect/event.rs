//! What an answer says, in the neutral form that every dialect is read into.

use crate::relay::dialect::Stated;
use crate::relay::json::Text;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::ops::Range;
use steam_protocol::receipt::FinishReason;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// The answer's head.
    Begin {
        /// Its id at the provider.
        id: &'a str,
        /// The model as the provider names it.
        model: &'a str,
    },
    /// Text of the answer numbered `choice`.
    Text {
        /// Which answer.
        choice: u32,
        /// The text.
        text: &'a str,
    },
    /// Text in which the model refuses.
    Refusal {
        /// Which answer.
        choice: u32,
        /// The text.
        text: &'a str,
    },
    /// Visible reasoning.
    Reasoning {
        /// Which answer.
        choice: u32,
        /// The text.
        text: &'a str,
    },
    /// The provider's signature of the reasoning before it.
    Seal {
        /// Which answer.
        choice: u32,
        /// The signature.
        seal: &'a str,
    },
    /// Reasoning that only its provider can read.
    Redacted {
        /// Which answer.
        choice: u32,
        /// What it is encrypted to.
        data: &'a str,
    },
    /// A part of a tool call; each text may be empty.
    Call {
        /// Which answer.
        choice: u32,
        /// Which of its calls.
        call: u32,
        /// The call's id.
        id: &'a str,
        /// The function's name.
        name: &'a str,
        /// A part of the arguments.
        arguments: &'a str,
    },
    /// Content that no other dialect has a word for.
    Other {
        /// Which answer.
        choice: u32,
        /// Its text or JSON.
        text: &'a str,
    },
    /// A page that the text before it cites.
    Citation {
        /// Which answer.
        choice: u32,
        /// Its `url` and `title`, and from which letter of the answer to which it is cited.
        source: &'a Value,
    },
    /// An embedding: content without text.
    Vector {
        /// The input's place.
        choice: u32,
    },
    /// An answer ended.
    Finish {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
        /// The text that ended it, if the provider names it.
        stop: Option<&'a str>,
    },
    /// What the provider says was used.
    Usage {
        /// The counts, if they are counts.
        usage: Option<Usage>,
        /// The provider's own JSON.
        stated: &'a str,
    },
}

/// Tokens of an exchange, as a provider counts them. Nothing in it is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, those read from and written to a cache included.
    pub prompt: u64,
    /// Input tokens that came from a cache.
    pub cached: u64,
    /// Input tokens written to a cache of the shorter lifetime.
    pub cache_write: u64,
    /// Input tokens written to a cache of the longer lifetime.
    pub cache_write_long: u64,
    /// Output tokens, hidden reasoning included.
    pub completion: u64,
    /// Output tokens that are reasoning.
    pub reasoning: u64,
}

/// What a client is told was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// Input tokens, without those read from or written to a cache.
    pub input: u32,
    /// Cached input tokens.
    pub cached: u32,
    /// Input tokens written to a cache of the shorter lifetime.
    pub cache_write: u32,
    /// Input tokens written to a cache of the longer lifetime.
    pub cache_write_long: u32,
    /// Output tokens.
    pub output: u32,
    /// Cost in USD, fee included, as an exact decimal number.
    pub cost_usd: String,
}

impl Billed {
    /// Input tokens written to a cache.
    pub(super) fn written(&self) -> u64 {
        u64::from(self.cache_write) + u64::from(self.cache_write_long)
    }

    /// All input tokens.
    pub(super) fn prompt(&self) -> u64 {
        u64::from(self.input) + u64::from(self.cached) + self.written()
    }

    /// What was written to a cache, by its lifetime, under Anthropic's names.
    pub(super) fn lifetimes(&self) -> Value {
        json!({ "ephemeral_5m_input_tokens": self.cache_write, "ephemeral_1h_input_tokens": self.cache_write_long })
    }

    /// `usage` with the cost in place of whatever the provider says of it.
    pub(super) fn with_cost(&self, mut usage: Map<String, Value>) -> String {
        usage.remove("cost");
        let mut text = Value::Object(usage).to_string();
        // Written by hand: an amount of pico-USDC is exact in decimal and not in a float.
        text.pop();
        text.push_str(",\"cost\":");
        text.push_str(&self.cost_usd);
        text.push('}');
        text
    }
}

/// What becomes of an event of a provider's stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The client gets these data, as they came.
    Data(Bytes),
    /// The client gets these data, which are translated.
    Composed(Vec<Bytes>),
    /// It is for the relayer alone.
    Own,
    /// It has the usage and nothing else: the client gets it at the end, with what is billed.
    Usage(Bytes),
    /// The answer is complete. The client gets these data, if there are any.
    End(Vec<Bytes>),
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// The body.
    pub body: Bytes,
    /// Place of the provider's usage in the body.
    pub usage: Option<Range<usize>>,
}

impl Whole {
    /// The body with `usage` in its place; every other byte stays.
    pub(super) fn with_usage(&self, usage: &str) -> Bytes {
        let body = &self.body[..];
        // An answer is an object with members: the last brace ends it.
        let end = body.iter().rposition(|&byte| byte == b'}').unwrap_or(body.len());
        let (before, label, after) = match &self.usage {
            Some(place) => (&body[..place.start], "", &body[place.end..]),
            None => (&body[..end], ",\"usage\":", &body[end..]),
        };
        [before, label.as_bytes(), usage.as_bytes(), after].concat().into()
    }
}

/// Why a provider's bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not an answer, or one of others than were asked for.
    #[error("no answer to this request")]
    Malformed,
    /// The provider reports an error where an answer should be.
    #[error("the provider reported an error")]
    Reported(Box<Stated>),
}

/// The member `type` of an event's data, which names it in dialects whose events have names. What has none is an error.
pub(super) fn kind(json: &str) -> Cow<'_, str> {
    // It is the first member nearly always, and nothing more of a token's event has to be read then.
    let first = json.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split_once('"'));
    if let Some((kind, _)) = first.filter(|(kind, _)| !kind.contains('\\')) {
        return Cow::Borrowed(kind);
    }
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
    }
    serde_json::from_str::<Typed<'_>>(json).map_or(Cow::Borrowed("error"), |typed| typed.kind.0)
}
