//! Finding a provider that answers: every failure before the first content moves on to the next candidate, until one
//! serves, one says that the request itself is wrong, or the attempts are used up. One that is slow may be raced by a
//! second.

use crate::node::Node;
use crate::relay::attempt::{Failure, Kind, attempt, failure_name};
use crate::relay::chunk::Transcript;
use crate::relay::decision::{Attempt, CONTRADICTED, OPENED, OVERTAKEN, REFUSED};
use crate::relay::error::RelayError;
use crate::relay::exam;
use crate::relay::plan::{Candidate, Plan, saturate};
use crate::relay::request::ChatRequest;
use crate::relay::watch::Watch;
use crate::score::{Ask, FailureKind, Outcome};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The least speed of a provider whose whole answer is waited for.
const SLOWEST_MS_PER_TOKEN: u64 = 50;
/// What is said if nobody said when to come back.
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

/// A request to be opened.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The node.
    pub node: &'a Arc<Node>,
    /// Who can serve it.
    pub plan: &'a Plan,
    /// The order of trying.
    pub order: &'a [Candidate],
    /// The request.
    pub request: &'a ChatRequest,
    /// When it was accepted.
    pub accepted: Instant,
    /// When it must have ended.
    pub deadline: Instant,
}

/// What came of one try, and which one it was.
type Tried = (usize, Transcript, Result<Kind, Failure>);

/// A try under way.
struct Running {
    number: usize,
    candidate: Candidate,
    watch: Watch,
    hedge: bool,
}

/// A refusal that another provider is asked about.
struct Doubted {
    number: usize,
    opened: Opened,
}

/// The tries of one request: usually one at a time, two while a slow one is raced.
struct Race<'a> {
    opening: Opening<'a>,
    left: VecDeque<&'a Candidate>,
    tries: FuturesUnordered<BoxFuture<'a, Tried>>,
    running: Vec<Running>,
    started: usize,
    hedged: bool,
    /// With the number of the try each belongs to: they end in another order than they began.
    attempts: Vec<(usize, Attempt)>,
    failures: Vec<Failure>,
    doubted: Option<Doubted>,
    /// Somebody was left to ask, and the budget was spent.
    spent: bool,
}

impl<'a> Opening<'a> {
    /// Tries the order until someone answers. `attempts` are all that were made, in the order in which they began.
    ///
    /// # Errors
    /// [`RelayError::Upstream`], [`RelayError::UpstreamTimeout`] or [`RelayError::UpstreamBusy`] once nobody is left.
    pub async fn open(self, attempts: &mut Vec<Attempt>) -> Result<Opened, RelayError> {
        let mut race = Race {
            opening: self,
            left: self.order.iter().collect(),
            tries: FuturesUnordered::new(),
            running: Vec::new(),
            started: 0,
            hedged: false,
            attempts: Vec::new(),
            failures: Vec::new(),
            doubted: None,
            spent: false,
        };
        let result = race.run().await;
        race.attempts.sort_by_key(|(number, _)| *number);
        attempts.extend(race.attempts.into_iter().map(|(_, attempt)| attempt));
        result.map_err(|()| exhausted(attempts, &race.failures, race.spent))
    }

    /// How long `candidate` may take to its first content, or to a whole answer.
    fn patience(&self, candidate: &Candidate) -> Duration {
        let first = self.node.config.upstream.first_token_timeout(&candidate.offer.model);
        if self.request.stream {
            return first;
        }
        first + Duration::from_millis(u64::from(candidate.max_output).saturating_mul(SLOWEST_MS_PER_TOKEN))
    }

    /// When to ask a second provider as well, counted from the first's start. The operator's default is about first
    /// tokens, which only streams show.
    fn hedge_after(&self) -> Option<Duration> {
        let controls = &self.request.controls;
        let default = Duration::from_millis(self.node.config.upstream.hedge_after_ms);
        let after = controls.hedge_after.unwrap_or(if self.request.stream { default } else { Duration::ZERO });
        (!after.is_zero() && controls.allow_fallbacks).then_some(after)
    }
}

impl<'a> Race<'a> {
    async fn run(&mut self) -> Result<Opened, ()> {
        if let Some(first) = self.left.pop_front() {
            self.start(first, false);
        }
        loop {
            let Some((number, transcript, result)) = self.next().await else {
                // Nobody is left. Who doubted a refusal found nobody to ask.
                return self.doubted.take().map(|doubted| doubted.opened).ok_or(());
            };
            let Some(place) = self.running.iter().position(|running| running.number == number) else { continue };
            let ended = self.running.swap_remove(place);
            match result {
                Ok(Kind::Refused(status, body)) => {
                    if let Some(opened) = self.refused(ended, transcript, Kind::Refused(status, body)) {
                        return Ok(opened);
                    }
                }
                Ok(kind) => return Ok(self.served(ended, transcript, kind)),
                Err(failure) => self.failed(ended, failure),
            }
            if self.running.is_empty() {
                self.retry();
            }
        }
    }

    /// The next try to end. Meanwhile a second one may begin.
    async fn next(&mut self) -> Option<Tried> {
        if let Some(at) = self.hedge_at() {
            tokio::select! {
                tried = self.tries.next() => return tried,
                () = sleep_until(at) => self.hedge(),
            }
        }
        self.tries.next().await
    }

    fn hedge_at(&self) -> Option<Instant> {
        let [running] = &self.running[..] else { return None };
        let after = self.opening.hedge_after().filter(|_| !self.hedged)?;
        Some(running.watch.started() + after)
    }

    /// Asks the next one as well, if it is of the same model and does not cost much more: never one out of its order.
    fn hedge(&mut self) {
        self.hedged = true;
        let node = self.opening.node;
        let Some(slow) = self.running.first().map(|running| &running.candidate) else { return };
        let Some(next) = self.left.front().copied() else { return };
        let most = slow.ceiling.0 as f64 * node.config.upstream.hedge_max_cost_ratio;
        let fits = next.offer.model == slow.offer.model && next.ceiling.0 as f64 <= most;
        if fits && node.limits.hedges.take(Instant::now()) {
            self.left.pop_front();
            node.metrics.hedged();
            self.start(next, true);
        }
    }

    /// Asks the next one, if time and budget allow.
    fn retry(&mut self) {
        if Instant::now() >= self.opening.deadline {
            return;
        }
        let Some(next) = self.left.pop_front() else { return };
        if self.opening.node.limits.retries.take(Instant::now()) {
            self.start(next, false);
        } else {
            self.spent = true;
        }
    }

    fn start(&mut self, candidate: &'a Candidate, hedge: bool) {
        let Opening { node, plan, request, deadline, .. } = self.opening;
        let expected = node.config.routing.expected_output_tokens.min(candidate.max_output);
        let ask = Ask {
            input_tokens: saturate(candidate.input.estimate()),
            expected_output: expected.saturating_mul(plan.choices),
            prefix: plan.prefix,
            ..Ask::default()
        };
        let watch = Watch::start(node.clone(), candidate.offer.address, ask);
        let until = deadline.min(watch.started() + self.opening.patience(candidate));
        let number = self.started;
        self.started += 1;
        self.running.push(Running { number, candidate: candidate.clone(), watch, hedge });
        self.tries.push(Box::pin(async move {
            let mut transcript = Transcript::new(candidate.input.counting, plan.choices);
            let result = match timeout_at(until, attempt(node, candidate, request, &mut transcript)).await {
                Ok(result) => result,
                Err(_) => Err(Failure::new(FailureKind::FirstTokenTimeout, "no answer in time")),
            };
            (number, transcript, result)
        }));
    }

    fn note(&mut self, ended: &Running, outcome: &str, error: Option<String>) {
        let Running { number, candidate, watch, hedge } = ended;
        let attempt = Attempt::ended(&candidate.offer, self.opening.accepted, watch.started(), outcome, error);
        self.attempts.push((*number, Attempt { hedge: *hedge, ..attempt }));
    }

    /// The race is won: whoever is still running was too slow, is aborted, and is paid nothing.
    fn served(&mut self, winner: Running, transcript: Transcript, kind: Kind) -> Opened {
        let node = self.opening.node;
        let now = Instant::now();
        for mut slower in std::mem::take(&mut self.running) {
            self.note(&slower, OVERTAKEN, None);
            let waited = slower.watch.started().elapsed();
            // A whole answer that was not waited for says nothing about its first token.
            if self.opening.request.stream && !slower.hedge {
                let input_tokens = saturate(slower.candidate.input.estimate());
                slower.watch.end(Outcome::Overtaken { input_tokens, waited });
            }
        }
        self.tries.clear();
        if let Some(Doubted { number, mut opened }) = self.doubted.take() {
            let offer = &opened.candidate.offer;
            node.refusals.contradicted(&offer.address, now);
            node.metrics.upstream_failed(&offer.provider_name, CONTRADICTED);
            if let (Some((_, attempt)), Kind::Refused(status, _)) =
                (self.attempts.iter_mut().find(|(of, _)| *of == number), &opened.kind)
            {
                attempt.outcome = CONTRADICTED.to_owned();
                attempt.error = Some(format!("status {} to what another provider served", status.as_u16()));
                opened.watch.end(Outcome::Failed { kind: FailureKind::Status(status.as_u16()), retry_after: None });
            }
        }
        if winner.number > 0 && !winner.hedge {
            // A retry that serves is no sign of a general outage.
            node.limits.retries.give_back();
        }
        node.refusals.answered(&winner.candidate.offer.address, now);
        self.note(&winner, OPENED, None);
        Opened { candidate: winner.candidate, watch: winner.watch, first_content: now, transcript, kind }
    }

    /// Returns what goes back to the client, unless another provider is to be asked first.
    fn refused(&mut self, ended: Running, transcript: Transcript, kind: Kind) -> Option<Opened> {
        self.note(&ended, REFUSED, None);
        let now = Instant::now();
        let Running { number, candidate, watch, .. } = ended;
        if let Some(first) = self.doubted.take() {
            // Two agree: the request is wrong, and the first one's words go back.
            return Some(first.opened);
        }
        let believed = self.opening.node.refusals.believes(&candidate.offer.address, now);
        let opened = Opened { candidate, watch, first_content: now, transcript, kind };
        if believed {
            return Some(opened);
        }
        self.doubted = Some(Doubted { number, opened });
        None
    }

    fn failed(&mut self, mut ended: Running, failure: Failure) {
        let name = failure_name(failure.kind);
        let provider = ended.candidate.offer.provider_name.as_str();
        tracing::debug!(provider, kind = name, error = %failure.error, "attempt failed");
        self.opening.node.metrics.upstream_failed(provider, name);
        self.note(&ended, name, Some(failure.error.clone()));
        // One that was asked late had less than its time when the request's was over.
        let cut_short = failure.kind == FailureKind::FirstTokenTimeout
            && ended.number > 0
            && Instant::now() < ended.watch.started() + self.opening.patience(&ended.candidate);
        if !cut_short {
            ended.watch.end(Outcome::Failed { kind: failure.kind, retry_after: failure.retry_after });
        }
        if failure.kind == FailureKind::Empty {
            exam::empty(self.opening.node, self.opening.request, &ended.candidate.offer);
        }
        self.failures.push(failure);
    }
}

/// What the client is told once everyone has failed.
fn exhausted(attempts: &[Attempt], failures: &[Failure], spent: bool) -> RelayError {
    let mut attempts: Vec<String> =
        attempts.iter().map(|attempt| format!("{} ({})", attempt.name, attempt.outcome)).collect();
    if spent {
        attempts.push("and no more while so many requests fail".into());
    }
    let attempts = attempts.join(", ");
    let all = |wanted: fn(&Failure) -> bool| !failures.is_empty() && failures.iter().all(wanted);
    if all(|failure| failure.kind == FailureKind::RateLimited || failure.retry_after.is_some()) {
        let soonest = failures.iter().filter_map(|failure| failure.retry_after).min();
        return RelayError::UpstreamBusy { attempts, retry_after: soonest.unwrap_or(RETRY_AFTER_UNKNOWN) };
    }
    if all(|failure| failure.kind == FailureKind::FirstTokenTimeout) {
        return RelayError::UpstreamTimeout { attempts };
    }
    RelayError::Upstream { attempts }
}
