//! A client that chooses by a policy of the simulator, or by its oracle, and asks the providers itself, with the failover that
//! everybody has.

use crate::field::Field;
use crate::report::Played;
use crate::text::Mark;
use crate::wire::Heard;
use anyhow::Result;
use reqwest::{Response, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use steam::score::{FailureKind, Outcome};
use steam_protocol::units::{Usage, charge};
use steam_simulator::market::objective::dollars;
use steam_simulator::market::provider::patience;
use steam_simulator::policy::{MAX_ATTEMPTS, Router, Spec, is_attempt};
use steam_simulator::simulation::live::Live;
use tokio::time::{Instant, timeout, timeout_at};

/// Time between two pieces of a stream: the relayer's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One policy's client.
pub struct Direct {
    place: usize,
    field: Rc<Field>,
    router: RefCell<Router>,
    live: RefCell<Live<'static>>,
}

/// How an attempt went.
struct Attempted {
    outcome: Outcome,
    /// What is paid for.
    billed: Option<Usage>,
    /// Whether the client had something of it, so that nobody else is asked.
    delivered: bool,
}

impl Attempted {
    fn failed(kind: FailureKind) -> Self {
        Self { outcome: Outcome::Failed { kind, retry_after: None }, billed: None, delivered: false }
    }
}

impl Direct {
    /// The client of `spec`, whose place among the policies is `place`.
    pub fn new(place: usize, spec: &Spec, field: Rc<Field>) -> Self {
        let router = RefCell::new(spec.build(field.market.seed));
        let live = RefCell::new(Live::new(field.market));
        Self { place, field, router, live }
    }

    /// Serves the request in place `index`: who is asked, until somebody delivers.
    ///
    /// # Errors
    /// Where an answer is none that a provider of the market gives.
    pub async fn play(&self, index: usize) -> Result<Played> {
        let clock = self.field.clock;
        let began = Instant::now();
        let request = &self.field.market.requests[index];
        let (mut served, mut usd, mut tried, mut attempts) = (false, 0.0, 0, 0);
        for id in self.order(index) {
            tried += 1;
            let asked = clock.now();
            if let Router::Policy(policy) = &mut *self.router.borrow_mut() {
                policy.started(id, request, asked);
            }
            self.live.borrow_mut().begin(id, index, asked);
            let attempted = self.attempt(id, index).await?;
            let now = clock.now();
            if let Router::Policy(policy) = &mut *self.router.borrow_mut() {
                policy.ended(id, request, &attempted.outcome, now);
            }
            self.live.borrow_mut().end(id, attempted.billed.map(|_| index), now);
            served = matches!(attempted.outcome, Outcome::Served { .. });
            if let Some(usage) = attempted.billed {
                usd = dollars(charge(&self.field.market.providers[id].price_at(asked), &usage));
            }
            attempts += usize::from(is_attempt(&attempted.outcome));
            if served || attempted.delivered || attempts == MAX_ATTEMPTS {
                break;
            }
        }
        Ok(Played { index, served, usd, seconds: began.elapsed().as_secs_f64(), attempts: tried })
    }

    /// The providers to try.
    fn order(&self, index: usize) -> Vec<usize> {
        let (mut router, mut live) = (self.router.borrow_mut(), self.live.borrow_mut());
        let now = self.field.clock.now();
        let positions = match &mut *router {
            Router::Oracle => live.best(index, now),
            Router::Policy(policy) => policy.rank(&live.view(index, now)),
        };
        positions.into_iter().map(|position| live.ids()[position]).collect()
    }

    async fn attempt(&self, id: usize, index: usize) -> Result<Attempted> {
        let request = &self.field.market.requests[index];
        let began = Instant::now();
        let deadline = began + Duration::from_secs_f64(patience(request));
        let body = self.field.body(Mark { policy: self.place, index });
        let url = format!("{}/chat/completions", self.field.providers[id]);
        let sent = self.field.http.post(url).header("content-type", "application/json").body(body).send();
        let response = match timeout_at(deadline, sent).await {
            Err(_) => return Ok(Attempted::failed(FailureKind::FirstTokenTimeout)),
            Ok(Err(error)) if error.is_connect() => return Ok(Attempted::failed(FailureKind::Connect)),
            Ok(Err(_)) => return Ok(Attempted::failed(FailureKind::CutStream)),
            Ok(Ok(response)) if response.status() != StatusCode::OK => return Ok(refused(&response)),
            Ok(Ok(response)) => response,
        };
        if request.streamed {
            self.stream(response, (id, index), (began, deadline)).await
        } else {
            whole(response, (began, deadline)).await
        }
    }

    async fn stream(
        &self,
        mut response: Response,
        (id, index): (usize, usize),
        (began, deadline): (Instant, Instant),
    ) -> Result<Attempted> {
        let request = &self.field.market.requests[index];
        let mut heard = Heard::default();
        let mut ttft = None;
        loop {
            let due = if ttft.is_none() { deadline } else { Instant::now() + IDLE_TIMEOUT };
            let bytes = match timeout_at(due, response.chunk()).await {
                Err(_) if ttft.is_none() => return Ok(Attempted::failed(FailureKind::FirstTokenTimeout)),
                Err(_) | Ok(Err(_) | Ok(None)) => break,
                Ok(Ok(Some(bytes))) => bytes,
            };
            heard.push(&bytes)?;
            if ttft.is_none() && heard.content > 0 {
                ttft = Some(began.elapsed());
                if let Router::Policy(policy) = &mut *self.router.borrow_mut() {
                    policy.began(id, request, self.field.clock.now());
                }
            }
        }
        let Some(ttft) = ttft else { return Ok(Attempted::failed(FailureKind::CutStream)) };
        if heard.whole {
            return served(&heard, true, ttft, began);
        }
        // The relayer's own count of what was delivered is what a cut answer costs.
        let output = (heard.content / crate::text::TOKEN.len()) as u32;
        let billed = Usage { requests: 1, input: request.input, output, ..Usage::default() };
        Ok(Attempted { billed: Some(billed), delivered: true, ..Attempted::failed(FailureKind::CutStream) })
    }
}

async fn whole(response: Response, (began, deadline): (Instant, Instant)) -> Result<Attempted> {
    match timeout(deadline.saturating_duration_since(Instant::now()), response.bytes()).await {
        Err(_) => Ok(Attempted::failed(FailureKind::FirstTokenTimeout)),
        Ok(Err(_)) => Ok(Attempted::failed(FailureKind::CutStream)),
        // The first byte of a whole answer comes with its last.
        Ok(Ok(body)) => served(&Heard::all(&body, None)?, false, began.elapsed(), began),
    }
}

fn served(heard: &Heard, streamed: bool, ttft: Duration, began: Instant) -> Result<Attempted> {
    let Some(usage) = heard.usage.filter(|_| heard.whole) else {
        anyhow::bail!("a provider of the market gave an answer without an end or without usage");
    };
    let cached = usage.prompt_tokens_details.cached_tokens;
    let outcome = Outcome::Served {
        streamed,
        input_tokens: usage.prompt_tokens,
        cached_tokens: cached,
        output_tokens: usage.completion_tokens,
        // A plain client believes what it is told.
        received_tokens: usage.completion_tokens,
        ttft,
        total: began.elapsed(),
    };
    let input = usage.prompt_tokens.saturating_sub(cached);
    let billed = Usage { requests: 1, input, cached, output: usage.completion_tokens, ..Usage::default() };
    Ok(Attempted { outcome, billed: Some(billed), delivered: true })
}

fn refused(response: &Response) -> Attempted {
    let status = response.status();
    let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => FailureKind::RateLimited,
        _ => FailureKind::Status(status.as_u16()),
    };
    let outcome = Outcome::Failed { kind, retry_after: wait.map(Duration::from_secs) };
    Attempted { outcome, billed: None, delivered: false }
}
