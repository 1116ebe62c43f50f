//! The one task that owns a request from the hold to the charge. The response only receives from it, so that a client
//! that leaves takes nothing with it that has to be accounted for.

use crate::node::Node;
use crate::relay::attempt::{Kind, failure_name};
use crate::relay::chunk::Transcript;
use crate::relay::decision::{Attempt, Decision};
use crate::relay::error::RelayError;
use crate::relay::exam;
use crate::relay::json::Object;
use crate::relay::meter::{Bill, Bounds, Claim, Own, bill, shown};
use crate::relay::open::{Opened, Opening};
use crate::relay::plan::{Candidate, Plan, saturate};
use crate::relay::pump::{End, Outlet, pump, ticks};
use crate::relay::request::ChatRequest;
use crate::relay::watch::Watch;
use crate::relay::{Answer, base64};
use crate::score::{self, Outcome};
use crate::vaults::{ChargeError, Draft, Hold};
use axum::http::StatusCode;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::receipt::{CountedBy, FinishReason, SignedReceipt};
use steam_protocol::{Hash, sha256};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// A request that is paid for.
pub struct Work {
    /// The node.
    pub node: Arc<Node>,
    /// The request.
    pub request: ChatRequest,
    /// Who can serve it.
    pub plan: Plan,
    /// The order in which they are tried.
    pub order: Vec<Candidate>,
    /// What was decided of each of the plan's routes, and from what.
    pub ranked: Vec<score::Decision>,
    /// The money; dropped, it is free again.
    pub hold: Hold,
    /// The generation's id.
    pub id: String,
    /// When the request was accepted, Unix milliseconds.
    pub started_at_ms: i64,
    /// The same on the steady clock.
    pub started: Instant,
    /// Its place among the concurrent ones.
    pub permit: OwnedSemaphorePermit,
}

/// Whom the answer's head goes to.
pub type Reply = oneshot::Sender<Result<Answer, RelayError>>;

/// How far the answer has got: a provider that thinks for long is bridged by a stream of comments, after which only the
/// stream itself can tell of a failure.
enum Head {
    Waiting(Reply),
    Streaming(Outlet),
}

impl Head {
    /// Waits until the client has left.
    async fn closed(&mut self) {
        match self {
            Self::Waiting(reply) => reply.closed().await,
            Self::Streaming(outlet) => outlet.closed().await,
        }
    }

    /// The stream, begun if it was not; none if nobody takes it.
    fn stream(self, id: &str) -> Option<Outlet> {
        match self {
            Self::Streaming(outlet) => Some(outlet),
            Self::Waiting(reply) => {
                let (outlet, body) = Outlet::new();
                reply.send(Ok(Answer::Stream { id: id.to_owned(), body })).ok().map(|()| outlet)
            }
        }
    }

    /// The end of a request that is not served.
    async fn refuse(self, id: String, status: StatusCode, body: Bytes) {
        match self {
            Self::Waiting(reply) => {
                let _ = reply.send(Ok(Answer::Refused { id, status, body }));
            }
            Self::Streaming(mut outlet) => outlet.event(&String::from_utf8_lossy(&body)).await,
        }
    }

    async fn fail(self, error: RelayError) {
        match self {
            Self::Waiting(reply) => {
                let _ = reply.send(Err(error));
            }
            Self::Streaming(mut outlet) => outlet.event(&error.body().to_string()).await,
        }
    }
}

impl Work {
    /// Serves the request to its end.
    pub async fn run(self, reply: Reply) {
        let upstream = &self.node.config.upstream;
        let models = self.plan.routes.iter().map(|route| upstream.total_timeout(&route.model));
        let deadline = self.started + models.max().unwrap_or(Duration::from_millis(upstream.total_timeout_ms));
        let mut attempts = Vec::new();
        let Some((head, opened)) = self.open(Head::Waiting(reply), deadline, &mut attempts).await else {
            // Nobody waits any more and nothing was delivered: dropping the call aborts it, dropping the hold frees it.
            tracing::info!(id = %self.id, status = "client_gone", "relayed");
            return;
        };
        let Opened { candidate, mut watch, first_content, transcript, kind } = match opened {
            Ok(opened) => opened,
            Err(error) => return head.fail(error).await,
        };
        if !matches!(kind, Kind::Refused(..)) {
            let failovers = attempts.iter().filter(|attempt| attempt.failed()).count();
            self.node.metrics.served(&candidate.offer.model, failovers as u64, self.started.elapsed());
        }
        let ending = Ending { work: self, candidate, first_content, attempts };
        match (kind, head) {
            (Kind::Refused(status, body), head) => {
                watch.end(Outcome::Neutral);
                head.refuse(ending.work.id, status, body).await;
            }
            (Kind::Whole(body), Head::Waiting(reply)) => ending.whole(body, transcript, watch, reply).await,
            (Kind::Whole(_), head @ Head::Streaming(_)) => {
                head.fail(RelayError::Internal("a whole answer to a stream")).await;
            }
            (Kind::Stream(source), head) => {
                let Some(mut outlet) = head.stream(&ending.work.id) else { return };
                let mut transcript = transcript;
                let limits = &ending.work.node.config.upstream;
                let model = &ending.candidate.offer.model;
                let end = pump(*source, &mut transcript, &mut outlet, limits, model, deadline).await;
                ending.stream(end, transcript, watch, outlet).await;
            }
        }
    }

    /// Finds a provider, and keeps the client's connection open meanwhile. Nothing if the client has left.
    async fn open(
        &self,
        mut head: Head,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Option<(Head, Result<Opened, RelayError>)> {
        let opening = Opening {
            node: &self.node,
            plan: &self.plan,
            order: &self.order,
            request: &self.request,
            accepted: self.started,
            deadline,
        };
        let opened = opening.open(attempts);
        tokio::pin!(opened);
        let mut silence = ticks(&self.node.config.upstream);
        loop {
            tokio::select! {
                // Who has left is not sold what came at the same moment.
                biased;
                () = head.closed() => return None,
                opened = &mut opened => return Some((head, opened)),
                _ = silence.tick(), if self.request.stream => {
                    let mut outlet = head.stream(&self.id)?;
                    outlet.comment();
                    head = Head::Streaming(outlet);
                }
            }
        }
    }
}

/// An answer that only needs to be accounted for.
struct Ending {
    work: Work,
    candidate: Candidate,
    first_content: Instant,
    attempts: Vec<Attempt>,
}

impl Ending {
    /// A whole answer is charged first and delivered then, with its receipt.
    async fn whole(self, body: Bytes, transcript: Transcript, mut watch: Watch, reply: Reply) {
        if reply.is_closed() {
            return;
        }
        let bill = self.bill(&transcript, true);
        let usage = shown(transcript.usage.as_deref(), &bill);
        let body: Bytes = match std::str::from_utf8(&body).map(Object::read) {
            Ok(Ok(object)) => object.edited(&[("usage", Some(usage))]).into(),
            Ok(Err(_)) | Err(_) => {
                let _ = reply.send(Err(RelayError::Internal("an answer that was read before")));
                return;
            }
        };
        watch.end(self.served(&bill, &watch, false, Duration::ZERO));
        self.examine(&transcript, false);
        let id = self.work.id.clone();
        let finish = transcript.finish.unwrap_or(FinishReason::Other);
        let answer = match self.charge(sha256(&[&body]), bill, finish, "served").await {
            Ok(receipt) => Ok(Answer::Whole { id, body, receipt: Box::new(receipt) }),
            Err(error) => Err(RelayError::Charge(error)),
        };
        // A client that leaves between the charge and here finds the receipt under its generation's id.
        let _ = reply.send(answer);
    }

    /// A stream's end is sent after its charge is durable.
    async fn stream(self, end: End, transcript: Transcript, mut watch: Watch, mut outlet: Outlet) {
        let complete = matches!(end, End::Complete);
        let bill = self.bill(&transcript, complete);
        let (finish, outcome) = match &end {
            End::Complete => {
                watch.end(self.served(&bill, &watch, true, outlet.waited));
                self.examine(&transcript, false);
                if self.work.request.include_usage {
                    let usage = shown(transcript.usage.as_deref(), &bill);
                    outlet.event(&transcript.own_chunk(&format!(r#""choices":[],"usage":{usage}"#))).await;
                }
                (transcript.finish.unwrap_or(FinishReason::Other), "served")
            }
            End::ClientGone => {
                watch.end(Outcome::Neutral);
                (FinishReason::ClientGone, "client_gone")
            }
            End::Failed { kind, error } => {
                let name = failure_name(*kind);
                self.work.node.metrics.upstream_failed(&self.candidate.offer.provider_name, name);
                tracing::warn!(id = %self.work.id, provider = %self.candidate.offer.provider_name, kind = name, error, "stream cut");
                watch.end(Outcome::Failed { kind: *kind, retry_after: None });
                self.examine(&transcript, true);
                let ended = |index| format!(r#"{{"index":{index},"delta":{{}},"finish_reason":"error"}}"#);
                let choices: Vec<String> = (0..self.work.plan.choices).map(ended).collect();
                outlet.event(&transcript.own_chunk(&format!(r#""choices":[{}]"#, choices.join(",")))).await;
                outlet
                    .event(
                        r#"{"error":{"message":"the provider failed during the answer; what was delivered is charged","type":"upstream_error","param":null,"code":"provider_failed"}}"#,
                    )
                    .await;
                (FinishReason::Error, name)
            }
        };
        match self.charge(outlet.hash(), bill, finish, outcome).await {
            Ok(receipt) => {
                outlet.last(&format!(": steam-receipt {}\n\n", base64(&receipt.to_bytes()))).await;
                if complete {
                    outlet.last("data: [DONE]\n\n").await;
                }
            }
            Err(_) => {
                outlet
                    .last("data: {\"error\":{\"message\":\"the answer could not be accounted for; nothing was charged\",\"type\":\"server_error\",\"param\":null,\"code\":\"not_charged\"}}\n\n")
                    .await;
            }
        }
    }

    fn bill(&self, transcript: &Transcript, complete: bool) -> Bill {
        let offer = &self.candidate.offer;
        let own = Own {
            input: self.candidate.input,
            delivered: transcript.delivered.total(),
            reasoning: transcript.reasoning.total(),
        };
        let bounds = Bounds {
            price: offer.price,
            fee_bps: self.work.hold.fee_bps(),
            held: self.work.hold.ceiling(),
            max_output: self.candidate.max_output.saturating_mul(self.work.plan.choices),
        };
        // Usage that came before the end of a cut stream says nothing about what was delivered.
        let claim = transcript.usage.as_deref().filter(|_| complete).and_then(Claim::read);
        bill(claim, &own, &bounds)
    }

    /// Says what the answer shows of its provider's honesty; `broken` if it broke off.
    fn examine(&self, transcript: &Transcript, broken: bool) {
        let work = &self.work;
        exam::answered(&work.node, &work.request, &self.candidate, work.hold.vault(), transcript, broken);
    }

    /// `waited` is the client's time, not the provider's.
    fn served(&self, bill: &Bill, watch: &Watch, streamed: bool, waited: Duration) -> Outcome {
        let ttft = self.first_content.duration_since(watch.started());
        Outcome::Served {
            streamed,
            input_tokens: bill.usage.input.saturating_add(bill.usage.cached),
            cached_tokens: bill.usage.cached,
            output_tokens: bill.usage.output,
            ttft,
            total: watch.started().elapsed().saturating_sub(waited).max(ttft),
        }
    }

    async fn charge(
        self,
        response_hash: Hash,
        bill: Bill,
        finish_reason: FinishReason,
        outcome: &str,
    ) -> Result<SignedReceipt, ChargeError> {
        let Work { node, request, plan, order, ranked, hold, id, started_at_ms, started, permit } = self.work;
        let decision = Decision {
            id: &id,
            started_at_ms,
            controls: &request.controls,
            max_attempts: node.config.upstream.max_attempts,
            plan: &plan,
            ranked: &ranked,
            order: &order,
            attempts: &self.attempts,
            outcome,
        };
        let draft = Draft {
            response_hash,
            offer: self.candidate.offer.clone(),
            usage: bill.usage,
            counted_by: bill.counted_by,
            finish_reason,
            started_at_ms,
            ttft_ms: millis(self.first_content.duration_since(started)),
            duration_ms: millis(started.elapsed()),
            decision: decision.record().to_bytes(),
            id: id.clone(),
        };
        let charged = hold.charge(draft).await;
        drop(permit);
        let (provider, model) = (self.candidate.offer.provider_name.as_str(), self.candidate.offer.model.as_str());
        match &charged {
            Ok(receipt) => {
                node.metrics.charged(model, &bill.usage, bill.counted_by, bill.total, started.elapsed());
                tracing::info!(
                    %id, model, provider, status = outcome, attempts = self.attempts.len(),
                    input = bill.usage.input, cached = bill.usage.cached, output = bill.usage.output,
                    counted_by = counted_by(bill.counted_by), usd = %bill.total, number = receipt.receipt.number,
                    ms = millis(started.elapsed()), "relayed"
                );
            }
            Err(error) => {
                node.metrics.charge_failed();
                tracing::error!(%id, model, provider, usd = %bill.total, %error, "not charged");
            }
        }
        charged
    }
}

fn counted_by(counted_by: CountedBy) -> &'static str {
    match counted_by {
        CountedBy::Provider => "provider",
        CountedBy::Relayer => "relayer",
        CountedBy::Capped => "capped",
    }
}

fn millis(duration: Duration) -> u32 {
    saturate(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
