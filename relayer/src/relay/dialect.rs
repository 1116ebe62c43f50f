//! The wire formats of LLM APIs. A [`Dialect`] reads a client's body into a [`Request`] and a provider's bytes into
//! [`Event`]s, and writes what the relayer adds to an answer. Everything outside this folder sees `Request`, `Event` and
//! `Usage` only, and no member of any dialect's JSON.
//!
//! A new dialect is one module here and one line in [`DIALECTS`].

pub mod chat;

use crate::relay::controls::Controls;
use crate::relay::error::RelayError;
use crate::relay::json::Document;
use crate::relay::sse;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::ops::Range;
use steam_protocol::receipt::FinishReason;
use steam_router::state::capability;

/// The dialects that clients and providers can speak.
static DIALECTS: [&dyn Dialect; 1] = [&chat::Chat];

/// The dialect of the API at `path`, if it is one of an LLM.
pub fn of_path(path: &str) -> Option<&'static dyn Dialect> {
    DIALECTS.into_iter().find(|dialect| dialect.path() == path)
}

/// The dialect of errors at paths that are of no dialect.
pub fn usual() -> &'static dyn Dialect {
    DIALECTS[0]
}

/// A wire format.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Where clients post requests.
    fn path(&self) -> &'static str;

    /// Where providers take requests, below their base URL.
    fn provider_path(&self) -> &'static str;

    /// Reads a client's body, and of the headers those that steer routing.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], naming the field or header.
    fn read(&self, body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError>;

    /// The texts of `request` that a model reads.
    fn prompt(&self, request: &Request) -> Prompt;

    /// The body for a provider of `model`, with the output limit `max_output` in tokens where the client set none.
    ///
    /// # Errors
    /// [`RelayError::Internal`] if `request` is not of this dialect.
    fn body(&self, request: &Request, model: &str, max_output: u32) -> Result<Bytes, RelayError>;

    /// Reads one event of a provider's stream, and hands what it says to `say`.
    ///
    /// # Errors
    /// [`Fault`] if the event is no part of an answer, or what `say` returns.
    fn read_event(&self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault>;

    /// Reads a provider's whole answer, and hands what it says to `say`.
    ///
    /// # Errors
    /// [`Fault`] if the body is no answer, or what `say` returns.
    fn read_whole(&self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault>;

    /// A writer for one answer.
    fn writer(&self) -> Box<dyn Writer>;

    /// The body of an error response.
    fn error(&self, error: &RelayError) -> String;

    /// The body of a refusal whose own words cannot be passed on.
    fn refusal(&self, status: StatusCode) -> String;
}

/// Takes the events of an answer. An error ends the reading.
pub type Say<'a> = dyn FnMut(Event<'_>) -> Result<(), Fault> + 'a;

/// Writes one answer for a client.
pub trait Writer: Send {
    /// An event of a provider of the same dialect, as it came.
    fn event(&mut self, data: &[u8], out: &mut BytesMut);

    /// The usage that is billed, as the last event of a complete stream; `stated` is the provider's own.
    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut);

    /// The end of an answer of which the provider delivered only a part, for each of `choices`.
    fn cut(&self, choices: u32, out: &mut BytesMut);

    /// An error in place of the rest of a stream.
    fn error(&self, error: &RelayError, out: &mut BytesMut);

    /// The end of a complete stream.
    fn end(&self, out: &mut BytesMut);

    /// A whole answer with the usage that is billed; `stated` is the provider's own.
    fn whole(&self, answer: &Whole, stated: Option<&str>, billed: &Billed) -> Bytes;
}

/// A request, as the rest of the relayer sees it.
#[derive(Debug)]
pub struct Request {
    /// The dialect it came in.
    pub dialect: &'static dyn Dialect,
    /// The models to try, in this order, as the client wrote them, suffixes included. Never empty.
    pub models: Vec<String>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client wants the usage at the end of a stream.
    pub include_usage: bool,
    /// Most output tokens of each answer, if the client set a limit.
    pub max_output: Option<u32>,
    /// Answers wanted.
    pub choices: u32,
    /// Bits of [`steam_router::state::capability`].
    pub needs: u64,
    /// Images in the prompt.
    pub images: u32,
    /// The client's wishes about routing.
    pub controls: Controls,
    /// Where the request comes from.
    pub origin: Origin,
    /// Messages of the prompt.
    pub messages: u32,
    /// Tells different prompts apart, until this process ends.
    pub fingerprint: u64,
    /// Bytes of the body that are not images.
    pub text_bytes: u64,
    /// Place of the prompt in the body.
    pub prompt: Range<usize>,
    /// The body, read.
    pub body: Document,
}

impl Request {
    /// The prompt in the bytes it came in.
    pub fn prompt_bytes(&self) -> &[u8] {
        self.body.text().as_bytes().get(self.prompt.clone()).unwrap_or_default()
    }
}

/// Where a request comes from, and so what its answer may say of the provider's honesty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client that leaves the choice to the relayer.
    Open,
    /// A client that chose the provider, or shapes the answer: it could make an honest provider look bad.
    ClientShaped,
    /// The operator, by a prompt that is answered with so many bytes at least.
    Probe {
        /// Bytes below which an answer is cut.
        least_bytes: u64,
    },
}

/// What a model reads of a request.
#[derive(Debug, Default)]
pub struct Prompt {
    /// The texts.
    pub texts: Vec<String>,
    /// Tokens around them.
    pub overhead: u64,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// Text of the answer numbered `choice`.
    Text {
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
    /// A part of a tool call; the text may be empty.
    Call {
        /// Which answer.
        choice: u32,
        /// Name or arguments.
        text: &'a str,
    },
    /// An answer ended.
    Finish {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
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

/// What becomes of an event of a provider's stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A client of the same dialect gets these data.
    Data(Bytes),
    /// It is for the relayer alone.
    Own,
    /// The answer is complete.
    End,
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// The body.
    pub body: Bytes,
    /// Place of the provider's usage in the body.
    pub usage: Option<Range<usize>>,
}

/// Why a provider's bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not an answer, or one of others than were asked for.
    #[error("no answer to this request")]
    Malformed,
    /// The provider reports an error where an answer should be.
    #[error("the provider reported an error")]
    Reported {
        /// The number in it that looks like a status.
        status: Option<u16>,
    },
}

/// Names of the abilities in `bits`, of those that a request can need.
pub fn abilities(bits: u64) -> String {
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
