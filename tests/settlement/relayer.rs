//! A relayer process: the shipped ledger, accounts, reader and settler, from start to crash.

use super::chain::Cluster;
use super::clients::{self, Client};
use super::counts::Tried;
use super::disk::{Disk, Image, Trouble};
use super::owners::{self, Owner};
use super::scene::Scene;
use super::trace::Trace;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solana_keypair::Keypair;
use solana_signature::Signature;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::chain::SettlementAccounts;
use steam::chain::rpc::Rpc;
use steam::clock::Clock;
use steam::config::{AlertConfig, SettleConfig, TransactionVersion};
use steam::ledger::{Ledger, Turns};
use steam::reader::Reader;
use steam::reader::accounts;
use steam::settle::{Settler, Setup};
use steam::vaults::{Identity, Vaults};
use steam::withdrawals::Withdrawals;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Pauses of the reader and the settler.
pub const POLL: Duration = Duration::from_millis(2_000);
pub const SETTLE: SettleConfig = SettleConfig {
    interval_ms: 0,
    resend_ms: 1_000,
    priority_fee: 1,
    max_priority_fee: 100,
    max_attempts: 1_000,
    transaction: TransactionVersion::Auto,
    lookup_tables: true,
    min_fee_microusdc: 100,
    dust_seconds: 4,
};

/// How often things happen, in milliseconds.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Between two requests of a key, at the least and at the most.
    pub request_ms: (u64, u64),
    /// Between two settlements.
    pub settle_ms: u64,
}

/// What outlives a process.
pub struct Site {
    pub ledger: PathBuf,
    pub domain: [u8; 32],
    pub parties: SettlementAccounts,
    pub settler: Keypair,
    pub receipt_key: ed25519_dalek::SigningKey,
    pub nodes: Vec<Arc<dyn Rpc>>,
    pub clock: Arc<SimClock>,
    pub trace: Arc<Trace>,
    pub cluster: Arc<Mutex<Cluster>>,
    pub clients: Vec<Arc<Mutex<Client>>>,
    /// Requests that each of them may have under way.
    pub at_once: usize,
    /// Of each client's vault.
    pub owners: Vec<Owner>,
    /// Whether they withdraw at once now and then.
    pub owners_leave: bool,
    /// How often they asked, and how often the settler agreed.
    pub agreements: Mutex<Tried>,
    /// What he agreed to, by its transaction.
    pub agreed: Mutex<Vec<Signature>>,
    pub pace: Pace,
    /// Whether clients send requests.
    pub busy: Mutex<bool>,
    /// How often the disk gets into trouble, per write.
    pub disk_troubles: Mutex<f64>,
    pub troubles: Mutex<BTreeMap<Trouble, u64>>,
    /// Whether the power goes in the middle of the next write.
    pub power_cut: AtomicBool,
}

impl Site {
    /// A relayer of a scene, where nothing fails.
    pub fn new(folder: &Path, scene: &mut Scene, nodes: Vec<Arc<dyn Rpc>>, trace: &Arc<Trace>, pace: Pace) -> Self {
        Self::since(Since::now(), folder, scene, (nodes, trace, pace))
    }

    /// One that began so long ago.
    pub fn since(
        since: Since,
        folder: &Path,
        scene: &mut Scene,
        (nodes, trace, pace): (Vec<Arc<dyn Rpc>>, &Arc<Trace>, Pace),
    ) -> Self {
        Self {
            ledger: folder.join("steam.db"),
            domain: scene.domain,
            parties: scene.parties,
            settler: scene.settler.insecure_clone(),
            receipt_key: ed25519_dalek::SigningKey::from_bytes(&[8; 32]),
            nodes,
            clock: Arc::new(SimClock {
                since,
                unix_ms: scene.cluster.lock().unwrap().unix_time() * 1_000,
                off_by_ms: AtomicI64::new(0),
            }),
            trace: trace.clone(),
            cluster: scene.cluster.clone(),
            clients: std::mem::take(&mut scene.clients),
            at_once: 1,
            owners: std::mem::take(&mut scene.owners),
            owners_leave: false,
            agreements: Mutex::default(),
            agreed: Mutex::default(),
            pace,
            busy: Mutex::new(true),
            disk_troubles: Mutex::new(0.0),
            troubles: Mutex::default(),
            power_cut: AtomicBool::new(false),
        }
    }

    /// Another relayer of the same keys, with a ledger of its own: what nobody may run.
    pub fn twin(&self, ledger: PathBuf) -> Self {
        Self {
            ledger,
            domain: self.domain,
            parties: self.parties,
            settler: self.settler.insecure_clone(),
            receipt_key: self.receipt_key.clone(),
            nodes: self.nodes.clone(),
            clock: self.clock.clone(),
            trace: self.trace.clone(),
            cluster: self.cluster.clone(),
            clients: self.clients.clone(),
            at_once: self.at_once,
            owners: Vec::new(),
            owners_leave: false,
            agreements: Mutex::default(),
            agreed: Mutex::default(),
            pace: self.pace,
            busy: Mutex::new(true),
            disk_troubles: Mutex::new(0.0),
            troubles: Mutex::default(),
            power_cut: AtomicBool::new(false),
        }
    }
}

/// When something began.
#[derive(Clone)]
pub enum Since {
    /// By the clock of the one runtime in which all happens.
    Instant(Instant),
    /// By the milliseconds that a world of several runtimes counts, since there were so many.
    World(Arc<AtomicI64>, i64),
}

impl Since {
    pub fn now() -> Self {
        Self::Instant(Instant::now())
    }

    pub fn elapsed_ms(&self) -> i64 {
        match self {
            Self::Instant(began) => began.elapsed().as_millis() as i64,
            Self::World(now, began) => now.load(Ordering::Relaxed) - began,
        }
    }
}

/// The time of day of the machine, which may be set wrong.
pub struct SimClock {
    pub since: Since,
    pub unix_ms: i64,
    pub off_by_ms: AtomicI64,
}

impl Clock for SimClock {
    fn unix_ms(&self) -> i64 {
        self.unix_ms + self.since.elapsed_ms() + self.off_by_ms.load(Ordering::Relaxed)
    }
}

/// What is asked of a relayer at work from outside.
pub type Inside = Ledger;

/// Runs until it is dropped, which is a crash: nothing of it lives on but the ledger's file. Or until the power goes in the
/// middle of a write, and then returns what is left of that file.
pub async fn run(site: Arc<Site>, inside: Arc<Mutex<Option<Inside>>>, mut rng: StdRng) -> Image {
    let registry = loop {
        match accounts::registry(site.nodes[0].as_ref(), &site.parties.program, &site.parties.relayer).await {
            Ok(registry) => break registry,
            Err(_) => sleep(POLL).await,
        }
    };
    let (ledger, mut turns) =
        Ledger::open_in_turns(&site.ledger, &site.domain, &site.parties.relayer.to_bytes()).unwrap();
    let clock: Arc<dyn Clock> = site.clock.clone();
    finish_sealing(&ledger, &mut turns);
    let loaded = ledger.load(0).await.unwrap();
    let identity = Identity {
        domain: site.domain,
        relayer: site.parties.relayer,
        key_id: 0,
        receipt_key: site.receipt_key.clone(),
    };
    let vaults = Arc::new(Vaults::new(identity, ledger.clone(), clock.clone(), loaded));
    let (mut reader, registry) = Reader::new(site.nodes.clone(), site.parties, vaults.clone(), registry);
    while reader.read().await.is_err() {
        sleep(POLL).await;
    }
    let (mut settler, mut status) = Settler::new(Setup {
        ledger: ledger.clone(),
        vaults: vaults.clone(),
        nodes: site.nodes.clone(),
        clock: clock.clone(),
        parties: site.parties,
        keypair: site.settler.insecure_clone(),
        config: SettleConfig { interval_ms: site.pace.settle_ms, ..SETTLE },
        alerts: AlertConfig::default(),
        registry: registry.clone(),
        replaced: Duration::ZERO,
    });
    while settler.survey().await.is_err() {
        sleep(POLL).await;
    }
    *inside.lock().unwrap() = Some(ledger.clone());
    site.trace.add("the relayer has started");
    let never = CancellationToken::new();
    // Each is only woken for itself.
    let mut work: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    for (client, lane) in site.clients.iter().flat_map(|client| (0..site.at_once).map(move |lane| (client, lane))) {
        let (rng, registry) = (StdRng::seed_from_u64(rng.random()), registry.clone());
        let (client, site) = ((client.clone(), lane), site.clone());
        work.push(clients::run(client, site, vaults.clone(), ledger.clone(), registry, rng).boxed());
    }
    let problems = async {
        while status.changed().await.is_ok() {
            if let Some(problem) = &status.borrow_and_update().problem {
                site.trace.add(&format!("settlement: {problem}"));
            }
        }
    };
    let withdrawals = Withdrawals::new(vaults.clone(), ledger.clone(), site.parties, site.settler.insecure_clone());
    let owners = owners::run(&site, vaults.clone(), withdrawals, StdRng::seed_from_u64(rng.random()));
    let reader = Arc::new(tokio::sync::Mutex::new(reader));
    work.push(Reader::run(reader, POLL, never.clone()).boxed());
    work.push(settler.run(never).boxed());
    work.push(owners.boxed());
    work.push(problems.boxed());
    // The order makes sure that nobody learns of a write in which the power went.
    tokio::select! {
        biased;
        left = write(site.clone(), turns, rng) => left,
        _ = work.next() => unreachable!("none of them ends"),
    }
}

/// What a start does before anybody else writes.
fn finish_sealing(ledger: &Ledger, turns: &mut Turns) {
    let mut finished = pin!(ledger.finish_sealing());
    loop {
        if let Some(finished) = finished.as_mut().now_or_never() {
            return finished.unwrap();
        }
        turns.take();
    }
}

/// The writer's turns: how long the disk takes, and what goes wrong with it.
async fn write(site: Arc<Site>, mut turns: Turns, mut rng: StdRng) -> Image {
    let mut disk = Disk::new(turns.connection().unwrap(), &mut rng);
    let mut before = None;
    loop {
        sleep(Duration::from_millis(rng.random_range(1..60))).await;
        if let Some(trouble) = disk.turn(turns.connection().unwrap(), *site.disk_troubles.lock().unwrap(), &mut rng) {
            *site.troubles.lock().unwrap().entry(trouble).or_default() += 1;
            site.trace.add(&format!("the disk is {trouble:?}"));
        }
        if !site.power_cut.load(Ordering::Relaxed) {
            turns.take();
            continue;
        }
        let synced = before.get_or_insert_with(|| Image::of(&site.ledger));
        if turns.take() {
            site.power_cut.store(false, Ordering::Relaxed);
            return Image::of(&site.ledger).torn(synced, &mut rng);
        }
    }
}
