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
use steam::config::{Config, SettleConfig};
use steam::ledger::{Ledger, Location, Turns};
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
    pub url: String,
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
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
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
    tokio::spawn(write(writers.clone(), StdRng::seed_from_u64(rng.random())));
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
    let writers = writers.clone();
    Setup {
        config,
        ledger: Location::read(&home.url).unwrap(),
        id: id.to_owned(),
        address: id.to_owned(),
        nodes,
        parties: home.site.parties,
        settler: home.site.settler.insecure_clone(),
        receipts: home.site.receipt_key.clone(),
        clock: home.clock.clone(),
        rng: StdRng::seed_from_u64(rng.random()),
        opens: Arc::new(move |place, domain, relayer| {
            let (ledger, turns) = Ledger::open_in_turns(place, domain, relayer)?;
            writers.lock().unwrap().push(turns);
            Ok(ledger)
        }),
    }
}

/// The turns of the writers of all partitions that are open, in place of their threads.
async fn write(writers: Writers, mut rng: StdRng) {
    let mut looked = Instant::now();
    loop {
        sleep(Duration::from_millis(rng.random_range(1..60))).await;
        let looks = looked.elapsed() >= Duration::from_secs(1);
        if looks {
            looked = Instant::now();
        }
        let all = std::mem::take(&mut *writers.lock().unwrap());
        for mut turns in all {
            turns.take();
            if looks {
                turns.look();
            }
            writers.lock().unwrap().extend(turns.unless_over());
        }
    }
}
