//! One call to one provider, up to its first content: an answer, a refusal, or a failure that nobody has seen.

use crate::body::{Body, BodyError};
use crate::relay::dialect::{Dialect, Fault, Outgoing, Piece, Stated, Whole};
use crate::relay::error::RelayError;
use crate::relay::job::Job;
use crate::relay::json::Document;
use crate::relay::plan::Candidate;
use crate::relay::refusal::Meaning;
use crate::relay::sse::{Parser, TooLarge};
use crate::relay::transcript::Transcript;
use crate::score::FailureKind;
use crate::upstream::{Call, CallError};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use std::error::Error;
use std::time::{Duration, SystemTime};

/// Most bytes of a stream's events before its first content.
const MAX_OPENING: usize = 256 << 10;
/// Most bytes of a provider's error that are passed on.
const MAX_ERROR: usize = 16 << 10;
/// Time to read what a failed provider says, for the record.
const CAUSE_PATIENCE: Duration = Duration::from_millis(300);
/// Longest cause that is kept, in bytes.
const MAX_CAUSE: usize = 200;
/// The status of an error in a whole answer that states none.
const INTERNAL: u16 = 500;
/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// Pause before the same provider is asked again, unless it asked for another pause.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause that a provider may ask for and is asked again after.
const LONGEST_REPEAT_PAUSE: Duration = Duration::from_secs(3);

/// What a provider has sent of its answer.
#[derive(Debug)]
pub enum Incoming {
    /// The whole answer.
    Whole(Whole),
    /// A stream up to its first content.
    Stream(Box<Source>),
    /// The provider says that the request is wrong.
    Refused(Refusal),
}

/// What a provider says in place of an answer.
#[derive(Debug)]
pub struct Refusal {
    /// 400, 413 or 422.
    pub status: StatusCode,
    /// A JSON object, in the client's dialect.
    pub body: Bytes,
    /// What it means.
    pub meaning: Meaning,
}

/// A stream that has had its first content.
#[derive(Debug)]
pub struct Source {
    /// Where more comes from.
    pub response: Body,
    /// Reads events; some may be ready.
    pub parser: Parser,
    /// Data of the events up to the first content, for the client.
    pub opening: Vec<Bytes>,
    /// Whether `response` has ended.
    pub ended: bool,
    /// Data of the answer's end for the client, if it came with the first content.
    pub closing: Option<Vec<Bytes>>,
}

/// Why a provider did not serve.
#[derive(Debug)]
pub struct Failure {
    /// In what way.
    pub kind: FailureKind,
    /// How long it asked to be left alone.
    pub retry_after: Option<Duration>,
    /// In words.
    pub error: String,
    /// What it says, if that is that the request is wrong.
    refusal: Option<Box<Stated>>,
}

impl Failure {
    /// A failure after which it may be asked again at once.
    pub fn new(kind: FailureKind, error: impl Into<String>) -> Self {
        Self { kind, retry_after: None, error: error.into(), refusal: None }
    }

    /// How long to wait before the same provider is asked once more; nothing if that would hardly help.
    pub fn pause(&self) -> Option<Duration> {
        let passing = match self.kind {
            FailureKind::Connect | FailureKind::RateLimited | FailureKind::CutStream => true,
            FailureKind::Status(status) => status >= 500 || status == 408,
            FailureKind::FirstTokenTimeout | FailureKind::IdleTimeout | FailureKind::Malformed | FailureKind::Empty => {
                false
            }
        };
        let pause = self.retry_after.unwrap_or(REPEAT_PAUSE);
        (passing && pause <= LONGEST_REPEAT_PAUSE).then_some(pause.max(REPEAT_PAUSE))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let error = fault.to_string();
        let stated = match fault {
            Fault::Malformed => return Self::new(FailureKind::Malformed, error),
            Fault::Reported(stated) => stated,
        };
        let kind = match stated.status {
            Some(429) => FailureKind::RateLimited,
            Some(status) => FailureKind::Status(status),
            None => FailureKind::CutStream,
        };
        let status = stated.status.map(|status| format!("status {status} in an answer"));
        let words = stated.message.as_deref().map(printable).filter(|words| !words.is_empty());
        let error = match (status, words) {
            (Some(status), Some(words)) => format!("{status}: {words}"),
            (Some(status), None) => status,
            (None, Some(words)) => format!("{error}: {words}"),
            (None, None) => error,
        };
        let refusal = stated.refusal().is_some().then_some(stated);
        Self { refusal, ..Self::new(kind, error) }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Http(error) => Self::new(FailureKind::CutStream, chain(error.without_url())),
            // Of one piece, that is: the whole has a bound of its own.
            BodyError::TooLong => BodyError::Unpack.into(),
            BodyError::Coding | BodyError::Unpack => Self::new(FailureKind::Malformed, error.to_string()),
        }
    }
}

/// One call to one provider, up to its first content.
///
/// # Errors
/// How the provider failed.
pub async fn attempt(job: &Job, candidate: &Candidate) -> Result<(Incoming, Transcript), Failure> {
    let Job { node, market, request, .. } = job;
    let dialect = candidate.dialect;
    let translated = dialect.capability() != request.dialect.capability();
    let bug = |error: RelayError| Failure::new(FailureKind::Malformed, error.to_string());
    let proof = market.proof(&candidate.offer);
    let outgoing = Outgoing {
        document: request.said_in(dialect).map_err(bug)?,
        stream: request.stream,
        model: proof.and_then(|proof| proof.model.as_deref()).unwrap_or(&candidate.offer.model),
        max_output: (translated || request.max_output != Some(candidate.max_output)).then_some(candidate.max_output),
        capabilities: candidate.offer.capabilities,
    };
    let body = dialect.body(&outgoing).map_err(bug)?;
    let accept = if request.stream { "text/event-stream" } else { "application/json" };
    let now = node.clock.unix();
    let headers = dialect.headers(request);
    let call = Call { path: dialect.provider_path(), accept, headers, key_header: dialect.key_header() };
    let response = node.upstream.post(&candidate.offer, call, body, now).await.map_err(unreachable)?;
    let limit = node.config.upstream.max_answer_bytes;
    let transcript = || {
        Transcript::new(
            candidate.input.counting,
            request.choices,
            candidate.max_output,
            request.reader(dialect, now, candidate.input.estimate()),
        )
    };
    let status = response.status();
    match status.as_u16() {
        200 => {}
        400 | 413 | 422 => {
            let refusal = refusal(dialect, request.dialect, status, response).await;
            return Ok((Incoming::Refused(refusal), transcript()));
        }
        other => {
            // `Retry-After` is used with 408, 425, 429 and 5xx only: waiting does not help after 401, 403 or 404.
            let later = matches!(other, 408 | 425 | 429 | 500..);
            let retry_after = retry_after(&response, now).filter(|_| later);
            let kind = if other == 429 { FailureKind::RateLimited } else { FailureKind::Status(other) };
            let cause = cause(response).await.map(|cause| format!(": {cause}")).unwrap_or_default();
            return Err(Failure { retry_after, ..Failure::new(kind, format!("status {other}{cause}")) });
        }
    }
    let kind = Kind::of(&response);
    let response = Body::new(response, limit)?;
    let answered = match (request.stream, kind) {
        (_, Kind::Page) => return Err(unexpected(accept)),
        (true, Kind::Json) => error_in_place_of_stream(response, transcript(), limit).await,
        (true, _) => stream(response, transcript(), limit).await,
        (false, Kind::Events) => return Err(unexpected(accept)),
        (false, _) => whole(response, transcript(), limit).await,
    };
    match answered {
        Err(Failure { refusal: Some(stated), .. }) => {
            // An answer with the status 200 that says it is a refusal is one.
            let status = stated.refusal().and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.unwrap_or(StatusCode::BAD_REQUEST);
            let body = request.dialect.refusal(status, &stated).into();
            Ok((Incoming::Refused(Refusal { status, body, meaning: stated.meaning }), transcript()))
        }
        answered => answered,
    }
}

fn unreachable(error: CallError) -> Failure {
    match error {
        CallError::Url(problem) => Failure::new(FailureKind::Connect, problem),
        // The whole chain, without the URL: a name that resolves to a private address ends here.
        CallError::Http(error) if error.is_connect() => Failure::new(FailureKind::Connect, chain(error.without_url())),
        CallError::Http(error) => Failure::new(FailureKind::CutStream, chain(error.without_url())),
    }
}

fn chain(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.truncate(text.floor_char_boundary(200));
    text
}

/// What the headers of an answer say that it is. Many providers say nothing, or that it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Json,
    /// A page for people.
    Page,
    Unknown,
}

impl Kind {
    fn of(response: &Response) -> Self {
        let header = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = header.split(';').next().unwrap_or_default().trim();
        let is = |kind: &str| essence.eq_ignore_ascii_case(kind);
        match () {
            () if is("text/event-stream") => Self::Events,
            () if is("application/json") || is("application/problem+json") => Self::Json,
            () if is("text/html") => Self::Page,
            () => Self::Unknown,
        }
    }
}

fn unexpected(expected: &str) -> Failure {
    Failure::new(FailureKind::Malformed, format!("an answer that is not {expected}"))
}

/// Some providers answer a request for a stream with the JSON of an error and the status 200.
async fn error_in_place_of_stream(
    response: Body,
    transcript: Transcript,
    limit: usize,
) -> Result<(Incoming, Transcript), Failure> {
    match whole(response, transcript, limit).await {
        Ok(_) => Err(unexpected("text/event-stream")),
        Err(failure) => Err(failure),
    }
}

/// What a failed provider says, if it says it soon.
async fn cause(response: Response) -> Option<String> {
    let mut response = Body::new(response, MAX_ERROR).ok()?;
    let body = tokio::time::timeout(CAUSE_PATIENCE, read_body(&mut response, MAX_ERROR)).await.ok()?.ok()?;
    Stated::read(std::str::from_utf8(&body).ok()?)
        .message
        .map(|words| printable(&words))
        .filter(|words| !words.is_empty())
}

/// The beginning of a stranger's words, without line breaks, marks of direction and other controls.
fn printable(words: &str) -> String {
    let mut text: String = crate::words::printable(words).chars().take(MAX_CAUSE).collect();
    text.truncate(text.floor_char_boundary(MAX_CAUSE));
    text.trim().to_owned()
}

/// How long the provider asks to be left alone: `retry-after-ms`, or `Retry-After` in seconds, which may have a fraction, or as
/// a date.
fn retry_after(response: &Response, now_unix: i64) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str, unit: f64| {
        let number: f64 = text.parse().ok()?;
        Duration::try_from_secs_f64((number / unit).min(MAX_RETRY_AFTER.as_secs_f64())).ok()
    };
    if let Some(wait) = header("retry-after-ms").and_then(|text| seconds(text, 1e3)) {
        return Some(wait);
    }
    let text = header(RETRY_AFTER.as_str())?;
    let wait = match seconds(text, 1.0) {
        Some(wait) => wait,
        None => {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now_unix).ok()?);
            httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The provider's own words if they are a JSON object of bounded size, the relayer's otherwise.
async fn refusal(spoken: &dyn Dialect, client: &dyn Dialect, status: StatusCode, response: Response) -> Refusal {
    let body = match Body::new(response, MAX_ERROR) {
        Ok(mut body) => read_body(&mut body, MAX_ERROR).await.unwrap_or_default(),
        Err(_) => Bytes::new(),
    };
    let document = Document::read(body.clone()).ok();
    let stated = document.as_ref().map(|document| Stated::read(document.text())).unwrap_or_default();
    let meaning = stated.meaning;
    let own = document.is_some() && spoken.capability() == client.capability();
    let body = if own { body } else { client.refusal(status, &stated).into() };
    Refusal { status, body, meaning }
}

async fn read_body(response: &mut Body, limit: usize) -> Result<Bytes, Failure> {
    if response.length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    // Most answers come in one piece, which is not copied.
    let Some(first) = next_piece(response, limit).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_piece(response, limit - first.len()).await? else { return Ok(first) };
    let mut body = BytesMut::from(first);
    body.extend_from_slice(&second);
    while let Some(piece) = next_piece(response, limit - body.len()).await? {
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// The next piece of a body, of at most `room` bytes.
async fn next_piece(response: &mut Body, room: usize) -> Result<Option<Bytes>, Failure> {
    match response.chunk().await? {
        Some(piece) if piece.len() > room => Err(too_large()),
        piece => Ok(piece),
    }
}

fn too_large() -> Failure {
    Failure::new(FailureKind::Malformed, "an answer larger than allowed")
}

async fn whole(
    mut response: Body,
    mut transcript: Transcript,
    limit: usize,
) -> Result<(Incoming, Transcript), Failure> {
    let body = read_body(&mut response, limit).await?;
    let empty = || Failure::new(FailureKind::Empty, "an empty answer");
    if body.is_empty() {
        return Err(empty());
    }
    let (answer, content) = transcript.whole(body).map_err(whole_fault)?;
    if content { Ok((Incoming::Whole(answer), transcript)) } else { Err(empty()) }
}

/// The failure of a whole answer that is an error: nothing was cut, and where it states no status it is the provider's own.
fn whole_fault(fault: Fault) -> Failure {
    let own = matches!(&fault, Fault::Reported(stated) if stated.status.is_none() && !stated.breaks_off);
    let failure = Failure::from(fault);
    if own { Failure { kind: FailureKind::Status(INTERNAL), ..failure } } else { failure }
}

/// Reads a stream up to its first content: until then nothing has reached the client, and another provider can take
/// over unnoticed.
async fn stream(response: Body, mut transcript: Transcript, limit: usize) -> Result<(Incoming, Transcript), Failure> {
    let parser = Parser::new(limit);
    let mut source = Source { response, parser, opening: Vec::new(), ended: false, closing: None };
    let mut bytes = 0;
    loop {
        while let Some(event) = source.parser.pop() {
            let (piece, content) = transcript.event(&event)?;
            match piece {
                Piece::End(data) if content => source.closing = Some(data),
                Piece::End(_) => return Err(Failure::new(FailureKind::Empty, "a stream without content")),
                // Usage before any content is not the last word.
                Piece::Own | Piece::Usage(_) => {}
                Piece::Data(data) => {
                    bytes += data.len();
                    source.opening.push(data);
                }
                Piece::Composed(data) => {
                    bytes += data.iter().map(Bytes::len).sum::<usize>();
                    source.opening.extend(data);
                }
            }
            if content {
                return Ok((Incoming::Stream(Box::new(source)), transcript));
            }
            if bytes > MAX_OPENING {
                return Err(Failure::new(FailureKind::Malformed, "too much before the first content"));
            }
        }
        if source.ended {
            return Err(Failure::new(FailureKind::Empty, "a stream that ended without content"));
        }
        let too_large = |error: TooLarge| Failure::new(FailureKind::Malformed, error.to_string());
        match source.response.chunk().await? {
            Some(piece) => source.parser.push(&piece).map_err(too_large)?,
            None => {
                source.ended = true;
                source.parser.finish().map_err(too_large)?;
            }
        }
    }
}
