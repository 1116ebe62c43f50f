//! Finding a provider that answers: every failure before the first content moves on to the next candidate, until one
//! serves, one says that the request itself is wrong, or the attempts are used up.

use crate::relay::Relay;
use crate::relay::chunk::{Fault, Transcript};
use crate::relay::decision::{Attempt, OPENED, REFUSED};
use crate::relay::error::RelayError;
use crate::relay::exam;
use crate::relay::plan::{Candidate, Plan, saturate};
use crate::relay::request::ChatRequest;
use crate::relay::sse::Parser;
use crate::relay::upstream::CallError;
use crate::relay::watch::Watch;
use crate::score::{Ask, FailureKind, Outcome};
use axum::http::StatusCode;
use bytes::{BufMut, Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Where chat requests go, below the provider's base URL.
const PATH: &str = "/chat/completions";
/// Most bytes of a stream before its first content, and of one event in it.
const MAX_OPENING: usize = 256 << 10;
/// Most bytes of a provider's error that are passed on.
const MAX_ERROR: usize = 16 << 10;
/// The least speed of a provider whose whole answer is waited for.
const SLOWEST_MS_PER_TOKEN: u64 = 50;
/// The longest `Retry-After` that is believed, and what is said if there is none.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

/// A provider that answers.
#[derive(Debug)]
pub struct Opened {
    /// Who serves it.
    pub candidate: Candidate,
    /// Tells the scorer how it went.
    pub watch: Watch,
    /// When the first content was there.
    pub first_content: Instant,
    /// What was said so far.
    pub transcript: Transcript,
    /// The rest.
    pub kind: Kind,
}

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
struct Failure {
    kind: FailureKind,
    retry_after: Option<Duration>,
    error: String,
}

impl Failure {
    fn new(kind: FailureKind, error: impl Into<String>) -> Self {
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

/// Tries `order` until someone answers, for a request accepted at the first of the two times.
///
/// # Errors
/// [`RelayError::Upstream`], [`RelayError::UpstreamTimeout`] or [`RelayError::UpstreamBusy`] once nobody is left.
pub async fn open(
    relay: &Relay,
    plan: &Plan,
    order: &[Candidate],
    request: &ChatRequest,
    (accepted, deadline): (Instant, Instant),
    attempts: &mut Vec<Attempt>,
) -> Result<Opened, RelayError> {
    let config = &relay.app.config.upstream;
    let mut failures = Vec::new();
    for candidate in order {
        let expected = relay.app.config.routing.expected_output_tokens.min(candidate.max_output);
        let ask = Ask {
            input_tokens: saturate(candidate.input.estimate()),
            expected_output: expected.saturating_mul(plan.choices),
            prefix: plan.prefix,
            ..Ask::default()
        };
        let mut watch = Watch::start(relay.app.clone(), candidate.offer.address, ask);
        let patience = if request.stream {
            Duration::from_millis(config.first_token_timeout_ms)
        } else {
            let generating = u64::from(candidate.max_output).saturating_mul(SLOWEST_MS_PER_TOKEN);
            Duration::from_millis(config.first_token_timeout_ms.saturating_add(generating))
        };
        let until = deadline.min(watch.started() + patience);
        let mut transcript = Transcript::new(candidate.input.counting);
        let result = match timeout_at(until, attempt(relay, candidate, request, &mut transcript)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(FailureKind::FirstTokenTimeout, "no answer in time")),
        };
        match result {
            Ok(kind) => {
                let outcome = match &kind {
                    Kind::Refused(..) => REFUSED,
                    Kind::Whole(_) | Kind::Stream(_) => OPENED,
                };
                attempts.push(Attempt::ended(&candidate.offer, accepted, watch.started(), outcome, None));
                let first_content = Instant::now();
                return Ok(Opened { candidate: candidate.clone(), watch, first_content, transcript, kind });
            }
            Err(failure) => {
                let name = failure_name(failure.kind);
                tracing::debug!(provider = %candidate.offer.provider_name, kind = name, error = %failure.error, "attempt failed");
                relay.metrics.upstream_failed(&candidate.offer.provider_name, name);
                let error = Some(failure.error.clone());
                attempts.push(Attempt::ended(&candidate.offer, accepted, watch.started(), name, error));
                watch.end(Outcome::Failed { kind: failure.kind, retry_after: failure.retry_after });
                if failure.kind == FailureKind::Empty {
                    exam::empty(relay, request, &candidate.offer);
                }
                failures.push(failure);
            }
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(exhausted(attempts, &failures))
}

/// What the client is told once everyone has failed.
fn exhausted(attempts: &[Attempt], failures: &[Failure]) -> RelayError {
    let attempts: Vec<String> =
        attempts.iter().map(|attempt| format!("{} ({})", attempt.name, attempt.outcome)).collect();
    let attempts = attempts.join(", ");
    let all = |wanted: fn(&FailureKind) -> bool| !failures.is_empty() && failures.iter().all(|f| wanted(&f.kind));
    if all(|kind| *kind == FailureKind::RateLimited) {
        let soonest = failures.iter().filter_map(|failure| failure.retry_after).min();
        return RelayError::UpstreamBusy { attempts, retry_after: soonest.unwrap_or(RETRY_AFTER_UNKNOWN) };
    }
    if all(|kind| *kind == FailureKind::FirstTokenTimeout) {
        return RelayError::UpstreamTimeout { attempts };
    }
    RelayError::Upstream { attempts }
}

/// One call to one provider, up to its first content.
async fn attempt(
    relay: &Relay,
    candidate: &Candidate,
    request: &ChatRequest,
    transcript: &mut Transcript,
) -> Result<Kind, Failure> {
    let body = request
        .for_provider(&candidate.offer.model, candidate.max_output)
        .map_err(|error| Failure::new(FailureKind::Malformed, error.to_string()))?;
    let accept = if request.stream { "text/event-stream" } else { "application/json" };
    let now = relay.app.clock.unix();
    let response = relay.app.upstream.post(&candidate.offer, PATH, body, accept, now).await.map_err(unreachable)?;
    let status = response.status();
    match status.as_u16() {
        200 => {}
        400 | 404 | 413 | 422 => return Ok(refused(status, response).await),
        429 => {
            let retry_after = retry_after(&response);
            return Err(Failure { retry_after, ..Failure::new(FailureKind::RateLimited, "status 429") });
        }
        other => {
            let retry_after = retry_after(&response);
            let failure = Failure::new(FailureKind::Status(other), format!("status {other}"));
            return Err(Failure { retry_after, ..failure });
        }
    }
    expect_type(&response, accept)?;
    if request.stream {
        commit(response, transcript).await
    } else {
        whole(response, transcript, relay.app.config.upstream.max_answer_bytes).await
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

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
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
