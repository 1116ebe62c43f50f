//! One seed: a scene, a storm, and the calm after it.

use super::clients::{Client, id};
use super::counts::{Counts, Tried};
use super::node::{Node, Weather};
use super::operator::Operator;
use super::oracle;
use super::process::Process;
use super::relayer::{Pace, Site};
use super::scene::{Deed, Scene};
use super::trace::Trace;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solana_signature::Signature;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::chain::rpc::Rpc;
use steam::ledger::Ledger;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

const PACE: Pace = Pace { request_ms: (50, 3_000), settle_ms: 3_000 };
/// Virtual time in which everything must be settled once nothing fails any more.
const PATIENCE: Duration = Duration::from_secs(400);
/// Virtual time after it in which nothing may happen a second time.
const AFTERMATH: Duration = Duration::from_secs(22);

pub struct End {
    pub problem: Option<String>,
    pub counts: Counts,
    pub hash: String,
}

impl End {
    /// A seed that came to no end of its own.
    pub fn problem(what: &str) -> Self {
        Self { problem: Some(what.into()), counts: Counts::default(), hash: String::new() }
    }

    pub fn summary(&self) -> String {
        format!("{:?}, trace {}", self.counts, self.hash)
    }
}

pub fn run(seed: u64) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(storm(seed))
}

/// A scene, who acts in it, and what has come of it.
struct Storm {
    rng: StdRng,
    trace: Arc<Trace>,
    scene: Scene,
    weather: Arc<Mutex<Weather>>,
    struck: Arc<Notify>,
    site: Arc<Site>,
    process: Process,
    operator: Operator,
    plan: Plan,
    counts: Counts,
    slot_ms: u64,
    slot_ends: Instant,
    /// When the process next crashes, and when it may be started again.
    crash_at: Instant,
    back_at: Instant,
    calm_since: Option<Instant>,
    /// Whether something was done for which charges may be set aside, and whether a price was lowered.
    poisoned: bool,
    lowered: bool,
}

/// What a seed is about.
struct Plan {
    /// How often others act, per slot.
    deeds: f64,
    /// The operator copies the ledger and puts copies back.
    careless: bool,
    /// The operator runs another relayer of the same keys.
    doubled: bool,
    calm_at: Instant,
}

async fn storm(seed: u64) -> End {
    let folder = tempfile::Builder::new().prefix("steam-simulation").tempdir_in(memory()).unwrap();
    Storm::gather(seed, folder.path()).blow().await
}

impl Storm {
    fn gather(seed: u64, folder: &Path) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let trace = Arc::new(Trace::new());
        let mut scene = Scene::set(seed, &mut rng);
        let weather = Arc::new(Mutex::new(weather(seed, &mut rng)));
        let struck = Arc::new(Notify::new());
        let count = if seed % 4 == 1 { rng.random_range(2..=3) } else { rng.random_range(1..=3) };
        let mut nodes: Vec<Node> = (0..count)
            .map(|name| Node {
                cluster: scene.cluster.clone(),
                weather: weather.clone(),
                rng: Mutex::new(StdRng::seed_from_u64(rng.random())),
                trace: trace.clone(),
                name,
                liar: false,
                struck: struck.clone(),
                seen: Mutex::default(),
            })
            .collect();
        if count > 1 {
            nodes[rng.random_range(0..count)].liar = true;
        }
        let nodes = nodes.into_iter().map(|node| Arc::new(node) as Arc<dyn Rpc>).collect();
        let mut site = Site::new(folder, &mut scene, nodes, &trace, PACE);
        site.at_once = rng.random_range(1..3);
        let doubled = rng.random_bool(0.1);
        let careless = rng.random_bool(0.25);
        site.owners_leave = !doubled && (careless || rng.random_bool(0.4));
        let troubled = rng.random_bool(0.3);
        site.disk_troubles = Mutex::new(if troubled { rng.random_range(0.0..0.01) } else { 0.0 });
        if rng.random_bool(0.9) {
            scene.put_ledger(&site.ledger);
        }
        let site = Arc::new(site);
        let mut process = Process::new(site.clone());
        process.start(&mut rng);
        let deeds = if rng.random_bool(0.6) { rng.random_range(0.0..0.15) } else { 0.0 };
        let seconds = rng.random_range(15..40) + if careless { 20 } else { 0 };
        let calm_at = Instant::now() + Duration::from_secs(seconds);
        Self {
            crash_at: Instant::now() + crash_pause(&mut rng),
            rng,
            trace,
            scene,
            weather,
            struck,
            site,
            process,
            operator: Operator::default(),
            plan: Plan { deeds, careless, doubled, calm_at },
            counts: Counts::default(),
            slot_ms: 400,
            slot_ends: Instant::now(),
            back_at: Instant::now(),
            calm_since: None,
            poisoned: false,
            lowered: false,
        }
    }

    /// Slot after slot until all is settled, or should have been.
    async fn blow(mut self) -> End {
        loop {
            self.slot().await;
            let calm = Instant::now() >= self.plan.calm_at;
            if calm && self.calm_since.is_none() {
                self.calm_down().await;
            }
            self.tick();
            if !calm {
                self.misfortunes().await;
            }
            if let Err(problem) = self.keep_up().await {
                return self.end(Some(problem));
            }
            if let Some(began) = self.calm_since
                && let Some(end) = self.judge(began.elapsed()).await
            {
                return end;
            }
        }
    }

    /// Waits for the end of the slot; whoever sends meanwhile may be struck.
    async fn slot(&mut self) {
        self.slot_ends += Duration::from_millis(self.slot_ms);
        while timeout_at(self.slot_ends, self.struck.notified()).await.is_ok() {
            if Instant::now() < self.plan.calm_at && self.process.crash().await {
                self.counts.struck += 1;
                self.went_down("crash while sending");
            }
        }
    }

    /// From here on nothing fails.
    async fn calm_down(&mut self) {
        *self.weather.lock().unwrap() = Weather { latency: 20, delay: 1, ..Weather::default() };
        *self.site.busy.lock().unwrap() = false;
        *self.site.disk_troubles.lock().unwrap() = 0.0;
        self.site.power_cut.store(false, Ordering::Relaxed);
        self.site.clock.off_by_ms.store(0, Ordering::Relaxed);
        self.operator.stop_twin().await;
        self.scene.make_peace();
        self.calm_since = Some(Instant::now());
        self.trace.add("calm");
    }

    /// The cluster goes on by a slot, unless it goes back.
    fn tick(&mut self) {
        let (skipped, forks) = {
            let sky = self.weather.lock().unwrap();
            (sky.skipped, sky.forks)
        };
        let mut cluster = self.scene.cluster.lock().unwrap();
        cluster.tick(self.slot_ms as i64, self.rng.random_bool(skipped));
        if self.rng.random_bool(forks) {
            cluster.fork(self.rng.random_range(1..super::chain::FINALITY as usize));
            self.counts.forks += 1;
            self.trace.add("fork");
        }
        self.operator.observe(&cluster, &self.scene.books);
    }

    /// What may happen in a slot beside what calls of nodes meet.
    async fn misfortunes(&mut self) {
        let rng = &mut self.rng;
        let at_work = self.process.inside().is_some();
        if self.plan.careless && at_work && rng.random_bool(0.02) {
            self.operator.copy(&self.site, rng);
            self.trace.add("copied");
        }
        if self.plan.doubled && at_work && rng.random_bool(0.02) {
            self.operator.start_twin(&self.site, &self.scene, rng);
            self.trace.add("another relayer has the same keys");
        }
        if rng.random_bool(0.002) {
            self.slot_ms = if self.slot_ms == 400 { 200 } else { 400 };
        }
        if rng.random_bool(self.plan.deeds) {
            self.deed();
        }
        if self.rng.random_bool(0.003) {
            self.site.clock.off_by_ms.store(self.rng.random_range(-600_000..600_000), Ordering::Relaxed);
        }
        if self.process.is_up() && Instant::now() >= self.crash_at {
            self.crash().await;
        }
    }

    /// Somebody does something.
    fn deed(&mut self) {
        let deed = self.scene.any_deed(&mut self.rng, self.site.clients.len());
        let done = self.scene.act(deed);
        let tried = self.counts.deeds.entry(deed.name()).or_default();
        tried.add(&Tried { times: 1, done: u64::from(done) });
        if done {
            self.poisoned |= deed.is_poison();
            self.lowered |= matches!(deed, Deed::Lower(_));
            self.trace.add(&format!("{deed:?}"));
        }
    }

    /// The process crashes, at once or in its next write.
    async fn crash(&mut self) {
        self.crash_at = Instant::now() + crash_pause(&mut self.rng);
        if self.rng.random_bool(0.5) {
            self.site.power_cut.store(true, Ordering::Relaxed);
        } else if self.process.crash().await {
            self.went_down("crash");
            if self.rng.random_bool(0.8)
                && let Some(down) = self.operator.restore(&self.site, &self.scene.cluster).await
            {
                self.back_at = self.back_at.max(Instant::now() + down);
                self.trace.add("an old ledger is put back");
            }
        }
    }

    fn went_down(&mut self, how: &str) {
        self.counts.crashes += 1;
        self.back_at = Instant::now() + Duration::from_millis(self.rng.random_range(0..5_000));
        self.trace.add(how);
    }

    /// Starts the process again when it is down.
    async fn keep_up(&mut self) -> Result<(), String> {
        if self.process.is_cut().await? {
            self.counts.torn += 1;
            self.went_down("crash in a write");
        }
        if !self.process.is_up() && Instant::now() >= self.back_at {
            self.process.start(&mut self.rng);
            self.crash_at = Instant::now() + crash_pause(&mut self.rng);
        }
        Ok(())
    }

    /// How it ended, if it has: nothing has failed for so long as it has been `calm`.
    async fn judge(&mut self, calm: Duration) -> Option<End> {
        let is_careful = self.operator.is_careful();
        if !is_careful
            && self.process.is_up()
            && self.rng.random_bool(0.02)
            && self.operator.is_halted(&self.site, &self.scene.cluster).await
        {
            self.process.stop().await;
            self.operator.reconcile(&self.site, &self.scene.cluster).await;
            self.process.start(&mut self.rng);
        }
        let ledger = self.process.inside().filter(|_| calm >= AFTERMATH && !self.rng.random_bool(0.8))?;
        let late = calm > PATIENCE;
        if late {
            self.trace.add(&format!("{:?} {:#?}", ledger.pending().await, ledger.open_batches().await));
        }
        let receipts = |client: &Arc<Mutex<Client>>| client.lock().unwrap().receipts.clone();
        let all: Vec<Vec<SignedReceipt>> = self.site.clients.iter().map(receipts).collect();
        let known = self.site.clients.iter().all(|client| client.lock().unwrap().unknown.is_empty());
        // A ledger that was put back says itself what is left: what it lost is nobody's to settle.
        let (standing, problem, idle) = if is_careful {
            let standing = standing(&ledger, &all).await;
            let unproved = oracle::unproved(&ledger, &self.scene.cluster, &standing).await;
            let idle = unproved.is_none();
            (standing, unproved, idle)
        } else {
            // Asking the chain takes time, in which the last group may settle: the rest is as of one moment, after it.
            let halted = self.operator.is_halted(&self.site, &self.scene.cluster).await;
            let idle = !halted && ledger.pending().await.unwrap().receipts == 0;
            let (settled, unaccounted) = self.operator.settled(&self.site, &self.scene.books);
            (settled, unaccounted, idle)
        };
        let settled = oracle::is_settled(&self.scene.cluster.lock().unwrap(), &self.scene.books, &standing);
        if !(known && idle && settled || late) {
            return None;
        }
        self.count(&all, &standing);
        let problem = oracle::check(&self.scene.cluster.lock().unwrap(), &self.scene.books, &standing, self.lowered)
            .or(problem)
            .map(|problem| if late { format!("not settled in time: {problem}") } else { problem })
            .or_else(|| if self.operator.twins == 0 { numbered_twice(&all) } else { None })
            .or_else(|| (self.counts.aside > 0 && !self.poisoned).then(|| "set aside without a cause".into()))
            .or_else(|| (!known).then(|| "a request's fate cannot be found out".into()));
        Some(self.end(problem))
    }

    /// Counts what was not counted as it happened.
    fn count(&mut self, all: &[Vec<SignedReceipt>], standing: &[Vec<SignedReceipt>]) {
        let (counts, cluster) = (&mut self.counts, self.scene.cluster.lock().unwrap());
        let number = |receipts: &[Vec<SignedReceipt>]| receipts.iter().map(|of_one| of_one.len() as u64).sum::<u64>();
        counts.receipts = number(all);
        counts.aside = if self.operator.is_careful() { number(all) - number(standing) } else { 0 };
        (counts.restored, counts.twins, counts.adopted) =
            (self.operator.restored, self.operator.twins, self.operator.adopted);
        counts.refused = self.site.clients.iter().map(|client| client.lock().unwrap().refused).sum();
        counts.undone = cluster.undone;
        counts.agreements = *self.site.agreements.lock().unwrap();
        let agreed = self.site.agreed.lock().unwrap();
        let carried_out = |signature: &&Signature| cluster.status(signature).is_some_and(|s| s.error.is_none());
        counts.withdrawn = Tried { times: agreed.len() as u64, done: agreed.iter().filter(carried_out).count() as u64 };
        counts.troubles.clone_from(&self.site.troubles.lock().unwrap());
        let seq = |(vault, _): &(_, _)| u64::from(oracle::vault(&cluster, vault).settle_seq);
        counts.groups = self.scene.books.vaults.iter().map(seq).sum();
    }

    fn end(&self, problem: Option<String>) -> End {
        End { problem, counts: self.counts.clone(), hash: self.trace.hash() }
    }
}

/// The receipts that were not set aside.
async fn standing(ledger: &Ledger, all: &[Vec<SignedReceipt>]) -> Vec<Vec<SignedReceipt>> {
    let mut standing = Vec::new();
    for receipts in all {
        let mut kept = Vec::new();
        for receipt in receipts {
            let row = ledger.receipt(&id(&receipt.receipt.request_hash)).await.unwrap().unwrap();
            if !row.status.starts_with("set aside") {
                kept.push(receipt.clone());
            }
        }
        standing.push(kept);
    }
    standing
}

pub fn numbered_twice(all: &[Vec<SignedReceipt>]) -> Option<String> {
    let twice = |receipts: &Vec<SignedReceipt>| {
        receipts.iter().map(|r| r.receipt.number).collect::<BTreeSet<_>>().len() < receipts.len()
    };
    all.iter().any(twice).then(|| "two receipts of a vault have one number".into())
}

fn crash_pause(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(500..30_000))
}

/// Each seed has its own weather: some faults are left out altogether, so that the others get through. Every fourth has
/// nodes that lie a lot, every fourth has forks.
pub fn weather(seed: u64, rng: &mut StdRng) -> Weather {
    let mut some = |most: f64| if rng.random_bool(0.5) { rng.random_range(0.0..most) } else { 0.0 };
    let (error, silence, garbage) = (some(0.15), some(0.02), some(0.05));
    let (lost, doubled, lies) = (some(0.6), some(0.3), some(0.3));
    let (skipped, forks, strikes) = (some(0.2), some(0.05), some(0.1));
    let mixed = Weather {
        error,
        silence,
        garbage,
        lost,
        doubled,
        delay: rng.random_range(1..48),
        latency: rng.random_range(2..500),
        lag: rng.random_range(0..16),
        lies,
        skipped,
        forks,
        strikes,
    };
    match seed % 4 {
        1 => Weather { error: 0.0, silence: 0.0, garbage: 0.0, latency: 50, lies: 0.4, ..mixed },
        2 => Weather { error: 0.0, silence: 0.0, latency: 50, lost: 0.0, lies: 0.0, forks: 0.2, ..mixed },
        _ => mixed,
    }
}

/// A folder in memory where there is one.
pub fn memory() -> std::path::PathBuf {
    let shared = std::path::PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}
