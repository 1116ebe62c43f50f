//! The path of a request from its plan to its charge: plan, hold, rank, open, finish. One task owns a request from the hold to
//! the charge. The response only receives from it, so that a client that leaves takes nothing with it that has to be
//! accounted for.

use crate::market::MarketView;
use crate::node::Node;
use crate::registry::{Offer, Registry};
use crate::relay::attempt::Incoming;
use crate::relay::auth::{Caller, Inbound};
use crate::relay::controls::{Names, Providers};
use crate::relay::count::{Budget, count, funds};
use crate::relay::dialect::{Billed, Request, Whole};
use crate::relay::error::RelayError;
use crate::relay::failover::{self, Opened};
use crate::relay::job::{Accepted, Job};
use crate::relay::plan::{Allowed, Asker, Bars, Candidate, Plan, plan, resolve};
use crate::relay::reply::{Outlet, Reply};
use crate::relay::stream::{End, Pump, keep_alive};
use crate::relay::{Answer, Told, honesty, prefix};
use crate::score::Outcome;
use crate::vaults::{Consent, Hold, Refusal};
use rand::RngCore;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::receipt::FinishReason;
use steam_protocol::sha256;
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval};

/// When to try an offer again whose charges could not be settled: when a person has looked into it.
const BLOCKED: Duration = Duration::from_secs(600);
/// When to try a new offer again that works on as many requests as it may.
const NEW_AND_BUSY: Duration = Duration::from_secs(1);

/// Serves one request: plan, hold, rank, and a task that owns all of it to the charge.
///
/// # Errors
/// Everything that can go wrong before the first content.
pub async fn relay(
    node: &Arc<Node>,
    caller: Caller,
    inbound: &Inbound<'_>,
    request: Request,
    accepted: Accepted,
) -> Result<Answer, RelayError> {
    let registry = node.registry.borrow().clone();
    let now = Instant::now();
    let market = node.market.view();
    let named = request.controls.resolve(&Names { registry: &registry, market: &market })?;
    let seen = Seen { registry: &registry, market: &market, named: &named, now };
    let plan = plan_of(node, seen, &caller, inbound, &request).await?;
    let hold = hold(node, &registry, caller, inbound, &plan).await?;
    let attempts = node.config.upstream.max_attempts;
    let asker = Asker { request: &request, named: &named, vault: Some(&hold.vault()) };
    let (order, ranked) = plan.rank(asker, &node.scorer, attempts, now, &mut *node.random.rng());
    let id = format!("gen-{}", hex::encode(node.random.id(accepted.unix_ms)));
    // On the heap at once: what is passed on from here to the charge would be moved each time.
    let job = Box::new(Job {
        node: node.clone(),
        market,
        request,
        named: named.order,
        plan,
        order,
        ranked,
        hold,
        id,
        accepted,
    });
    let (reply, answer) = oneshot::channel();
    node.tasks.spawn(job.run(Reply::Waiting(reply)));
    answer.await.map_err(|_| RelayError::Internal("the task of a request ended without an answer"))?
}

/// The one state of the market that a request is planned by.
struct Seen<'a> {
    registry: &'a Registry,
    market: &'a MarketView,
    /// Who the request's controls name.
    named: &'a Providers,
    now: Instant,
}

/// Who can serve `request` for `caller`, and at what highest cost.
async fn plan_of(
    node: &Node,
    seen: Seen<'_>,
    caller: &Caller,
    inbound: &Inbound<'_>,
    request: &Request,
) -> Result<Plan, RelayError> {
    let Seen { registry, market, named, now } = seen;
    let available = funds(node, caller, inbound.headers)?;
    let asked = resolve(registry, request)?;
    let budget = Budget { vault: caller.key.vault, available };
    let asked = count(node, registry, request, asked, budget).await;
    let list = match caller.limits.allow_root {
        Some(root) => Some(node.allow_lists.get(&root).ok_or(RelayError::AllowListUnknown { root })?),
        None => None,
    };
    // What a request without an output limit may hold.
    let free = request.max_output.is_none().then(|| node.vaults.free(&caller.key)).flatten();
    let allowed = Allowed { limits: caller.limits, max_cost: caller.max_cost(), list: list.as_deref(), free, named };
    // A bounded share of the requests looks at those who have proved nothing, if the operator wants that.
    let percent = market.policy().unverified_percent;
    let unproved = percent > 0.0 && f64::from(node.random.rng().next_u32()) < percent / 100.0 * 4_294_967_296.0;
    let bar = |offer: &Offer| market.bars(offer, unproved);
    let new_and_busy = |offer: &Offer| {
        let most = market.policy().new_offer_requests;
        node.scorer.new_and_busy(&offer.address, most).then_some(NEW_AND_BUSY)
    };
    let cooldown = |offer: &Offer| {
        let blocked = node.vaults.is_blocked(offer).then_some(BLOCKED);
        let asked = || node.scorer.cooldown(&offer.address, Some(&caller.key.vault), now);
        blocked.or_else(asked).or_else(|| new_and_busy(offer))
    };
    let bars = Bars { market: &bar, free: market.policy().free, cooldown: &cooldown };
    let plan = plan(registry, &node.config, request, asked, allowed, bars)?;
    let plan = plan.bounded(market.policy().max_candidates, |offer| node.scorer.is_established(&offer.address));
    Ok(plan.beginning(prefix::of(node.random.salt(), &caller.key.vault, request.prompt_bytes())))
}

/// Holds the plan's highest cost.
async fn hold(
    node: &Node,
    registry: &Registry,
    caller: Caller,
    inbound: &Inbound<'_>,
    plan: &Plan,
) -> Result<Hold, RelayError> {
    let (key, now_unix) = (caller.key, node.clock.unix());
    let relayer = &registry.relayer.address;
    let (consent, request_hash) = caller.consent(relayer, inbound, plan.ceiling, now_unix, node.random.bytes())?;
    // Memory forgets what no signature could still repeat, but an `Idempotency-Key` has no end: served again, such a
    // request would be refused by the ledger once it is to be charged.
    if matches!(consent, Consent::Idempotent(_))
        && let Some(receipt) = node.ledger.receipt_of_idempotent(&key, request_hash).await?
    {
        return Err(Refusal::Replay { receipt: Some(receipt) }.into());
    }
    let hold = match node.vaults.reserve(&key, consent, request_hash, plan.ceiling, now_unix) {
        Ok(hold) => hold,
        Err(Refusal::Replay { .. }) => {
            let receipt = node.vaults.receipt_of_request(&key, request_hash).await?;
            return Err(Refusal::Replay { receipt }.into());
        }
        Err(refusal) => return Err(refusal.into()),
    };
    node.metrics.held(plan.ceiling);
    let now = Instant::now();
    node.limits.retries.earn(Some(key.vault), now);
    node.limits.hedges.earn(Some(key.vault), now);
    Ok(hold)
}

impl Job {
    /// Serves the request to its end.
    async fn run(mut self: Box<Self>, reply: Reply) {
        let Some((reply, opened)) = self.open(reply).await else {
            // Nobody waits any more and nothing was delivered: dropping the call aborts it, dropping the hold frees it.
            tracing::info!(id = %self.id, status = "client_gone", "relayed");
            return;
        };
        let (mut opened, incoming) = match opened {
            Ok(opened) => opened,
            Err(error) => return reply.fail(error).await,
        };
        if !matches!(incoming, Incoming::Refused(..)) {
            let failovers = opened.attempts.iter().filter(|attempt| attempt.failed()).count();
            let model = &opened.candidate.offer.model;
            self.node.metrics.served(model, failovers as u64, self.accepted.at.elapsed());
        }
        match (incoming, reply) {
            (Incoming::Refused(refusal), reply) => {
                opened.watch.end(Outcome::Neutral);
                reply.refuse(self.id, refusal.status, refusal.body).await;
            }
            (Incoming::Whole(answer), Reply::Waiting(reply)) => {
                Box::pin(self.finish_whole(opened, answer, reply)).await
            }
            (Incoming::Whole(_), reply) => reply.fail(RelayError::Internal("a whole answer to a stream")).await,
            (Incoming::Stream(source), reply) => {
                self.request.forget_body();
                let told = self.told(&opened.candidate);
                let Some(mut outlet) = reply.stream(&self.id, self.request.dialect, told) else { return };
                let ends = (&mut opened.transcript, &mut outlet);
                let (config, model) = (&self.node.config.upstream, &opened.candidate.offer.model);
                let pump = Pump::new(*source, ends, config, model, self.deadline());
                // A token of its own: those that are under way do not wait for each other's.
                let ending = self.node.ending.child_token();
                let end = tokio::select! {
                    biased;
                    end = pump.run() => end,
                    () = ending.cancelled() => End::ShuttingDown,
                };
                // Its memory is not taken before the answer has ended.
                Box::pin(self.finish_stream(opened, end, outlet)).await;
            }
        }
    }

    /// Finds a provider, and keeps the client's connection open meanwhile. `None` if the client has left.
    async fn open(&self, mut reply: Reply) -> Option<(Reply, Result<(Opened, Incoming), RelayError>)> {
        // Its memory is given back before the answer is streamed.
        let mut opened = Box::pin(failover::open(self));
        let mut silence = self.request.stream.then(|| keep_alive(&self.node.config.upstream));
        let ending = self.node.ending.child_token();
        loop {
            tokio::select! {
                // A client that left at the moment at which an answer came is not charged for it.
                biased;
                () = reply.closed() => return None,
                () = ending.cancelled() => return Some((reply, Err(RelayError::ShuttingDown))),
                opened = &mut opened => return Some((reply, opened)),
                () = tick(&mut silence) => {
                    // Who answers is not known yet: this is the highest limit that one of them has.
                    let tried = self.order.scheduled.iter().filter_map(|place| self.candidate(*place));
                    let longest = tried.max_by_key(|candidate| candidate.max_output);
                    let told = longest.map(|longest| self.told(longest)).unwrap_or_default();
                    let mut outlet = reply.stream(&self.id, self.request.dialect, told)?;
                    outlet.comment();
                    reply = Reply::Streaming(outlet);
                }
            }
        }
    }

    /// A whole answer is charged first and delivered then, with its receipt.
    async fn finish_whole(
        self: Box<Self>,
        mut opened: Opened,
        answer: Whole,
        reply: oneshot::Sender<Result<Answer, RelayError>>,
    ) {
        if reply.is_closed() {
            return;
        }
        let hidden = self.believed_hidden(&opened, Duration::ZERO);
        let bill = self.bill(&opened, &End::Complete, hidden);
        let stated = opened.transcript.counts.stated_usage.as_deref();
        let body = self.request.dialect.writer().whole(&answer, stated, &Billed::from(&bill));
        opened.served(&self.request, &bill.usage, hidden, Duration::ZERO);
        honesty::answered(&self, &opened.candidate, &opened.transcript.counts, (&End::Complete, hidden));
        let id = self.id.clone();
        let finish = opened.transcript.counts.finish.unwrap_or(FinishReason::Other);
        let told = self.told(&opened.candidate);
        let answer = match self.charge(opened, sha256(&[&body]), bill, finish, "served").await {
            Ok(receipt) => Ok(Answer::Whole { id, body, receipt: Box::new(receipt), told }),
            Err(error) => Err(RelayError::Charge(error)),
        };
        // A client that leaves between the charge and here finds the receipt under its completion's id.
        let _ = reply.send(answer);
    }

    /// A stream's end is sent after its charge is durable.
    async fn finish_stream(self: Box<Self>, mut opened: Opened, end: End, mut outlet: Outlet) {
        let hidden = self.believed_hidden(&opened, outlet.waited);
        let bill = self.bill(&opened, &end, hidden);
        let (finish, outcome) = match &end {
            End::Complete => {
                opened.served(&self.request, &bill.usage, hidden, outlet.waited);
                if self.request.include_usage {
                    let stated = opened.transcript.counts.stated_usage.as_deref();
                    outlet.write(|writer, out| writer.usage(stated, &Billed::from(&bill), out));
                }
                (opened.transcript.counts.finish.unwrap_or(FinishReason::Other), "served")
            }
            End::ClientGone => {
                opened.watch.end(Outcome::Neutral);
                (FinishReason::ClientGone, "client_gone")
            }
            End::OutOfTime => {
                tracing::warn!(id = %self.id, "stream cut by upstream.total_timeout_ms");
                Self::cut_short(&mut opened, &mut outlet, &RelayError::OutOfTime);
                (FinishReason::Error, "out_of_time")
            }
            End::ShuttingDown => {
                Self::cut_short(&mut opened, &mut outlet, &RelayError::ShuttingDown);
                (FinishReason::Error, "shutting_down")
            }
            End::Failed { kind, error, stated } => {
                let (name, provider) = (kind.name(), &opened.candidate.offer.provider_name);
                self.node.metrics.upstream_failed(provider, name);
                tracing::warn!(id = %self.id, %provider, kind = name, error, "stream cut");
                opened.watch.end(Outcome::Failed { kind: *kind, retry_after: None });
                let open = opened.transcript.counts.unfinished();
                outlet.write(|writer, out| writer.cut(&open, out));
                let stated = stated.as_ref().and_then(|stated| stated.message.clone());
                outlet.write(|writer, out| writer.error(&RelayError::Cut { stated }, out));
                (FinishReason::Error, name)
            }
        };
        honesty::answered(&self, &opened.candidate, &opened.transcript.counts, (&end, hidden));
        match self.charge(opened, outlet.hash(), bill, finish, outcome).await {
            Ok(receipt) => {
                outlet.receipt(&receipt);
                if matches!(end, End::Complete) {
                    outlet.append(|writer, out| writer.end(out));
                }
            }
            Err(error) => outlet.append(|writer, out| writer.error(&RelayError::Charge(error), out)),
        }
        outlet.flush().await;
    }

    /// Ends a stream that nobody failed.
    fn cut_short(opened: &mut Opened, outlet: &mut Outlet, error: &RelayError) {
        opened.watch.end(Outcome::Neutral);
        let open = opened.transcript.counts.unfinished();
        outlet.write(|writer, out| writer.cut(&open, out));
        outlet.write(|writer, out| writer.error(error, out));
    }

    /// What is not as the client asked, where `candidate` answers.
    fn told(&self, candidate: &Candidate) -> Told {
        let max_output = Some(candidate.max_output).filter(|_| self.request.max_output != Some(candidate.max_output));
        Told { max_output, left_out: self.request.left_out(candidate.dialect).to_vec() }
    }
}

/// The next tick of `silence`; never, if there is none.
async fn tick(silence: &mut Option<Interval>) {
    match silence {
        Some(silence) => {
            silence.tick().await;
        }
        None => std::future::pending().await,
    }
}
