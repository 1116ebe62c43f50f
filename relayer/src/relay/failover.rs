//! Finding a provider that answers: every failure before the first content moves on to the next candidate, until one
//! serves, one says that the request itself is wrong, or the attempts are used up. A 429 within one second does not count
//! as an attempt. A provider that is slow may be raced by a second one.

mod hedge;

use crate::chain::Pubkey;
use crate::relay::attempt::{Failure, Incoming, Refusal, attempt};
use crate::relay::decision::{AttemptRecord, CONTRADICTED, OPENED, OVERTAKEN, REFUSED, TOO_LONG};
use crate::relay::dialect::{Origin, Request};
use crate::relay::error::RelayError;
use crate::relay::honesty;
use crate::relay::job::Job;
use crate::relay::plan::{self, Candidate, Place, saturate};
use crate::relay::refusal::Meaning;
use crate::relay::transcript::Transcript;
use crate::relay::watch::Watch;
use crate::score::{Evidence, FailureKind, Outcome};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::time::Duration;
use steam_protocol::units::Usage;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Retry-After sent when no provider gave one.
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
    /// All attempts, in the order in which they began.
    pub attempts: Vec<AttemptRecord>,
    /// The places to try, in order, replacements after a 429 included.
    pub order: Vec<Place>,
}

impl Opened {
    /// Tells the scorer that `request` was served with `usage`; the client took `waited` of the time. Reasoning that nobody saw
    /// and that was claimed beyond the `hidden` tokens which are believed counts as billed, though it is not charged.
    pub fn served(&mut self, request: &Request, usage: &Usage, hidden: u64, waited: Duration) {
        let started = self.watch.started();
        let unbelieved = self.unbelieved(request, hidden);
        let ttft = self.first_content.duration_since(started);
        self.watch.end(Outcome::Served {
            streamed: request.stream,
            input_tokens: saturate(usage.prompt()),
            cached_tokens: usage.cached,
            output_tokens: usage.output.saturating_add(unbelieved),
            received_tokens: saturate(self.transcript.counts.delivered.total().tokens),
            ttft,
            total: started.elapsed().saturating_sub(waited).max(ttft),
        });
    }

    /// Tokens of reasoning that were claimed beyond the `hidden` ones which are believed, where such may be billed at all.
    fn unbelieved(&self, request: &Request, hidden: u64) -> u32 {
        let (candidate, counts) = (&self.candidate, &self.transcript.counts);
        let hides = request.hides_reasoning(candidate.dialect, candidate.offer.capabilities);
        let Some(usage) = counts.usage.filter(|_| hides) else { return 0 };
        let claimed = usage.reasoning.saturating_sub(counts.reasoning.total().tokens);
        saturate(claimed.saturating_sub(hidden)).min(candidate.max_output)
    }
}

/// What came of one try, and which one it was.
type Tried = (usize, Result<(Incoming, Transcript), Failure>);

/// A candidate, and its place in the plan.
type Asked<'a> = (Place, &'a Candidate);

/// A try under way.
struct Try<'a> {
    number: usize,
    place: Place,
    candidate: &'a Candidate,
    watch: Watch,
    turn: Turn,
    /// Whether it takes longer than its provider does at the worst.
    late: bool,
}

/// Why a try began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// No other was under way.
    Own,
    /// Another one was slow.
    Hedge,
}

/// The tries of one request: usually one at a time, more while slow ones are raced.
struct Race<'a> {
    job: &'a Job,
    deadline: Instant,
    /// Whom it tries, in this order: as scheduled, and others in place of those that answered 429 at once.
    order: Vec<Place>,
    /// Those of them that were not tried.
    left: VecDeque<Place>,
    tries: FuturesUnordered<BoxFuture<'a, Tried>>,
    running: Vec<Try<'a>>,
    started: usize,
    hedged: bool,
    /// Whether the budget has nothing left to race who is late.
    unraced: bool,
    /// With the number of the try each belongs to: they end in another order than they began.
    attempts: Vec<(usize, AttemptRecord)>,
    failures: Vec<(Asked<'a>, Failure)>,
    /// A refusal that another provider of the same model is asked about, and the number of its try.
    doubted: Option<(usize, Opened, Refusal)>,
    /// The refusal of a prompt that is too long, while models with more room are asked.
    too_long: Option<(Opened, Refusal)>,
    /// Whether one was asked once more since nobody else was left.
    repeated: bool,
    /// Permits that retries took.
    permits: usize,
    /// Somebody was left to ask, and the budget was spent.
    spent: bool,
    /// What its attempts say about providers.
    evidence: Evidence,
}

/// Tries the candidates in their order until one answers.
///
/// # Errors
/// [`RelayError::Upstream`], [`RelayError::UpstreamTimeout`] or [`RelayError::UpstreamBusy`] once nobody is left.
pub async fn open(job: &Job) -> Result<(Opened, Incoming), RelayError> {
    let mut race = Race {
        job,
        deadline: job.deadline(),
        order: job.order.scheduled.clone(),
        left: job.order.scheduled.iter().copied().collect(),
        tries: FuturesUnordered::new(),
        running: Vec::new(),
        started: 0,
        hedged: false,
        unraced: false,
        attempts: Vec::new(),
        failures: Vec::new(),
        doubted: None,
        too_long: None,
        repeated: false,
        permits: 0,
        spent: false,
        evidence: job.evidence(),
    };
    let winner = race.run().await;
    race.attempts.sort_by_key(|(number, _)| *number);
    let attempts: Vec<AttemptRecord> = race.attempts.into_iter().map(|(_, attempt)| attempt).collect();
    match winner {
        Some((opened, incoming)) => Ok((Opened { attempts, order: race.order, ..opened }, incoming)),
        None => Err(exhausted(&attempts, &race.failures, race.spent)),
    }
}

/// How long `candidate` may take to its first content, or to a whole answer.
fn patience(job: &Job, candidate: &Candidate) -> Duration {
    plan::patience(&job.node.config, &candidate.offer.model, job.request.stream, candidate.max_output)
}

impl<'a> Race<'a> {
    async fn run(&mut self) -> Option<(Opened, Incoming)> {
        if let Some(first) = self.take() {
            self.start(first, Turn::Own);
        }
        loop {
            let Some((number, result)) = self.next().await else {
                // Nobody is left. A refusal that nobody else could judge goes back.
                let doubted = self.doubted.take().map(|(_, opened, refusal)| (opened, refusal));
                let (opened, refusal) = doubted.or_else(|| self.too_long.take())?;
                return Some((opened, Incoming::Refused(refusal)));
            };
            let Some(place) = self.running.iter().position(|running| running.number == number) else { continue };
            let ended = self.running.swap_remove(place);
            match result {
                Ok((Incoming::Refused(refusal), transcript)) => {
                    if let Some(opened) = self.refused(ended, transcript, refusal) {
                        return Some(opened);
                    }
                }
                Ok((incoming, transcript)) => return Some((self.served(ended, transcript), incoming)),
                Err(failure) => self.failed(ended, failure),
            }
            if self.nobody_is_in_time() {
                self.retry();
            }
            if self.running.is_empty() {
                self.repeat().await;
            }
        }
    }

    /// Asks the next one, if time and budget allow.
    fn retry(&mut self) {
        if Instant::now() >= self.deadline {
            return;
        }
        let Some(next) = self.next_left() else { return };
        // Another model cannot confirm or contradict a refusal. It goes back to the client, unless the prompt is too long and the
        // next model has a longer context.
        let is_other =
            |(_, refused, _): &mut (usize, Opened, Refusal)| refused.candidate.offer.model != next.offer.model;
        if let Some((number, refused, refusal)) = self.doubted.take_if(is_other)
            && let Some((refused, refusal)) = self.beyond(refused, refusal)
        {
            self.doubted = Some((number, refused, refusal));
            return;
        }
        let Some(next) = self.take() else { return };
        let turn = if self.running.is_empty() { Turn::Own } else { Turn::Hedge };
        // Failing over to a healthy provider is never rationed: it multiplies no outage.
        if self.job.is_healthy(next.1) || self.permit() {
            self.start(next, turn);
        } else {
            self.spent = true;
        }
    }

    /// Asks one once more, after a short pause or the one that it asked for, if nobody else is left and the budget allows it.
    async fn repeat(&mut self) {
        let settled = self.doubted.is_some() || self.too_long.is_some();
        let most = self.job.node.config.upstream.max_attempts as usize;
        let replaced = self.order.len() - self.job.order.scheduled.len();
        let counted = self.started - replaced;
        if self.repeated || self.spent || settled || !self.left.is_empty() || counted >= most {
            return;
        }
        let waits = self.failures.iter().filter_map(|(one, failure)| Some((failure.pause()?, *one)));
        let Some((pause, again)) = waits.min_by_key(|(pause, _)| *pause) else { return };
        let at = Instant::now() + pause;
        if at >= self.deadline || !self.permit() {
            return;
        }
        self.repeated = true;
        sleep_until(at).await;
        self.start(again, Turn::Own);
    }

    /// The next one to try.
    fn next_left(&self) -> Option<&'a Candidate> {
        self.job.candidate(*self.left.front()?)
    }

    /// The same, which is left no more.
    fn take(&mut self) -> Option<Asked<'a>> {
        let place = self.left.pop_front()?;
        Some((place, self.job.candidate(place)?))
    }

    /// Lets another one of the same model be tried, since the one in this `place` was tried for nothing and at once: in a crowd
    /// many are out of quota together.
    fn replace(&mut self, place: Place) {
        let job = self.job;
        let taken = self.order.iter().filter(|other| other.route == place.route).count();
        let Some(choice) = job.ranked.get(place.route) else { return };
        let Some(next) = job.order.next(place.route, taken, choice) else { return };
        let before = |other: &&Place| other.turn() <= next.turn();
        let in_order = self.order.iter().filter(before).count();
        // Not before one that was started already, as a hedge of another model is.
        if in_order < self.order.len() - self.left.len() {
            return;
        }
        self.order.insert(in_order, next);
        self.left.insert(self.left.iter().filter(before).count(), next);
    }

    /// Takes a permit to retry.
    fn permit(&mut self) -> bool {
        let taken = self.job.node.limits.retries.take(self.vault(), Instant::now());
        self.permits += usize::from(taken);
        taken
    }

    /// The vault whose budgets retries and hedges are of; probes have one of their own.
    fn vault(&self) -> Option<Pubkey> {
        self.evidence.vault
    }

    fn start(&mut self, (place, candidate): Asked<'a>, turn: Turn) {
        let job = self.job;
        let ask = job.ranked.get(place.route).map(|choice| *choice.ask()).unwrap_or_default();
        let watch = Watch::start(job.node.clone(), candidate.offer.address, ask, self.evidence);
        let until = self.deadline.min(watch.started() + patience(job, candidate));
        let number = self.started;
        self.started += 1;
        self.running.push(Try { number, place, candidate, watch, turn, late: false });
        self.tries.push(Box::pin(async move {
            let result = match timeout_at(until, attempt(job, candidate)).await {
                Ok(result) => result,
                Err(_) => Err(Failure::new(FailureKind::FirstTokenTimeout, "no answer in time")),
            };
            (number, result)
        }));
    }

    fn note(&mut self, ended: &Try<'_>, outcome: &str, error: Option<String>) {
        let Try { number, candidate, watch, turn, .. } = ended;
        let accepted = self.job.accepted.at;
        let attempt = AttemptRecord::ended(&candidate.offer, accepted, watch.started(), outcome, error);
        self.attempts.push((*number, AttemptRecord { hedge: *turn == Turn::Hedge, ..attempt }));
    }

    /// The race is won: whoever is still running was too slow, is aborted, and is paid nothing.
    fn served(&mut self, mut winner: Try<'a>, transcript: Transcript) -> Opened {
        winner.watch.began();
        let node = &self.job.node;
        for mut slower in std::mem::take(&mut self.running) {
            self.note(&slower, OVERTAKEN, None);
            let (waited, late) = (slower.watch.started().elapsed(), slower.late);
            // A whole answer that was not waited for says nothing about its first token.
            if late || (self.job.request.stream && slower.turn == Turn::Own) {
                let input_tokens = saturate(slower.candidate.input.estimate());
                slower.watch.end(Outcome::Overtaken { input_tokens, waited, late });
            }
        }
        self.tries.clear();
        // Another model says nothing about a refusal that may be right for its own.
        if let Some((number, opened, refusal)) = self.doubted.take()
            && opened.candidate.offer.model == winner.candidate.offer.model
        {
            self.contradict(number, opened, refusal.status.as_u16());
        }
        // Retries that come to something are no sign of a general outage.
        for _ in 0..self.permits {
            node.limits.retries.give_back(self.vault(), Instant::now());
        }
        self.note(&winner, OPENED, None);
        opened(winner, transcript)
    }

    /// The try `number` refused with `status` what another provider served: that was a failure.
    fn contradict(&mut self, number: usize, mut refused: Opened, status: u16) {
        let (node, offer) = (&self.job.node, &refused.candidate.offer);
        node.metrics.upstream_failed(&offer.provider_name, CONTRADICTED);
        if let Some((_, attempt)) = self.attempts.iter_mut().find(|(of, _)| *of == number) {
            attempt.outcome = CONTRADICTED.to_owned();
            attempt.error = Some(format!("status {status} to what another provider served"));
        }
        // Providers may differ on members beyond texts and limits: refusing those is no failure.
        let plain = self.job.request.is_plain();
        let failed = Outcome::Failed { kind: FailureKind::Status(status), retry_after: None };
        refused.watch.end(if plain { failed } else { Outcome::Neutral });
    }

    /// Returns what goes back to the client, unless another provider is to be asked first.
    fn refused(&mut self, ended: Try<'a>, transcript: Transcript, refusal: Refusal) -> Option<(Opened, Incoming)> {
        let (number, candidate) = (ended.number, ended.candidate);
        let meaning = refusal.meaning;
        if meaning == Meaning::Account {
            let status = refusal.status.as_u16();
            let error = format!("status {status} about the relayer's account");
            self.failed(ended, Failure::new(FailureKind::Status(status), error));
            return None;
        }
        self.note(&ended, if meaning == Meaning::TooLong { TOO_LONG } else { REFUSED }, None);
        let refused = opened(ended, transcript);
        let peer = self.next_left().is_some_and(|next| next.offer.model == candidate.offer.model);
        let (first, mut refusal) = match self.doubted.take() {
            // Two agree that it is wrong: the first one's words go back.
            Some((_, first, refusal)) => (first, refusal),
            None if peer => {
                self.doubted = Some((number, refused, refusal));
                return None;
            }
            None => (refused, refusal),
        };
        // The prompt counts as too long if either provider says so.
        if meaning == Meaning::TooLong {
            refusal.meaning = meaning;
        }
        self.beyond(first, refusal).map(|(first, refusal)| (first, Incoming::Refused(refusal)))
    }

    /// Keeps the refusal of a prompt that is too long while models with more room are asked; any other goes back.
    fn beyond(&mut self, refused: Opened, refusal: Refusal) -> Option<(Opened, Refusal)> {
        if refusal.meaning == Meaning::TooLong {
            let (job, context) = (self.job, refused.candidate.offer.context_limit);
            self.left.retain(|next| job.candidate(*next).is_some_and(|next| next.offer.context_limit > context));
            if !self.left.is_empty() {
                self.too_long = Some((refused, refusal));
                return None;
            }
        }
        Some((refused, refusal))
    }

    fn failed(&mut self, mut ended: Try<'a>, failure: Failure) {
        let name = failure.kind.name();
        let provider = ended.candidate.offer.provider_name.as_str();
        tracing::debug!(provider, kind = name, error = %failure.error, "attempt failed");
        self.job.node.metrics.upstream_failed(provider, name);
        self.note(&ended, name, Some(failure.error.clone()));
        if self.attempts.last().is_some_and(|(_, attempt)| attempt.limited_at_once()) {
            self.replace(ended.place);
        }
        // The provider is not blamed if the request's deadline ended the call before the provider's own timeout.
        let cut_short = failure.kind == FailureKind::FirstTokenTimeout
            && Instant::now() < ended.watch.started() + patience(self.job, ended.candidate);
        // An empty answer is not blamed on the provider where the request itself says what ends an answer.
        let ended_by_client = failure.kind == FailureKind::Empty && self.job.request.origin == Origin::ClientEnded;
        if cut_short || ended_by_client {
            ended.watch.end(Outcome::Neutral);
        } else {
            ended.watch.end(Outcome::Failed { kind: failure.kind, retry_after: failure.retry_after });
            if failure.kind == FailureKind::Empty {
                honesty::empty(self.job, &ended.candidate.offer);
            }
        }
        self.failures.push(((ended.place, ended.candidate), failure));
    }
}

fn opened(tried: Try<'_>, transcript: Transcript) -> Opened {
    let Try { candidate, watch, .. } = tried;
    let (attempts, order) = (Vec::new(), Vec::new());
    Opened { candidate: candidate.clone(), watch, first_content: Instant::now(), transcript, attempts, order }
}

/// What the client is told once everyone has failed.
fn exhausted(attempts: &[AttemptRecord], failures: &[(Asked<'_>, Failure)], spent: bool) -> RelayError {
    let said = |attempt: &AttemptRecord| match &attempt.error {
        Some(error) => format!("{} ({}: {error})", attempt.name, attempt.outcome),
        None => format!("{} ({})", attempt.name, attempt.outcome),
    };
    let mut attempts: Vec<String> = attempts.iter().map(said).collect();
    if spent {
        attempts.push("and no more while so many of your requests fail".into());
    }
    let attempts = attempts.join(", ");
    let all =
        |wanted: fn(&Failure) -> bool| !failures.is_empty() && failures.iter().all(|(_, failure)| wanted(failure));
    let limited = all(|failure| failure.kind == FailureKind::RateLimited);
    if limited || all(|failure| failure.kind == FailureKind::RateLimited || failure.retry_after.is_some()) {
        let soonest = failures.iter().filter_map(|(_, failure)| failure.retry_after).min();
        return RelayError::UpstreamBusy { attempts, limited, retry_after: soonest.unwrap_or(RETRY_AFTER_UNKNOWN) };
    }
    if all(|failure| failure.kind == FailureKind::FirstTokenTimeout) {
        return RelayError::UpstreamTimeout { attempts };
    }
    RelayError::Upstream { attempts }
}
