//! The request path, from a caller's credentials to a charged answer.

pub mod attempt;
pub mod auth;
pub mod chunk;
pub mod controls;
pub mod decision;
pub mod error;
pub mod exam;
pub mod json;
pub mod meter;
pub mod open;
pub mod plan;
pub mod prefix;
pub mod pump;
pub mod request;
pub mod serve;
pub mod sse;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

use crate::node::Node;
use crate::relay::auth::{Caller, IDEMPOTENCY_KEY, Inbound};
use crate::relay::error::RelayError;
use crate::relay::plan::{Allowed, Asked, Input, plan, resolve};
use crate::relay::request::ChatRequest;
use crate::relay::serve::Work;
use crate::tokens::Counting;
use crate::vaults::{Consent, Refusal};
use axum::http::StatusCode;
use base64::Engine;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

/// When to try an offer again whose charges could not be settled: when a person has looked into it.
const BLOCKED: Duration = Duration::from_secs(600);

/// When a request was accepted, on both clocks, and its place among the concurrent ones.
#[derive(Debug)]
pub struct Accepted {
    /// Unix milliseconds.
    pub unix_ms: i64,
    /// The steady clock.
    pub at: Instant,
    /// Given back when the answer has ended.
    pub permit: OwnedSemaphorePermit,
}

/// What the client gets.
#[derive(Debug)]
pub enum Answer {
    /// All at once, already charged.
    Whole {
        /// The generation's id.
        id: String,
        /// The provider's JSON with `usage` as billed.
        body: Bytes,
        /// What it cost.
        receipt: Box<SignedReceipt>,
    },
    /// As it comes.
    Stream {
        /// The generation's id.
        id: String,
        /// Server-sent events.
        body: mpsc::Receiver<Bytes>,
    },
    /// The provider says that the request is wrong. Nothing was charged.
    Refused {
        /// The generation's id.
        id: String,
        /// 400, 404, 413 or 422.
        status: StatusCode,
        /// A JSON object.
        body: Bytes,
    },
}

/// Serves one request: plan, reserve, rank, and a task that owns all of it to the charge.
///
/// # Errors
/// Everything that can go wrong before the first content.
pub async fn relay(
    node: &Arc<Node>,
    caller: Caller,
    inbound: &Inbound<'_>,
    request: ChatRequest,
    accepted: Accepted,
) -> Result<Answer, RelayError> {
    let now_unix = node.clock.unix();
    let registry = node.registry.borrow().clone();
    let (asked, unknown) = resolve(&registry, &request)?;
    let asked = (count(node, &request, asked).await, unknown);
    let list = match caller.limits.allow_root {
        Some(root) => Some(node.allow_lists.get(&root).ok_or(RelayError::AllowListUnknown { root })?),
        None => None,
    };
    let allowed = Allowed { limits: caller.limits, max_cost: caller.max_cost(), list: list.as_deref() };
    let now = Instant::now();
    let resting = |offer: &crate::registry::Offer| {
        let blocked = node.vaults.is_blocked(offer).then_some(BLOCKED);
        blocked.or_else(|| node.scorer.resting(&offer.address, now))
    };
    let plan = plan(&registry, &node.config, &request, asked, allowed, resting)?;

    let key = caller.key;
    let plan = plan.beginning(prefix::of(node.random.salt(), &key.vault, request.body()));
    let (consent, request_hash) =
        caller.consent(&registry.relayer.address, inbound, plan.ceiling, now_unix, node.random.bytes())?;
    // Memory forgets what no signature could still repeat, but an `Idempotency-Key` has no end: served again, such a
    // request would be refused by the ledger once it is to be charged.
    if matches!(consent, Consent::Bearer(_))
        && inbound.headers.contains_key(IDEMPOTENCY_KEY)
        && let Some(receipt) = node.ledger.receipt_of_request(&key, request_hash).await?
    {
        return Err(Refusal::Replay { receipt: Some(receipt) }.into());
    }
    let hold = match node.vaults.reserve(&key, consent, request_hash, plan.ceiling, now_unix) {
        Ok(hold) => hold,
        Err(Refusal::Replay { .. }) => {
            let receipt = node.ledger.receipt_of_request(&key, request_hash).await?;
            return Err(Refusal::Replay { receipt }.into());
        }
        Err(refusal) => return Err(refusal.into()),
    };
    node.metrics.held(plan.ceiling);
    node.limits.retries.earn();
    node.limits.hedges.earn();

    let attempts = node.config.upstream.max_attempts;
    let (order, ranked) = plan.rank(&request, &node.scorer, attempts, now, &mut *node.random.rng());
    let id = format!("gen-{}", hex::encode(node.random.id(accepted.unix_ms)));
    let Accepted { unix_ms, at, permit } = accepted;
    let work = Work {
        node: node.clone(),
        request,
        plan,
        order,
        ranked,
        hold,
        id,
        started_at_ms: unix_ms,
        started: at,
        permit,
    };
    let (reply, answer) = oneshot::channel();
    node.tasks.spawn(work.run(reply));
    answer.await.map_err(|_| RelayError::Internal("the task of a request ended without an answer"))?
}

/// Counts the input once for each way of counting that the models have.
async fn count(node: &Node, request: &ChatRequest, asked: Vec<Asked>) -> Vec<(Asked, Input)> {
    let image_tokens = u64::from(request.images) * u64::from(node.config.metering.image_tokens);
    let mut counted: Vec<(Asked, Input)> = Vec::with_capacity(asked.len());
    for asked in asked {
        let counting = Counting::of(&asked.model);
        let known = counted.iter().map(|(_, input)| *input).find(|input| input.counting == counting);
        let input = match known {
            Some(input) => input,
            None => {
                let text = request.count_input(&node.tokenizers, counting).await;
                Input { counting, text, image_tokens }
            }
        };
        counted.push((asked, input));
    }
    counted
}

/// `bytes` in base64.
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
