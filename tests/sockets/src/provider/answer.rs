//! What an attempt's fate looks like on the wire.

use super::door::Line;
use crate::clock::Clock;
use crate::text::TOKEN;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use steam::score::FailureKind;
use steam_protocol::units::Usage;
use steam_simulator::market::provider::Fate;
use steam_simulator::simulation::live::Begun;

/// Seconds between two events of a stream: tokens that come within that time come together.
const EVERY: f64 = 0.1;

/// An answer to give.
pub struct Planned<G> {
    /// How it goes.
    pub begun: Begun,
    /// When it began, in the market's seconds.
    pub began: f64,
    /// Whether it is streamed.
    pub streamed: bool,
    /// Tokens of the whole answer.
    pub output: u32,
    /// What is billed for it.
    pub claim: Usage,
    /// Chooses among the ways to fail.
    pub way: usize,
    /// What ends with it.
    pub _guard: G,
}

/// Lets `planned` happen.
pub async fn give<G: Send + 'static>(planned: Planned<G>, line: Line, clock: Clock) -> Response {
    let wait = |after: f64| tokio::time::sleep_until(clock.instant(planned.began + after));
    match planned.begun.fate {
        Fate::Failed { kind: FailureKind::FirstTokenTimeout, .. } => std::future::pending().await,
        Fate::Failed { after, kind } => {
            wait(after).await;
            match failed(&planned, kind) {
                Some(answer) => answer,
                None => {
                    line.0.cancel();
                    std::future::pending().await
                }
            }
        }
        Fate::Served { ttft, total } if planned.streamed => {
            let pace = Pace { ttft, end: total, tokens: planned.output, cut: false };
            streamed(planned, clock, pace)
        }
        Fate::Served { total, .. } => {
            wait(total).await;
            let message = json!({ "role": "assistant", "content": said(planned.output) });
            let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
            axum::Json(head("chat.completion", &json!([choice]), Some(&planned.claim))).into_response()
        }
        Fate::Cut { ttft, after, delivered } => {
            streamed(planned, clock, Pace { ttft, end: after, tokens: delivered.max(1), cut: true })
        }
    }
}

/// The error page of a failure; none where the connection breaks.
fn failed<G>(planned: &Planned<G>, kind: FailureKind) -> Option<Response> {
    let error = |status: StatusCode, message: &str| {
        (status, axum::Json(json!({ "error": { "message": message, "type": "server_error" } }))).into_response()
    };
    match kind {
        FailureKind::RateLimited => {
            let mut answer = error(StatusCode::TOO_MANY_REQUESTS, "too many requests");
            if let Some(wait) = planned.begun.retry_after {
                answer.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().into());
            }
            Some(answer)
        }
        FailureKind::Status(_) if planned.way.is_multiple_of(3) => {
            Some(error(StatusCode::INTERNAL_SERVER_ERROR, "an error"))
        }
        FailureKind::Status(_) if planned.way % 3 == 1 => Some(error(StatusCode::SERVICE_UNAVAILABLE, "overloaded")),
        _ => None,
    }
}

/// When a stream's tokens come.
#[derive(Clone, Copy)]
struct Pace {
    ttft: f64,
    end: f64,
    tokens: u32,
    cut: bool,
}

impl Pace {
    /// Tokens that have come so long after the beginning.
    fn due(&self, after: f64) -> u32 {
        if after >= self.end {
            return self.tokens;
        }
        let part = (after - self.ttft) / (self.end - self.ttft);
        (1.0 + part * f64::from(self.tokens.saturating_sub(1))) as u32
    }

    /// When token `number` comes, from 1.
    fn when(&self, number: u32) -> f64 {
        let part = f64::from(number.saturating_sub(1)) / f64::from(self.tokens.saturating_sub(1).max(1));
        self.ttft + part * (self.end - self.ttft)
    }
}

/// Where a stream stands.
struct Stand<G> {
    planned: Planned<G>,
    /// When the next event is due.
    due: f64,
    sent: u32,
    over: bool,
}

fn streamed<G: Send + 'static>(planned: Planned<G>, clock: Clock, pace: Pace) -> Response {
    let stand = Stand { planned, due: pace.ttft.min(pace.end), sent: 0, over: false };
    let events = stream::unfold(stand, move |mut stand| async move {
        if stand.over {
            return None;
        }
        tokio::time::sleep_until(clock.instant(stand.planned.began + stand.due)).await;
        let item = stand.next(pace);
        Some((item, stand))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

impl<G> Stand<G> {
    /// What is sent now; an error breaks the stream off.
    fn next(&mut self, pace: Pace) -> Result<Bytes, std::io::Error> {
        let last = self.due >= pace.end;
        let now = pace.due(self.due).max(self.sent + 1).min(pace.tokens);
        let mut text = String::new();
        if now > self.sent {
            let delta = json!({ "content": said(now - self.sent) });
            text.push_str(&event(&json!([{ "index": 0, "delta": delta, "finish_reason": null }]), None));
            self.sent = now;
        }
        if last && pace.cut && text.is_empty() {
            self.over = true;
            return Err(std::io::Error::other("cut"));
        }
        if last && !pace.cut {
            text.push_str(&event(&json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]), None));
            text.push_str(&event(&json!([]), Some(&self.planned.claim)));
            text.push_str("data: [DONE]\n\n");
            self.over = true;
        }
        self.due = if last { self.due } else { (self.due + EVERY).max(pace.when(now + 1)).min(pace.end) };
        Ok(text.into())
    }
}

fn event(choices: &Value, claim: Option<&Usage>) -> String {
    format!("data: {}\n\n", head("chat.completion.chunk", choices, claim))
}

fn head(object: &str, choices: &Value, claim: Option<&Usage>) -> Value {
    let usage = claim.map(|claim| {
        let prompt = claim.input + claim.cached;
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": claim.output,
            "total_tokens": prompt + claim.output,
            "prompt_tokens_details": { "cached_tokens": claim.cached },
        })
    });
    json!({ "id": "c", "object": object, "created": 1, "model": "market", "choices": choices, "usage": usage })
}

fn said(tokens: u32) -> String {
    TOKEN.repeat(tokens as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Heard;
    use std::time::Duration;
    use steam_simulator::market::provider::Fate;
    use tokio_util::sync::CancellationToken;

    async fn answer(fate: Fate, streamed: bool, way: usize) -> (Response, Line, Clock) {
        let claim = Usage { requests: 1, input: 70, cached: 30, output: 80, ..Usage::default() };
        let begun = Begun { fate, retry_after: Some(Duration::from_secs(7)), cached: 30 };
        let clock = Clock::from(Clock::within(Duration::ZERO));
        let line = Line(CancellationToken::new());
        let planned = Planned { begun, began: clock.now(), streamed, output: 40, claim, way, _guard: () };
        (give(planned, line.clone(), clock).await, line, clock)
    }

    async fn heard(response: Response) -> (Heard, bool) {
        let mut heard = Heard::default();
        let mut body = response.into_body().into_data_stream();
        while let Some(item) = futures::StreamExt::next(&mut body).await {
            let Ok(bytes) = item else { return (heard, true) };
            assert!(!bytes.is_empty(), "an empty piece would end the stream");
            heard.push(&bytes).expect("events");
        }
        (heard, false)
    }

    #[tokio::test]
    async fn a_stream_takes_its_time_and_says_what_it_bills() {
        let (response, _, clock) = answer(Fate::Served { ttft: 0.1, total: 0.5 }, true, 0).await;
        let (heard, broke) = heard(response).await;
        assert!(!broke && heard.whole);
        assert_eq!((heard.content, heard.usage.expect("usage").completion_tokens), (160, 80));
        assert!(clock.now() > 0.49 && clock.now() < 2.0, "{}", clock.now());
    }

    #[tokio::test]
    async fn a_cut_stream_breaks_off_after_what_was_delivered() {
        let (response, ..) = answer(Fate::Cut { ttft: 0.05, after: 0.2, delivered: 12 }, true, 0).await;
        let (heard, broke) = heard(response).await;
        assert!(broke && !heard.whole);
        assert_eq!(heard.content, 48);
    }

    #[tokio::test]
    async fn failures_have_their_pages_or_break_the_connection() {
        let failed = |kind| Fate::Failed { after: 0.01, kind };
        let status = async |kind, way| answer(failed(kind), true, way).await.0.status().as_u16();
        assert_eq!(status(FailureKind::Status(503), 0).await, 500);
        assert_eq!(status(FailureKind::Status(503), 1).await, 503);
        let (limited, ..) = answer(failed(FailureKind::RateLimited), true, 2).await;
        assert_eq!(
            (limited.status().as_u16(), &limited.headers()["retry-after"]),
            (429, &"7".parse().expect("a header"))
        );
        let broken =
            tokio::time::timeout(Duration::from_millis(200), answer(failed(FailureKind::Status(503)), true, 2)).await;
        assert!(broken.is_err(), "it never answers");
    }
}
