//! The request path, from a caller's credentials to a charged answer.

pub mod address;
pub mod attempt;
pub mod auth;
pub mod budget;
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
pub mod refusals;
pub mod request;
pub mod serve;
pub mod sse;
#[cfg(test)]
pub(crate) mod testing;
pub mod tokens;
pub mod upstream;
pub mod watch;

use crate::app::App;
use crate::metrics::Metrics;
use crate::relay::auth::{Caller, IDEMPOTENCY_KEY, Inbound};
use crate::relay::budget::Budget;
use crate::relay::error::RelayError;
use crate::relay::plan::{Allowed, Asked, Input, plan, resolve};
use crate::relay::refusals::Refusals;
use crate::relay::request::ChatRequest;
use crate::relay::serve::Work;
use crate::relay::tokens::{Counting, Tokenizers};
use crate::vaults::{Consent, Refusal};
use axum::http::StatusCode;
use base64::Engine;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

/// When to try an offer again whose charges could not be settled: when a person has looked into it.
const BLOCKED: Duration = Duration::from_secs(600);

/// What every request shares.
pub struct Relay {
    /// Everything outside the request path.
    pub app: Arc<App>,
    /// Counters.
    pub metrics: Metrics,
    /// For models whose tokenizer is known.
    pub tokenizers: Tokenizers,
    /// Permits to ask another provider after one failed.
    pub retries: Budget,
    /// Permits to ask a second provider while one is slow.
    pub hedges: Budget,
    /// Whom to believe that a request is wrong.
    pub refusals: Refusals,
    rng: Mutex<StdRng>,
    /// Makes prefixes in decision records meaningless to who guesses at prompts.
    salt: [u8; 16],
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay")
    }
}

impl Relay {
    /// A request path over `app`, its randomness from `rng`: nonces and ids come from it, so it must be seeded well.
    pub fn new(app: Arc<App>, mut rng: StdRng) -> Self {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let upstream = &app.config.upstream;
        Self {
            retries: Budget::new(upstream.retry_percent, upstream.retries_per_second),
            hedges: Budget::new(upstream.hedge_percent, 0.0),
            refusals: Refusals::default(),
            metrics: Metrics::default(),
            tokenizers: Tokenizers::default(),
            rng: Mutex::new(rng),
            salt,
            app,
        }
    }

    /// A request path seeded by the system.
    pub fn seeded(app: Arc<App>) -> Self {
        Self::new(app, StdRng::from_os_rng())
    }

    fn rng(&self) -> MutexGuard<'_, StdRng> {
        // A poisoned generator is as random as any other.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng().fill_bytes(&mut bytes);
        bytes
    }

    /// An identifier that nobody can guess, in the order of time so that an index of them grows at its end: as version 7
    /// of RFC 9562 has it, 48 bits of milliseconds and the rest random.
    fn id(&self, unix_ms: i64) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
        self.rng().fill_bytes(&mut bytes[6..]);
        bytes
    }
}

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
    relay: &Arc<Relay>,
    caller: Caller,
    inbound: &Inbound<'_>,
    request: ChatRequest,
    accepted: Accepted,
) -> Result<Answer, RelayError> {
    let app = &relay.app;
    let now_unix = app.clock.unix();
    let registry = app.registry.borrow().clone();
    let (asked, unknown) = resolve(&registry, &request)?;
    let asked = (count(relay, &request, asked).await, unknown);
    let list = match caller.limits.allow_root {
        Some(root) => Some(app.allow_lists.get(&root).ok_or(RelayError::AllowListUnknown { root })?),
        None => None,
    };
    let allowed = Allowed { limits: caller.limits, max_cost: caller.max_cost(), list: list.as_deref() };
    let now = Instant::now();
    let resting = |offer: &crate::registry::Offer| {
        let blocked = app.vaults.is_blocked(offer).then_some(BLOCKED);
        blocked.or_else(|| app.scorer.resting(&offer.address, now))
    };
    let plan = plan(&registry, &app.config, &request, asked, allowed, resting)?;

    let key = caller.key;
    let plan = plan.beginning(prefix::of(&relay.salt, &key.vault, request.body()));
    let (consent, request_hash) =
        caller.consent(&registry.relayer.address, inbound, plan.ceiling, now_unix, relay.random())?;
    // Memory forgets what no signature could still repeat, but an `Idempotency-Key` has no end: served again, such a
    // request would be refused by the ledger once it is to be charged.
    if matches!(consent, Consent::Bearer(_))
        && inbound.headers.contains_key(IDEMPOTENCY_KEY)
        && let Some(receipt) = app.ledger.receipt_of_request(&key, request_hash).await?
    {
        return Err(Refusal::Replay { receipt: Some(receipt) }.into());
    }
    let hold = match app.vaults.reserve(&key, consent, request_hash, plan.ceiling, now_unix) {
        Ok(hold) => hold,
        Err(Refusal::Replay { .. }) => {
            let receipt = app.ledger.receipt_of_request(&key, request_hash).await?;
            return Err(Refusal::Replay { receipt }.into());
        }
        Err(refusal) => return Err(refusal.into()),
    };
    relay.metrics.held(plan.ceiling);
    relay.retries.earn();
    relay.hedges.earn();

    let attempts = app.config.upstream.max_attempts;
    let (order, ranked) = plan.rank(&request, &app.scorer, attempts, now, &mut *relay.rng());
    let id = format!("gen-{}", hex::encode(relay.id(accepted.unix_ms)));
    let Accepted { unix_ms, at, permit } = accepted;
    let work = Work {
        relay: relay.clone(),
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
    app.tasks.spawn(work.run(reply));
    answer.await.map_err(|_| RelayError::Internal("the task of a request ended without an answer"))?
}

/// Counts the input once for each way of counting that the models have.
async fn count(relay: &Relay, request: &ChatRequest, asked: Vec<Asked>) -> Vec<(Asked, Input)> {
    let image_tokens = u64::from(request.images) * u64::from(relay.app.config.metering.image_tokens);
    let mut counted: Vec<(Asked, Input)> = Vec::with_capacity(asked.len());
    for asked in asked {
        let counting = Counting::of(&asked.model);
        let known = counted.iter().map(|(_, input)| *input).find(|input| input.counting == counting);
        let input = match known {
            Some(input) => input,
            None => {
                let text = request.count_input(&relay.tokenizers, counting).await;
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
