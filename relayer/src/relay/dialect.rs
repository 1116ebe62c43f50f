//! The wire formats of LLM APIs. A [`Dialect`] reads a client's body into a [`Request`] and a provider's bytes into
//! [`Event`]s, and writes what the relayer adds to an answer. Everything outside this folder sees `Request`, `Event` and
//! `Usage` only, and no member of any dialect's JSON but the names of which `relay/json/spelling.rs` takes one spelling alone.
//!
//! A new dialect is one module here, one line in [`DIALECTS`], a capability of offers, and a route.

mod caching;
pub mod chat;
pub mod completions;
mod conversation;
pub mod embeddings;
mod event;
mod images;
mod media;
pub mod messages;
pub mod openai;
mod parameters;
mod prompts;
mod read;
pub mod responses;
mod stated;
#[cfg(test)]
mod testing;
mod translate;

pub use caching::{CacheMarks, CacheWrites};
pub use conversation::Unsayable;
pub use event::{Billed, Event, Fault, Piece, Usage, Whole};
pub use images::Image;
pub use stated::Stated;

use crate::relay::controls::Controls;
use crate::relay::error::RelayError;
use crate::relay::json::{self, Document};
use crate::relay::sse;
use crate::upstream::KeyHeader;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use steam_router::state::capability;
use translate::{Render, Translate, Translated};

/// The dialects that clients and providers can speak.
static DIALECTS: [&dyn Dialect; COUNT] =
    [&chat::Chat, &messages::Messages, &responses::Responses, &completions::Completions, &embeddings::Embeddings];
const COUNT: usize = 5;

/// The dialect of the API at `path`, if it is one of an LLM.
pub fn of_path(path: &str) -> Option<&'static dyn Dialect> {
    DIALECTS.into_iter().find(|dialect| dialect.path() == path)
}

/// The dialect of errors at `path`: that of the API which the path is of, or of a client which names a version of Anthropic's.
pub fn of_errors(path: &str, headers: &HeaderMap) -> &'static dyn Dialect {
    let below = |dialect: &&dyn Dialect| {
        path.strip_prefix(dialect.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let usual = || if headers.contains_key(messages::VERSION) { &messages::Messages } else { usual() };
    DIALECTS.into_iter().find(below).unwrap_or_else(usual)
}

/// The dialect of requests that the relayer makes itself.
pub fn usual() -> &'static dyn Dialect {
    DIALECTS[0]
}

/// The dialects that an offer with these capabilities speaks. Offers from before dialects had bits speak chat completions.
pub fn spoken(capabilities: u64) -> u64 {
    let stated = DIALECTS.iter().fold(0, |all, dialect| all | dialect.capability()) & capabilities;
    if stated == 0 { capability::CHAT } else { stated }
}

/// The words of a provider's error, which stand at the same place in every dialect.
pub fn message_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(serde::Deserialize)]
    struct Error {
        message: String,
    }
    serde_json::from_slice(body).ok().map(|Body { error }| error.message)
}

/// A wire format.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Its name in decision records and messages.
    fn name(&self) -> &'static str;

    /// The bit of an offer whose provider speaks it.
    fn capability(&self) -> u64;

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

    /// The body for a provider.
    ///
    /// # Errors
    /// [`RelayError::Internal`] if the request is not of this dialect.
    fn body(&self, request: &Outgoing<'_>) -> Result<Bytes, RelayError>;

    /// A reader of a provider's answer to `request`.
    fn reader(&self, request: &Request) -> Box<dyn Reader>;

    /// A writer for one answer.
    fn writer(&self) -> Box<dyn Writer>;

    /// The body of an error response.
    fn error(&self, error: &RelayError) -> String;

    /// The body of a refusal that cannot be passed on as it came. `stated` is what the provider says.
    fn refusal(&self, status: StatusCode, stated: &Stated) -> String;

    /// How providers of this dialect serve clients of others, if they do.
    fn render(&self) -> Option<Render> {
        None
    }

    /// How clients of this dialect are served by providers of others, if they are.
    fn translate(&self) -> Option<&'static (dyn Translate + Sync)> {
        None
    }

    /// Further headers of a request to a provider.
    fn headers(&self, _: &Request) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// The parameter by which a request needs this capability.
    fn parameter_of(&self, capability: u64) -> Option<&'static str> {
        chat::parameter_of(capability)
    }

    /// Whether models may reason where a request says nothing of it.
    fn reasons_unasked(&self) -> bool {
        true
    }

    /// Whether prompts may be written to a cache where a request says nothing of it.
    fn caches_unasked(&self) -> bool {
        true
    }

    /// The header in which a provider takes its key.
    fn key_header(&self) -> KeyHeader {
        KeyHeader::Authorization
    }
}

/// A request as a provider is to get it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The request, in the provider's dialect.
    pub document: &'a Document,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// The model as the provider knows it.
    pub model: &'a str,
    /// The output limit in tokens, where the document has none or another.
    pub max_output: Option<u32>,
    /// What the provider's offer says that it can do.
    pub capabilities: u64,
}

/// Reads one answer of a provider, whole or streamed, and hands what it says to `say`.
pub trait Reader: fmt::Debug + Send {
    /// Reads one event of a stream.
    ///
    /// # Errors
    /// [`Fault`] if the event is no part of an answer, or what `say` returns.
    fn event(&mut self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault>;

    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`Fault`] if the body is no answer, or what `say` returns.
    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault>;

    /// The stream has ended without its last event, after it said why an answer ended. Returns what completes it for the client;
    /// `None` if other answers have not ended.
    fn close(&mut self) -> Option<Vec<Bytes>> {
        Some(Vec::new())
    }
}

/// Takes the events of an answer. An error ends the reading.
pub type Say<'a> = dyn FnMut(Event<'_>) -> Result<(), Fault> + 'a;

/// Writes one answer for a client.
pub trait Writer: Send {
    /// An event of a provider of the same dialect, as it came.
    fn event(&mut self, data: &[u8], out: &mut BytesMut);

    /// Keeps an event that has the usage and nothing else, for [`Self::usage`].
    fn keep(&mut self, _: &Bytes) {}

    /// The usage that is billed, as the last event of a complete stream; `stated` is the provider's own.
    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut);

    /// The end of answers of which the provider delivered only a part: those numbered `choices`.
    fn cut(&self, choices: &[u32], out: &mut BytesMut);

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
    /// Answers wanted; of embeddings, vectors.
    pub choices: u32,
    /// Prompts in the request, each with a context of its own.
    pub prompts: u32,
    /// Bits of [`steam_router::state::capability`].
    pub needs: u64,
    /// Images in the prompt.
    pub images: Vec<Image>,
    /// The client's wishes about routing.
    pub controls: Controls,
    /// Where the request comes from.
    pub origin: Origin,
    /// What it says of prompt caches.
    pub caching: CacheMarks,
    /// Messages of the prompt.
    pub messages: u32,
    /// Tells different prompts apart, until this process ends.
    pub fingerprint: u64,
    /// Bytes of the body that are not media.
    pub text_bytes: u64,
    /// Tokens of documents and sounds in the prompt.
    pub media_tokens: u64,
    /// Whether the model is to reason.
    pub reasoning: Reasoning,
    /// Place of the prompt in the body.
    pub prompt: Range<usize>,
    /// The body, read.
    pub body: Document,
    /// Headers for providers of the same dialect.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The request in other dialects.
    pub translations: Translations,
}

/// A request in other dialects, each written when it is first needed.
#[derive(Debug, Default)]
pub struct Translations([OnceLock<Result<Translation, Unsayable>>; COUNT]);

/// A request in another dialect.
#[derive(Debug)]
struct Translation {
    document: Document,
    /// Paths of what the client can do without and the dialect has no word for.
    left_out: Vec<String>,
}

/// Why a provider cannot be asked in any dialect that it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unspoken {
    /// The reason, as a clause after the provider's name.
    pub reason: String,
    /// The field that its dialects have no word for, if that is the reason.
    pub field: Option<String>,
}

impl Request {
    /// The dialect in which a provider with these capabilities is asked: the client's own if it speaks that.
    ///
    /// # Errors
    /// [`Unspoken`].
    pub fn dialect_for(&self, capabilities: u64) -> Result<&'static dyn Dialect, Unspoken> {
        let spoken = spoken(capabilities);
        if spoken & self.dialect.capability() != 0 {
            return Ok(self.dialect);
        }
        let (mut names, mut field) = (Vec::new(), None);
        for (place, dialect) in DIALECTS.into_iter().enumerate() {
            if spoken & dialect.capability() == 0 || dialect.render().is_none() || self.dialect.translate().is_none() {
                continue;
            }
            match self.translation(place) {
                Ok(_) => return Ok(dialect),
                Err(unsayable) => {
                    names.push(dialect.path());
                    field.get_or_insert(unsayable.field.clone());
                }
            }
        }
        let reason = match &field {
            None => format!("does not speak {}", self.dialect.path()),
            Some(field) => format!("speaks {}, which has no word for `{field}`", names.join(" and ")),
        };
        Err(Unspoken { reason, field })
    }

    /// The request in `dialect`, which [`Self::dialect_for`] chose.
    ///
    /// # Errors
    /// [`RelayError::Internal`] if it cannot be said in it.
    pub fn said_in(&self, dialect: &dyn Dialect) -> Result<&Document, RelayError> {
        if dialect.capability() == self.dialect.capability() {
            return Ok(&self.body);
        }
        let translated = self.translated(dialect).map(|translation| &translation.document);
        translated.ok_or(RelayError::Internal("a dialect that was not chosen"))
    }

    /// Paths of what a provider that is asked in `dialect` is not told.
    pub fn left_out(&self, dialect: &dyn Dialect) -> &[String] {
        if dialect.capability() == self.dialect.capability() {
            return &[];
        }
        self.translated(dialect).map_or(&[], |translation| &translation.left_out)
    }

    /// Whether a provider with these capabilities that is asked in `dialect` may bill reasoning that it does not show.
    pub fn hides_reasoning(&self, dialect: &dyn Dialect, capabilities: u64) -> bool {
        match self.reasoning {
            Reasoning::Asked => true,
            Reasoning::Off => false,
            Reasoning::Usual => capabilities & capability::REASONING != 0 && dialect.reasons_unasked(),
        }
    }

    fn translated(&self, dialect: &dyn Dialect) -> Option<&Translation> {
        let place = DIALECTS.iter().position(|known| known.capability() == dialect.capability())?;
        self.translation(place).as_ref().ok()
    }

    /// A reader of the answer of a provider that is asked in `dialect`; the prompt has about `input` tokens.
    pub fn reader(&self, dialect: &dyn Dialect, now_unix: i64, input: u64) -> Box<dyn Reader> {
        let reader = dialect.reader(self);
        match self.dialect.translate().filter(|_| dialect.capability() != self.dialect.capability()) {
            None => reader,
            Some(client) => Box::new(Translated::new(reader, client.composer(self, now_unix, input), client)),
        }
    }

    fn translation(&self, place: usize) -> &Result<Translation, Unsayable> {
        self.translations.0[place].get_or_init(|| {
            let unsayable = || Unsayable::at(self.dialect.path());
            let render = DIALECTS[place].render().ok_or_else(unsayable)?;
            let client = self.dialect.translate().ok_or_else(unsayable)?;
            let mut conversation = client.parse(self)?;
            let left_out = std::mem::take(&mut conversation.left_out);
            if let Some(path) = left_out.first().filter(|_| self.controls.require_parameters) {
                return Err(Unsayable::at(path));
            }
            if let Some(place) = conversation.broken() {
                return Err(conversation.names.unsayable(place));
            }
            conversation.unseal()?;
            let mut members = render(conversation)?;
            members.insert("stream".into(), self.stream.into());
            let text = json::write_exact(&serde_json::Value::Object(members));
            let document = Document::read(text.into()).map_err(|_| unsayable())?;
            Ok(Translation { document, left_out })
        })
    }

    /// Whether it has nothing beside texts and limits.
    pub fn is_plain(&self) -> bool {
        read::is_plain(&self.body.object())
    }

    /// Gives the memory of the body back, which nobody needs any more once a provider answers.
    pub fn forget_body(&mut self) {
        if let Ok(empty) = Document::read(Bytes::from_static(b"{}")) {
            (self.body, self.translations) = (empty, Translations::default());
        }
    }

    /// The prompt in the bytes it came in.
    pub fn prompt_bytes(&self) -> &[u8] {
        self.body.text().as_bytes().get(self.prompt.clone()).unwrap_or_default()
    }
}

/// Whether a request asks for reasoning, and so whether tokens that nobody sees may be billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reasoning {
    /// It asks for it.
    Asked,
    /// It says nothing.
    Usual,
    /// It asks for none.
    Off,
}

/// Where a request comes from, and so what its answer may say of the provider's honesty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client that leaves the choice to the relayer.
    Open,
    /// The same, by a client that says after which words the answer ends: that it is short or empty is the client's doing.
    ClientEnded,
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
    /// Further tokens that the model's own format may add, which a provider may bill where the relayer knows no tokenizer.
    pub format: u64,
}

/// Names of the abilities in `bits`, of those that a request can need.
pub fn abilities(bits: u64) -> String {
    let known = [
        (capability::STREAMING, "stream"),
        (capability::VISION, "images"),
        (capability::FILE_INPUT, "documents"),
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
