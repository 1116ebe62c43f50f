//! Holds this process's part of the ledger: tells the others that it is there, takes partitions that nobody holds, gives what is too much, and
//! lets go of what another process has taken.

use super::StartError;
use super::entry::Entry;
use super::partition::{Partition, Site};
use crate::ledger::partitions::{Partitions, Roster, Share};
use crate::ledger::{LedgerError, Siblings};
use crate::node::Node;
use crate::replicas::balance::{Step, Watch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Time that requests under way have to end before a partition is given to another process: new ones wait meanwhile.
const GIVE: Duration = Duration::from_secs(2);
/// Pause after a partition could not be opened, twice as long each time up to the most.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);
const CLAIM_AGAIN_MOST: Duration = Duration::from_secs(300);
/// Pause before a partition is offered again whose requests did not end in that time.
const GIVE_AGAIN: Duration = Duration::from_secs(30);
/// Time that the last charges have to become durable.
const LAST: Duration = Duration::from_secs(5);
/// How often a process tells of itself within the time after which it is replaced.
const BEATS: u32 = 10;

/// What came of something that takes longer than a beat.
enum Done {
    Opened(u16, Result<Partition, StartError>),
    /// Whether the chain, which is needed to open one, can be read again.
    Read(bool),
    /// Its requests did not end in time.
    Kept(u16, Partition),
    Closed(u16),
}

/// The one task that decides what this process holds.
pub(super) struct Keeper {
    me: String,
    site: Arc<Site>,
    entry: Arc<Entry>,
    /// Nothing while it is asked something.
    partitions: Option<Partitions>,
    /// All partitions, once one of them was opened.
    siblings: Option<Siblings>,
    watch: Watch,
    open: BTreeMap<u16, Partition>,
    /// Those that are being opened or closed.
    busy: BTreeSet<u16>,
    done: JoinSet<Done>,
    /// When a partition may be given again after one whose requests did not end.
    give_at: Option<Instant>,
    /// When this process, which could not open a partition, may try again. Meanwhile it tells that it takes none.
    claim_at: Option<Instant>,
    /// How often in a row it could not.
    failures: u32,
    /// Cancelled when everything is to be given back.
    leaving: CancellationToken,
}

impl Keeper {
    /// The keeper of the process `me`, until `leaving`.
    pub(super) fn new(
        me: String,
        site: Arc<Site>,
        entry: Arc<Entry>,
        partitions: Partitions,
        leaving: CancellationToken,
    ) -> Self {
        let watch = Watch::new(me.clone(), site.shared.config.replicas.lease());
        Self {
            me,
            site,
            entry,
            partitions: Some(partitions),
            siblings: None,
            watch,
            open: BTreeMap::new(),
            busy: BTreeSet::new(),
            done: JoinSet::new(),
            give_at: None,
            claim_at: None,
            failures: 0,
            leaving,
        }
    }

    /// Runs until everything was given back after it was to leave.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.site.shared.config.replicas.lease() / BEATS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaves = false;
        loop {
            // In this order: one course of events leads to one thing.
            tokio::select! {
                biased;
                () = self.leaving.cancelled(), if !leaves => {
                    leaves = true;
                    self.leave().await;
                }
                Some(done) = self.done.join_next(), if !self.done.is_empty() => {
                    match done {
                        Ok(done) => self.end(done, leaves).await,
                        Err(error) => {
                            tracing::error!(%error, "a partition was opened or closed in a panic");
                            self.busy.clear(); // what is not held is given back
                        }
                    }
                    ticks.reset_immediately(); // the next thing need not wait
                }
                _ = ticks.tick() => {
                    if let Err(error) = self.beat(leaves).await {
                        tracing::warn!(%error, "the other processes of the relayer cannot be told that this one is there");
                    }
                }
            }
            if leaves && self.open.is_empty() && self.done.is_empty() {
                return;
            }
        }
    }

    /// Asks the server, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(&mut Partitions) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let partitions = self.partitions.take().ok_or(LedgerError::Closed)?;
        let (partitions, answer) = partitions.ask(ask).await?;
        self.partitions = Some(partitions);
        answer
    }

    /// Tells of this process, hears of the others, and does the next thing.
    async fn beat(&mut self, leaves: bool) -> Result<(), LedgerError> {
        let roster = self.ask(Partitions::beat).await?;
        let now = Instant::now();
        self.watch.look(&roster, now);
        self.entry.places.update(&roster);
        self.abandon(&roster);
        for silent in self.watch.silent(&roster, now).cloned().collect::<Vec<_>>() {
            if !roster.partitions.iter().any(|held| held.member.as_ref() == Some(&silent.id)) {
                self.ask(move |partitions| partitions.forget(&silent)).await?;
            }
        }
        let untold =
            |partition: &u16| roster.partitions.iter().any(|held| held.partition == *partition && !held.serving);
        for partition in self.open.keys().copied().filter(untold).collect::<Vec<_>>() {
            self.ask(move |partitions| partitions.serve(partition, true)).await?;
        }
        if leaves || !self.busy.is_empty() || !self.done.is_empty() {
            return Ok(());
        }
        if let Some(at) = self.claim_at {
            if now >= at {
                let site = self.site.clone();
                self.done.spawn(async move { Done::Read(site.reader.lock().await.read().await.is_ok()) });
            }
            return Ok(());
        }
        match self.watch.step(&roster, now) {
            Step::Rest => Ok(()),
            Step::Claim { partition, from } => self.claim(partition, from).await,
            Step::Give if self.give_at.is_some_and(|at| now < at) => Ok(()),
            Step::Give => match self.open.iter().min_by_key(|(_, open)| open.node.tasks.len()) {
                Some((quietest, _)) => self.close(*quietest, GIVE).await,
                None => Ok(()),
            },
        }
    }

    async fn claim(&mut self, partition: u16, from: Option<String>) -> Result<(), LedgerError> {
        let was = from.clone();
        if !self.ask(move |partitions| partitions.claim(partition, from.as_deref())).await? {
            return Ok(()); // another process was first
        }
        tracing::info!(partition, from = was, "taking a partition");
        let place = self.ask(move |partitions| Ok(partitions.place(partition))).await?;
        let siblings = self.siblings().await?;
        let (site, of) = (self.site.clone(), self.site.shared.config.replicas.partitions);
        self.busy.insert(partition);
        self.done.spawn(async move {
            let opened = async {
                let opened = site.open(place, Some(siblings), Share { partition, of }).await?;
                if let Err(error) = opened.probe().await {
                    opened.close().await;
                    return Err(error);
                }
                Ok(opened)
            };
            Done::Opened(partition, opened.await)
        });
        Ok(())
    }

    async fn siblings(&mut self) -> Result<Siblings, LedgerError> {
        if let Some(siblings) = &self.siblings {
            return Ok(siblings.clone());
        }
        let siblings = Siblings::new(&self.ask(|partitions| Ok(partitions.places())).await?)?;
        Ok(self.siblings.insert(siblings).clone())
    }

    /// Takes over what came of something that takes long. What the server could not be told is told by the next beats: whoever has
    /// claimed a partition and does not hold it gives it back.
    async fn end(&mut self, done: Done, leaves: bool) {
        let told = match done {
            Done::Opened(partition, Ok(opened)) => {
                self.busy.remove(&partition);
                self.failures = 0;
                self.begin(partition, opened, leaves).await
            }
            Done::Opened(partition, Err(error)) => {
                tracing::error!(partition, %error, "a partition cannot be opened: this process takes none for a while");
                self.busy.remove(&partition);
                self.failures += 1;
                self.rest();
                let told = self.ask(move |partitions| {
                    partitions.rest(true);
                    partitions.release(partition)
                });
                told.await
            }
            Done::Read(false) => {
                self.rest();
                Ok(())
            }
            Done::Read(true) if leaves => Ok(()),
            Done::Read(true) => {
                self.claim_at = None;
                self.entry.able(true);
                self.ask(|partitions| {
                    partitions.rest(false);
                    Ok(())
                })
                .await
            }
            Done::Kept(partition, kept) => {
                self.busy.remove(&partition);
                self.give_at = Some(Instant::now() + GIVE_AGAIN);
                kept.node.tasks.reopen();
                self.begin(partition, kept, leaves).await
            }
            Done::Closed(partition) => {
                self.busy.remove(&partition);
                tracing::info!(partition, "a partition was given back");
                self.ask(move |partitions| partitions.release(partition)).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the other processes cannot be told what this one holds");
        }
    }

    /// Takes nothing for a while.
    fn rest(&mut self) {
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        self.claim_at = Some(Instant::now() + CLAIM_AGAIN.saturating_mul(doubled).min(CLAIM_AGAIN_MOST));
        self.entry.able(false);
    }

    /// Has an open partition take requests, unless another process has claimed it meanwhile.
    async fn begin(&mut self, partition: u16, opened: Partition, leaves: bool) -> Result<(), LedgerError> {
        let node = opened.node.clone();
        self.open.insert(partition, opened);
        let own = self.ask(move |partitions| partitions.serve(partition, true)).await;
        if matches!(own, Ok(false)) {
            self.cut(partition);
            return Ok(());
        }
        if leaves {
            return self.close(partition, self.site.shared.config.server.drain()).await;
        }
        self.entry.open(partition, &node);
        own.map(drop)
    }

    /// Stops a partition's requests and closes it once those under way have ended. After `limit` it is kept, or they are ended if the
    /// process leaves.
    async fn close(&mut self, partition: u16, limit: Duration) -> Result<(), LedgerError> {
        let Some(closing) = self.open.remove(&partition) else { return Ok(()) };
        self.entry.shut(partition);
        self.busy.insert(partition);
        let (site, leaving) = (self.site.clone(), self.leaving.clone());
        self.done.spawn(async move {
            closing.node.tasks.close();
            let mut ended = timeout(limit, closing.node.tasks.wait()).await.is_ok();
            let drain = site.shared.config.server.drain();
            if !ended && !leaving.is_cancelled() {
                return Done::Kept(partition, closing);
            }
            if !ended && limit < drain {
                // It was offered when the process was told to end.
                ended = timeout(drain - limit, closing.node.tasks.wait()).await.is_ok();
            }
            if !ended {
                tracing::warn!(
                    partition,
                    "requests are under way when the time to drain is over; they end now and are charged"
                );
                cut_short(&closing.node).await;
            }
            closing.close().await;
            Done::Closed(partition)
        });
        self.ask(move |partitions| partitions.serve(partition, false)).await.map(drop)
    }

    /// Lets go of the partitions that another process has claimed: what is under way there cannot be charged here any more. Gives back
    /// those that this process has claimed and does not hold.
    fn abandon(&mut self, roster: &Roster) {
        for held in &roster.partitions {
            let own = held.member.as_ref() == Some(&self.me);
            if !own && self.open.contains_key(&held.partition) {
                tracing::warn!(
                    partition = held.partition,
                    "another process has taken a partition of this one, which was silent"
                );
                self.cut(held.partition);
            }
            if own && !self.open.contains_key(&held.partition) && self.busy.insert(held.partition) {
                let partition = held.partition;
                self.done.spawn(async move { Done::Closed(partition) });
            }
        }
    }

    /// Ends a partition's requests and closes it.
    fn cut(&mut self, partition: u16) {
        let Some(lost) = self.open.remove(&partition) else { return };
        self.entry.shut(partition);
        self.busy.insert(partition);
        self.done.spawn(async move {
            lost.node.tasks.close();
            cut_short(&lost.node).await;
            lost.close().await;
            Done::Closed(partition)
        });
    }

    /// Begins to give everything back.
    async fn leave(&mut self) {
        let limit = self.site.shared.config.server.drain();
        let told = self.ask(|partitions| {
            partitions.rest(true);
            partitions.beat()
        });
        if let Err(error) = told.await {
            tracing::warn!(%error, "the other processes cannot be told that this one ends");
        }
        for partition in self.open.keys().copied().collect::<Vec<_>>() {
            if let Err(error) = self.close(partition, limit).await {
                tracing::warn!(partition, %error, "the other processes cannot be told that a partition is given back");
            }
        }
    }
}

/// Ends the requests under way, and waits for their charges.
async fn cut_short(node: &Node) {
    node.ending.cancel();
    if timeout(LAST, node.tasks.wait()).await.is_err() {
        tracing::error!("requests that should have ended did not");
    }
}
