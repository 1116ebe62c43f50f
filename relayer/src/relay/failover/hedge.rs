//! When another provider is asked though one is under way: since the operator or the client wishes it after a while, or since the
//! one that was asked is late.

use super::{Race, Tried, Turn};
use crate::relay::job::Job;
use futures::StreamExt;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Why another one is asked as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The operator or the client wants that after a while.
    Wished,
    /// The one that was asked last takes longer than it does at the worst.
    Late,
}

/// When to ask a second provider as well, counted from the first's start. The operator's default is about first
/// tokens, which only streams show.
fn hedge_after(job: &Job) -> Option<Duration> {
    let controls = &job.request.controls;
    let default = Duration::from_millis(job.node.config.upstream.hedge_after_ms);
    let after = controls.hedge_after.unwrap_or(if job.request.stream { default } else { Duration::ZERO });
    (!after.is_zero() && controls.allow_fallbacks).then_some(after)
}

impl Race<'_> {
    /// The next try to end. Meanwhile others may begin.
    pub(super) async fn next(&mut self) -> Option<Tried> {
        while let Some((at, why)) = self.hedge_at() {
            tokio::select! {
                tried = self.tries.next() => return tried,
                () = sleep_until(at) => match why {
                    Why::Wished => self.hedge(),
                    Why::Late => self.race(),
                },
            }
        }
        self.tries.next().await
    }

    /// Whether nobody is under way who may still answer in time.
    pub(super) fn nobody_is_in_time(&self) -> bool {
        self.running.iter().all(|running| running.late)
    }

    fn hedge_at(&self) -> Option<(Instant, Why)> {
        let wished = self.wished_at().map(|at| (at, Why::Wished));
        let late = self.late_at().map(|at| (at, Why::Late));
        wished.into_iter().chain(late).min_by_key(|(at, _)| *at)
    }

    fn wished_at(&self) -> Option<Instant> {
        let [running] = &self.running[..] else { return None };
        let after = hedge_after(self.job).filter(|_| !self.hedged)?;
        Some(running.watch.started() + after)
    }

    /// When the one that was asked last is late, if the next one is of the same model and known to serve. Whom the client named
    /// is waited for, and so is everybody by a request that says so.
    fn late_at(&self) -> Option<Instant> {
        let last = self.running.iter().max_by_key(|running| running.number)?;
        let next = self.next_left()?;
        let (offer, job) = (&last.candidate.offer, self.job);
        let unwanted = job.request.controls.hedge_after.is_some_and(|after| after.is_zero());
        let waits = last.late || self.unraced || unwanted || job.named.contains(&offer.provider);
        if waits || next.offer.model != offer.model || !job.is_healthy(next) {
            return None;
        }
        let after = job.ranked.get(last.place.route)?.late_after(&offer.address, &next.offer.address)?;
        Some(last.watch.started() + after).filter(|at| *at < self.deadline)
    }

    /// Asks the next one as well, if it does not cost much more: never one out of its order, which may be of the next model that
    /// the request names.
    fn hedge(&mut self) {
        self.hedged = true;
        let node = &self.job.node;
        let Some(slow) = self.running.first().map(|running| running.candidate) else { return };
        let Some(next) = self.next_left() else { return };
        let most = slow.ceiling.0 as f64 * node.config.upstream.hedge_max_cost_ratio;
        if next.ceiling.0 as f64 <= most && node.limits.hedges.take(self.vault(), Instant::now()) {
            node.metrics.hedged();
            if let Some(next) = self.take() {
                self.start(next, Turn::Hedge);
            }
        }
    }

    /// Races the one that was asked last, which is late, if the vault's budget of retries allows it. Unlike a wish this has no
    /// bound on what the next one costs: it is asked as after a failure.
    fn race(&mut self) {
        let Some(last) = self.running.iter_mut().max_by_key(|running| running.number) else { return };
        last.late = true;
        self.unraced = !self.permit();
        if self.unraced {
            return;
        }
        self.job.node.metrics.hedged();
        if let Some(next) = self.take() {
            self.start(next, Turn::Hedge);
        }
    }
}
