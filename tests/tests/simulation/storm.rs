//! One seed: a scene, a storm, and the calm after it.

use super::clients::id;
use super::disk::{Image, Trouble};
use super::node::{Node, Weather};
use super::operator::Operator;
use super::oracle;
use super::relayer::{self, Inside, Pace, Site};
use super::scene::{Deed, Scene};
use super::trace::Trace;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solana_signature::Signature;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::chain::rpc::Rpc;
use steam::ledger::Ledger;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

const PACE: Pace = Pace { request_ms: (50, 3_000), settle_ms: 3_000 };
/// Virtual time in which everything must be settled once nothing fails any more.
const PATIENCE: Duration = Duration::from_secs(400);
/// Virtual time after it in which nothing may happen a second time.
const AFTERMATH: Duration = Duration::from_secs(22);

/// What happened in a seed, or in many.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub receipts: u64,
    pub refused: u64,
    pub crashes: u64,
    /// Of these, in the middle of a write, and while a settlement was being sent.
    pub torn: u64,
    pub struck: u64,
    pub forks: u64,
    pub undone: u64,
    pub groups: u64,
    pub aside: u64,
    /// Old ledgers put back, relayers of the same keys run beside the one, and vaults whose groups a ledger did not have.
    pub restored: u64,
    pub twins: u64,
    pub adopted: u64,
    /// What others tried, and how often they could.
    pub deeds: BTreeMap<&'static str, Tried>,
    /// Withdrawals at once that owners asked for, and that the settler agreed to; and of these, those that were carried out.
    pub agreements: Tried,
    pub withdrawn: Tried,
    /// How often the disk got into trouble.
    pub troubles: BTreeMap<Trouble, u64>,
}

/// Something tried several times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    pub times: u64,
    pub done: u64,
}

impl Tried {
    fn add(&mut self, other: &Self) {
        self.times += other.times;
        self.done += other.done;
    }
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.receipts += other.receipts;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.torn += other.torn;
        self.struck += other.struck;
        self.forks += other.forks;
        self.undone += other.undone;
        self.groups += other.groups;
        self.aside += other.aside;
        self.restored += other.restored;
        self.twins += other.twins;
        self.adopted += other.adopted;
        self.agreements.add(&other.agreements);
        self.withdrawn.add(&other.withdrawn);
        for (deed, tried) in &other.deeds {
            self.deeds.entry(deed).or_default().add(tried);
        }
        for (trouble, count) in &other.troubles {
            *self.troubles.entry(*trouble).or_default() += count;
        }
    }

    /// A storm in which something never blew proves nothing of it.
    pub fn assert_all_happened(&self) {
        let Self { receipts, crashes, torn, struck, forks, undone, groups, restored, twins, adopted, .. } = self;
        assert!(
            [receipts, crashes, torn, struck, forks, undone, groups, restored, twins, adopted]
                .iter()
                .all(|count| **count > 0),
            "{self:?}"
        );
        assert_eq!(self.deeds.len(), Deed::KINDS, "{self:?}");
        let at_once = [("agree to a withdrawal at once", &self.agreements), ("withdraw at once", &self.withdrawn)];
        for (deed, tried) in self.deeds.iter().map(|(deed, tried)| (*deed, tried)).chain(at_once) {
            assert!(5 * tried.done >= tried.times, "{deed} succeeds in less than a fifth of its tries: {tried:?}");
        }
        assert_eq!(self.troubles.len(), 2, "{self:?}");
    }
}

pub struct End {
    pub problem: Option<String>,
    pub counts: Counts,
    pub hash: String,
    pub lines: Vec<String>,
}

impl End {
    /// A seed that came to no end of its own.
    pub fn problem(what: &str) -> Self {
        Self { problem: Some(what.into()), counts: Counts::default(), hash: String::new(), lines: Vec::new() }
    }

    pub fn summary(&self) -> String {
        format!("{:?}, trace {}", self.counts, self.hash)
    }
}

pub fn run(seed: u64, loud: bool) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(storm(seed, loud))
}

async fn storm(seed: u64, loud: bool) -> End {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::Builder::new().prefix("steam-simulation").tempdir_in(memory()).unwrap();
    let trace = Arc::new(Trace::new(loud));
    let mut scene = Scene::set(seed, &mut rng);
    let weather = Arc::new(Mutex::new(weather(seed, &mut rng)));
    let count = if seed % 4 == 1 { rng.random_range(2..=3) } else { rng.random_range(1..=3) };
    let struck = Arc::new(Notify::new());
    let nodes = (0..count).map(|name| {
        let node = Node {
            cluster: scene.cluster.clone(),
            weather: weather.clone(),
            rng: Mutex::new(StdRng::seed_from_u64(rng.random())),
            trace: trace.clone(),
            name,
            liar: false,
            struck: struck.clone(),
            seen: Mutex::default(),
        };
        Arc::new(node)
    });
    let mut nodes: Vec<Arc<Node>> = nodes.collect();
    if count > 1 {
        let liar = rng.random_range(0..count);
        Arc::get_mut(&mut nodes[liar]).unwrap().liar = true;
    }
    let nodes = nodes.into_iter().map(|node| node as Arc<dyn Rpc>).collect();
    let mut site = Site::new(folder.path(), &mut scene, nodes, &trace, PACE);
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

    let mut counts = Counts::default();
    let inside: Arc<Mutex<Option<Inside>>> = Arc::default();
    let start = |rng: &mut StdRng| {
        tokio::spawn(relayer::run(site.clone(), inside.clone(), StdRng::seed_from_u64(rng.random())))
    };
    let mut process = Some(start(&mut rng));
    let mut slot_ms = 400;
    let deeds = if rng.random_bool(0.6) { rng.random_range(0.0..0.15) } else { 0.0 };
    let mut operator = Operator::default();
    let storm = rng.random_range(15..40) + if careless { 20 } else { 0 };
    let calm_at = Instant::now() + Duration::from_secs(storm);
    let mut crash_at = Instant::now() + crash_pause(&mut rng);
    let mut back_at = Instant::now();
    let mut over = None;
    let (mut poisoned, mut lowered) = (false, false);
    let mut slot_ends = Instant::now();
    loop {
        slot_ends += Duration::from_millis(slot_ms);
        while timeout_at(slot_ends, struck.notified()).await.is_ok() {
            if Instant::now() < calm_at
                && let Some(task) = process.take()
            {
                crash(task, &inside, &site).await;
                counts.crashes += 1;
                counts.struck += 1;
                back_at = Instant::now() + Duration::from_millis(rng.random_range(0..5_000));
                trace.add("crash while sending");
            }
        }
        let calm = Instant::now() >= calm_at;
        if calm && over.is_none() {
            *weather.lock().unwrap() = Weather { latency: 20, delay: 1, ..Weather::default() };
            *site.busy.lock().unwrap() = false;
            *site.disk_troubles.lock().unwrap() = 0.0;
            site.power_cut.store(false, Ordering::Relaxed);
            site.clock.off_by_ms.store(0, Ordering::Relaxed);
            operator.stop_twin().await;
            scene.make_peace();
            over = Some(Instant::now());
            trace.add("calm");
        }
        let sky = weather.lock().unwrap().clone();
        {
            let mut cluster = scene.cluster.lock().unwrap();
            cluster.tick(slot_ms as i64, rng.random_bool(sky.skipped));
            if rng.random_bool(sky.forks) {
                cluster.fork(rng.random_range(1..super::chain::FINALITY as usize));
                counts.forks += 1;
                trace.add("fork");
            }
        }
        operator.observe(&scene.cluster.lock().unwrap(), &scene.books);
        let at_work = inside.lock().unwrap().is_some();
        if careless && !calm && at_work && rng.random_bool(0.02) {
            operator.copy(&site, &mut rng);
            trace.add("copied");
        }
        if doubled && !calm && at_work && rng.random_bool(0.02) {
            operator.start_twin(&site, &scene, &mut rng);
            trace.add("another relayer has the same keys");
        }
        if !calm && rng.random_bool(0.002) {
            slot_ms = if slot_ms == 400 { 200 } else { 400 };
        }
        if !calm && rng.random_bool(deeds) {
            let deed = scene.any_deed(&mut rng, site.clients.len());
            let done = scene.act(deed);
            let tried = counts.deeds.entry(deed.name()).or_default();
            tried.times += 1;
            tried.done += u64::from(done);
            if done {
                poisoned |= deed.is_poison();
                lowered |= matches!(deed, Deed::Lower(_));
                trace.add(&format!("{deed:?}"));
            }
        }
        if !calm && rng.random_bool(0.003) {
            site.clock.off_by_ms.store(rng.random_range(-600_000..600_000), Ordering::Relaxed);
        }
        if process.is_some() && !calm && Instant::now() >= crash_at {
            crash_at = Instant::now() + crash_pause(&mut rng);
            if rng.random_bool(0.5) {
                site.power_cut.store(true, Ordering::Relaxed);
            } else if let Some(task) = process.take() {
                crash(task, &inside, &site).await;
                counts.crashes += 1;
                back_at = Instant::now() + Duration::from_millis(rng.random_range(0..5_000));
                trace.add("crash");
                if rng.random_bool(0.8)
                    && let Some(down) = operator.restore(&site, &scene.cluster).await
                {
                    back_at = back_at.max(Instant::now() + down);
                    trace.add("an old ledger is put back");
                }
            }
        }
        if let Some(task) = process.take_if(|task| task.is_finished()) {
            let left = match task.await {
                Ok(left) => left,
                Err(failure) => return end(Some(format!("the relayer panicked: {failure}")), counts, &trace),
            };
            *inside.lock().unwrap() = None;
            left.restore(&site.ledger);
            counts.crashes += 1;
            counts.torn += 1;
            back_at = Instant::now() + Duration::from_millis(rng.random_range(0..5_000));
            trace.add("crash in a write");
        }
        if process.is_none() && Instant::now() >= back_at {
            process = Some(start(&mut rng));
            crash_at = Instant::now() + crash_pause(&mut rng);
        }
        let Some(began) = over else { continue };
        let waited = began.elapsed();
        if !operator.is_careful()
            && process.is_some()
            && rng.random_bool(0.02)
            && operator.is_halted(&site, &scene.cluster).await
        {
            stop(process.take(), &inside).await;
            operator.reconcile(&site, &scene.cluster).await;
            process = Some(start(&mut rng));
        }
        let Some(now) = inside.lock().unwrap().clone().filter(|_| waited >= AFTERMATH && !rng.random_bool(0.8)) else {
            continue;
        };
        let late = waited > PATIENCE;
        let all: Vec<Vec<SignedReceipt>> = site.clients.iter().map(|c| c.lock().unwrap().receipts.clone()).collect();
        let (standing, unaccounted) = if operator.is_careful() {
            (standing(&now, &all).await, None)
        } else {
            operator.settled(&site, &scene.books)
        };
        let known = site.clients.iter().all(|client| client.lock().unwrap().unknown.is_empty());
        if late {
            trace.add(&format!("{:?} {:#?}", now.pending().await, now.open_batches().await));
        }
        let unproved =
            if operator.is_careful() { oracle::unproved(&now, &scene.cluster, &standing).await } else { None };
        // A ledger that was put back says itself what is left: what it lost is nobody's to settle.
        let idle = match operator.is_careful() {
            true => unproved.is_none(),
            false => now.pending().await.unwrap().receipts == 0,
        };
        let halted = !operator.is_careful() && operator.is_halted(&site, &scene.cluster).await;
        let cluster = scene.cluster.lock().unwrap();
        if (known && idle && !halted && oracle::is_settled(&cluster, &scene.books, &standing)) || late {
            counts.receipts = all.iter().map(|receipts| receipts.len() as u64).sum();
            counts.aside = match operator.is_careful() {
                true => counts.receipts - standing.iter().map(|receipts| receipts.len() as u64).sum::<u64>(),
                false => 0,
            };
            (counts.restored, counts.twins, counts.adopted) = (operator.restored, operator.twins, operator.adopted);
            counts.refused = site.clients.iter().map(|client| client.lock().unwrap().refused).sum();
            counts.undone = cluster.undone;
            counts.agreements = *site.agreements.lock().unwrap();
            let carried_out = |signature: &&Signature| cluster.status(signature).is_some_and(|s| s.error.is_none());
            let agreed = site.agreed.lock().unwrap();
            counts.withdrawn =
                Tried { times: agreed.len() as u64, done: agreed.iter().filter(carried_out).count() as u64 };
            counts.troubles.clone_from(&site.troubles.lock().unwrap());
            let seq = |(vault, _): &(_, _)| u64::from(oracle::vault(&cluster, vault).settle_seq);
            counts.groups = scene.books.vaults.iter().map(seq).sum();
            let problem = unaccounted.or_else(|| oracle::check(&cluster, &scene.books, &standing, lowered));
            let problem = problem.map(|p| if late { format!("not settled in time: {p}") } else { p });
            let numbered = if operator.twins == 0 { numbered_twice(&all) } else { None };
            let problem = problem.or(numbered).or(unproved);
            let baseless = (counts.aside > 0 && !poisoned).then(|| "set aside without a cause".to_owned());
            let problem = problem.or(baseless).or((!known).then(|| "a request's fate cannot be found out".into()));
            return end(problem, counts, &trace);
        }
    }
}

/// Ends a process between two awaits, and nothing of it is written any more.
async fn crash(process: JoinHandle<Image>, inside: &Mutex<Option<Inside>>, site: &Site) {
    let left = Image::of(&site.ledger);
    end_of(process).await;
    *inside.lock().unwrap() = None;
    left.restore(&site.ledger);
}

/// Ends a process where it stands.
pub async fn end_of(process: JoinHandle<Image>) {
    process.abort();
    if let Err(failure) = process.await {
        assert!(failure.is_cancelled(), "the relayer panicked: {failure}");
    }
}

/// Ends a process between two awaits, and its ledger is closed.
async fn stop(process: Option<JoinHandle<Image>>, inside: &Mutex<Option<Inside>>) {
    if let Some(process) = process {
        end_of(process).await;
    }
    *inside.lock().unwrap() = None;
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

fn numbered_twice(all: &[Vec<SignedReceipt>]) -> Option<String> {
    let twice = |receipts: &Vec<SignedReceipt>| {
        receipts.iter().map(|r| r.receipt.number).collect::<BTreeSet<_>>().len() < receipts.len()
    };
    all.iter().any(twice).then(|| "two receipts of a vault have one number".into())
}

fn end(problem: Option<String>, counts: Counts, trace: &Trace) -> End {
    End { problem, counts, hash: trace.hash(), lines: trace.lines() }
}

fn crash_pause(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(500..30_000))
}

/// Each seed has its own weather: some faults are left out altogether, so that the others get through. Every fourth has
/// nodes that lie a lot, every fourth has forks.
fn weather(seed: u64, rng: &mut StdRng) -> Weather {
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
