//! A replica from its start to its end: a runtime with a clock of its own.

use super::super::node::{Node, Weather};
use super::super::relayer::{POLL, SETTLE, SimClock, Site};
use super::PARTITIONS;
use super::lanes::{self, Post, Served};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use steam::app::seat::{Seat, Setup};
use steam::chain::rpc::Rpc;
use steam::config::{Config, SettleConfig, UpstreamConfig};
use steam::ledger::simulated::Link;
use steam::ledger::{Ledger, Location, Turns};
use steam::upstream::Upstream;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, advance, sleep, sleep_until};

/// Silence after which a replica is replaced.
pub const LEASE: Duration = Duration::from_secs(4);
/// Time that requests have when a replica is drained.
const DRAIN: Duration = Duration::from_secs(2);

/// What all lives of a replica have in common.
pub struct Home {
    pub site: Arc<Site>,
    pub post: Post,
    pub link: Link,
    pub weather: Arc<Mutex<Weather>>,
    pub nodes: usize,
    pub liar: usize,
    pub clock: Arc<SimClock>,
}

/// A replica.
pub struct Life {
    runtime: Option<Runtime>,
    /// Its clock, and the world's, when it began.
    born: (Instant, i64),
    pub id: String,
    seat: Arc<OnceLock<Arc<Seat>>>,
    pub struck: Arc<Notify>,
    post: Post,
}

impl Life {
    pub fn begin(home: &Arc<Home>, id: String, world_ms: i64, rng: &mut StdRng) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (seat, struck): (Arc<OnceLock<Arc<Seat>>>, Arc<Notify>) = Default::default();
        let (sender, errands) = mpsc::unbounded_channel();
        home.post.lock().unwrap().insert(id.clone(), sender);
        let begins = begin(
            home.clone(),
            id.clone(),
            (seat.clone(), struck.clone()),
            errands,
            StdRng::seed_from_u64(rng.random()),
        );
        let born = runtime.block_on(async {
            tokio::spawn(begins);
            Instant::now()
        });
        Self { runtime: Some(runtime), born: (born, world_ms), id, seat, struck, post: home.post.clone() }
    }

    /// Goes on until the world's clock says so. Whoever `slept` finds the time gone at once.
    pub fn run(&self, world_ms: i64, slept: bool) {
        let until = self.born.0 + Duration::from_millis((world_ms - self.born.1) as u64);
        self.block_on(async {
            if slept {
                advance(until - Instant::now() - Duration::from_millis(1)).await;
            }
            sleep_until(until).await;
        });
    }

    /// Waits for something in its time.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(work)
    }

    /// What it has to do with the ledger, once it has begun.
    pub fn seat(&self) -> Option<&Arc<Seat>> {
        self.seat.get()
    }

    /// Whether it believes that it holds a partition.
    pub fn holds(&self, partition: u16) -> bool {
        self.seat().is_some_and(|seat| seat.held().get(partition).is_some())
    }
}

/// Its end is a crash: nothing of it lives on.
impl Drop for Life {
    fn drop(&mut self) {
        self.post.lock().unwrap().remove(&self.id);
        drop(self.runtime.take());
    }
}

/// Its writers' turns.
type Writers = Arc<Mutex<Vec<Turns>>>;

async fn begin(
    home: Arc<Home>,
    id: String,
    (cell, struck): (Arc<OnceLock<Arc<Seat>>>, Arc<Notify>),
    errands: mpsc::UnboundedReceiver<lanes::Errand>,
    mut rng: StdRng,
) {
    let writers = Writers::default();
    tokio::spawn(write(writers.clone(), home.link.clone(), StdRng::seed_from_u64(rng.random())));
    let nodes: Vec<Arc<dyn Rpc>> = (0..home.nodes).map(|name| node(&home, name, &struck, &mut rng)).collect();
    let seat = loop {
        match Seat::take(setup(&home, &id, nodes.clone(), &writers, &mut rng)).await {
            Ok(seat) => break Arc::new(seat),
            Err(error) => home.site.trace.add(&format!("{id} does not start: {error}")),
        }
        sleep(POLL).await;
    };
    home.site.trace.add(&format!("{id} has started"));
    drop(cell.set(seat.clone()));
    let served = Served { site: home.site.clone(), seat, post: home.post.clone() };
    lanes::begin(&served, errands, &mut rng);
}

fn node(home: &Home, name: usize, struck: &Arc<Notify>, rng: &mut StdRng) -> Arc<dyn Rpc> {
    Arc::new(Node {
        cluster: home.site.cluster.clone(),
        weather: home.weather.clone(),
        rng: Mutex::new(StdRng::seed_from_u64(rng.random())),
        trace: home.site.trace.clone(),
        name,
        liar: name == home.liar,
        struck: struck.clone(),
        seen: Mutex::default(),
    })
}

fn setup(home: &Home, id: &str, nodes: Vec<Arc<dyn Rpc>>, writers: &Writers, rng: &mut StdRng) -> Setup {
    let mut config = Config::default();
    config.chain.poll_ms = POLL.as_millis() as u64;
    config.settle = SettleConfig { interval_ms: home.site.pace.settle_ms, ..SETTLE };
    config.server.drain_timeout_ms = DRAIN.as_millis() as u64;
    config.replicas.partitions = PARTITIONS;
    config.replicas.lease_ms = LEASE.as_millis() as u64;
    let (writers, link) = (writers.clone(), home.link.clone());
    Setup {
        config,
        ledger: Location::simulated(&home.link),
        id: id.to_owned(),
        address: id.to_owned(),
        nodes,
        parties: home.site.parties,
        settler: home.site.settler.insecure_clone(),
        receipts: home.site.receipt_key.clone(),
        clock: home.clock.clone(),
        rng: StdRng::seed_from_u64(rng.random()),
        upstream: upstream(home),
        opens: Arc::new(move |place, domain, relayer| {
            let (writers, link) = (writers.clone(), link.clone());
            Box::pin(async move {
                let opened = Ledger::open_in_turns(place, &domain, &relayer);
                sleep(link.waited()).await;
                let (ledger, turns) = opened?;
                writers.lock().unwrap().push(turns);
                Ok(ledger)
            })
        }),
    }
}

/// One for all replicas of all seeds.
fn upstream(home: &Home) -> Arc<Upstream> {
    static ONE: OnceLock<Arc<Upstream>> = OnceLock::new();
    let site = &home.site;
    let make = || Upstream::new(&UpstreamConfig::default(), site.parties.relayer, &site.receipt_key).unwrap();
    ONE.get_or_init(|| Arc::new(make())).clone()
}

/// The turns of the writers of all partitions that are open, in place of their threads: one waits for the server while others go on.
async fn write(writers: Writers, link: Link, mut rng: StdRng) {
    loop {
        sleep(Duration::from_millis(rng.random_range(1..60))).await;
        for turns in std::mem::take(&mut *writers.lock().unwrap()) {
            tokio::spawn(take_turns(turns, link.clone(), StdRng::seed_from_u64(rng.random())));
        }
    }
}

async fn take_turns(mut turns: Turns, link: Link, mut rng: StdRng) {
    let mut looked = Instant::now();
    turns.look();
    loop {
        sleep(link.waited() + Duration::from_millis(rng.random_range(1..60))).await;
        turns.take();
        if looked.elapsed() >= Duration::from_secs(1) {
            turns.look();
            looked = Instant::now();
        }
        match turns.unless_over() {
            Some(again) => turns = again,
            None => return,
        }
    }
}
