//! One call to one provider, up to its first content: an answer, a refusal, or a failure that nobody has seen.

use crate::node::Node;
use crate::relay::chunk::{Fault, Transcript};
use crate::relay::plan::Candidate;
use crate::relay::request::ChatRequest;
use crate::relay::sse::Parser;
use crate::score::FailureKind;
use crate::upstream::CallError;
use axum::http::StatusCode;
use bytes::{BufMut, Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use std::error::Error;
use std::time::{Duration, SystemTime};

/// Where chat requests go, below the provider's base URL.
const PATH: &str = "/chat/completions";
/// Most bytes of a stream before its first content, and of one event in it.
const MAX_OPENING: usize = 256 << 10;
/// Most bytes of a provider's error that are passed on.
const MAX_ERROR: usize = 16 << 10;
/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// The two ways to answer, and the one not to.
#[derive(Debug)]
pub enum Kind {
    /// All of it.
    Whole(Bytes),
    /// A stream, committed to.
    Stream(Box<Source>),
    /// The provider says that the request is wrong.
    Refused(StatusCode, Bytes),
}

/// A stream that has had its first content.
#[derive(Debug)]
pub struct Source {
    /// Where more comes from.
    pub response: Response,
    /// Reads events; some may be ready.
    pub parser: Parser,
    /// Events up to the first content, as the client gets them.
    pub opening: BytesMut,
    /// Whether `response` has ended.
    pub ended: bool,
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
}

impl Failure {
    /// A failure after which it may be asked again at once.
    pub fn new(kind: FailureKind, error: impl Into<String>) -> Self {
        Self { kind, retry_after: None, error: error.into() }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::Malformed => FailureKind::Malformed,
            Fault::Reported { status: Some(429) } => FailureKind::RateLimited,
            Fault::Reported { status: Some(status) } => FailureKind::Status(*status),
            Fault::Reported { status: None } => FailureKind::CutStream,
        };
        Self::new(kind, fault.to_string())
    }
}

/// One call to one provider, up to its first content.
///
/// # Errors
/// How the provider failed.
pub async fn attempt(
    node: &Node,
    candidate: &Candidate,
    request: &ChatRequest,
    transcript: &mut Transcript,
) -> Result<Kind, Failure> {
    let body = request
        .for_provider(&candidate.offer.model, candidate.max_output)
        .map_err(|error| Failure::new(FailureKind::Malformed, error.to_string()))?;
    let accept = if request.stream { "text/event-stream" } else { "application/json" };
    let now = node.clock.unix();
    let response = node.upstream.post(&candidate.offer, PATH, body, accept, now).await.map_err(unreachable)?;
    let status = response.status();
    match status.as_u16() {
        200 => {}
        400 | 404 | 413 | 422 => return Ok(refused(status, response).await),
        429 => {
            let retry_after = retry_after(&response, now);
            return Err(Failure { retry_after, ..Failure::new(FailureKind::RateLimited, "status 429") });
        }
        other => {
            let retry_after = retry_after(&response, now);
            let failure = Failure::new(FailureKind::Status(other), format!("status {other}"));
            return Err(Failure { retry_after, ..failure });
        }
    }
    expect_type(&response, accept)?;
    if request.stream {
        commit(response, transcript).await
    } else {
        whole(response, transcript, node.config.upstream.max_answer_bytes).await
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

fn expect_type(response: &Response, expected: &str) -> Result<(), Failure> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if header(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Failure::new(FailureKind::Malformed, "an encoding that was not asked for"));
    }
    let kind = header(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(expected) {
        return Err(Failure::new(FailureKind::Malformed, format!("an answer that is not {expected}")));
    }
    Ok(())
}

/// The header's seconds, or the time until its date.
fn retry_after(response: &Response, now_unix: i64) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now_unix).ok()?);
            httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The provider's own words if they are a JSON object of bounded size, ours otherwise.
async fn refused(status: StatusCode, mut response: Response) -> Kind {
    let body = read_body(&mut response, MAX_ERROR).await.ok();
    let stated = body.filter(|body| {
        std::str::from_utf8(body)
            .is_ok_and(|text| crate::relay::json::check(text).is_ok() && crate::relay::json::Object::read(text).is_ok())
    });
    Kind::Refused(
        status,
        stated.unwrap_or_else(|| {
            let message = format!("the provider refused this request with status {}", status.as_u16());
            let error = serde_json::json!({"error": {
                "message": message, "type": "invalid_request_error", "param": null, "code": "provider_refused",
            }});
            error.to_string().into()
        }),
    )
}

async fn read_body(response: &mut Response, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(FailureKind::Malformed, "an answer larger than allowed");
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > limit => return Err(too_large()),
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(Failure::new(FailureKind::CutStream, chain(error.without_url()))),
        }
    }
}

async fn whole(mut response: Response, transcript: &mut Transcript, limit: usize) -> Result<Kind, Failure> {
    let body = read_body(&mut response, limit).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Fault::Malformed)?;
    if body.is_empty() || !transcript.whole(text)? {
        return Err(Failure::new(FailureKind::Empty, "an empty answer"));
    }
    Ok(Kind::Whole(body))
}

/// Reads a stream up to its first content: until then nothing has reached the client, and another provider can take
/// over unnoticed.
async fn commit(response: Response, transcript: &mut Transcript) -> Result<Kind, Failure> {
    let opening = BytesMut::new();
    let mut source = Source { response, parser: Parser::new(MAX_OPENING), opening, ended: false };
    loop {
        while let Some(event) = source.parser.pop() {
            if event.error {
                return Err(Fault::Reported { status: None }.into());
            }
            if &event.data[..] == b"[DONE]" {
                return Err(Failure::new(FailureKind::Empty, "a stream without content"));
            }
            let passed = transcript.chunk(&event.data)?;
            if let Some(data) = passed.data {
                write_event(&mut source.opening, &data);
            }
            if passed.content {
                return Ok(Kind::Stream(Box::new(source)));
            }
            if source.opening.len() > MAX_OPENING {
                return Err(Failure::new(FailureKind::Malformed, "too much before the first content"));
            }
        }
        if source.ended {
            return Err(Failure::new(FailureKind::Empty, "a stream that ended without content"));
        }
        let too_large = |error: crate::relay::sse::TooLarge| Failure::new(FailureKind::Malformed, error.to_string());
        match source.response.chunk().await {
            Ok(Some(piece)) => source.parser.push(&piece).map_err(too_large)?,
            Ok(None) => {
                source.ended = true;
                source.parser.finish().map_err(too_large)?;
            }
            Err(error) => return Err(Failure::new(FailureKind::CutStream, chain(error.without_url()))),
        }
    }
}

/// `data: …` and an empty line. Data of several lines is written as several, as it came.
pub fn write_event(out: &mut BytesMut, data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

/// A failure's name in metrics and decision records.
pub fn failure_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Connect => "connect",
        FailureKind::FirstTokenTimeout => "first_token_timeout",
        FailureKind::IdleTimeout => "idle_timeout",
        FailureKind::Status(_) => "status",
        FailureKind::RateLimited => "rate_limited",
        FailureKind::Malformed => "malformed",
        FailureKind::Empty => "empty",
        FailureKind::CutStream => "cut_stream",
    }
}
