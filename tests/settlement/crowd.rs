//! Many vaults that are all in use, and nothing fails: whether settlement keeps up with them.

use super::disk::Image;
use super::node::{Node, Weather};
use super::oracle;
use super::relayer::{self, Pace, Site};
use super::scene::Scene;
use super::storm;
use super::trace::Trace;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::chain::rpc::Rpc;
use tokio::time::{Instant, sleep};

/// A request of each vault in so many milliseconds, and a settlement.
const PACE: Pace = Pace { request_ms: (30_000, 60_000), settle_ms: 60_000 };
/// Virtual time in which requests are made.
const BUSY: Duration = Duration::from_secs(180);
/// Virtual time after it in which the last of them must be settled: an interval, and until that is final.
const REST: Duration = Duration::from_secs(90);
const SLOT: Duration = Duration::from_millis(400);

/// What came of it.
#[derive(Debug)]
pub struct Kept {
    pub receipts: u64,
    pub groups: u64,
    /// The most receipts that waited at once.
    pub most_waiting: u64,
    /// Virtual time from the last request until all was settled.
    pub settled_after: Option<Duration>,
    pub problem: Option<String>,
}

/// `vaults` in use, at nodes whose calls take `latency_ms` on average.
pub fn run(vaults: usize, latency_ms: u64) -> Kept {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(keep_up(vaults, latency_ms))
}

async fn keep_up(vaults: usize, latency_ms: u64) -> Kept {
    let mut rng = StdRng::seed_from_u64(1);
    let folder = tempfile::Builder::new().prefix("steam-simulation").tempdir_in(storm::memory()).unwrap();
    let mut scene = Scene::of(vaults);
    let trace = Arc::new(Trace::new());
    let weather = Weather { latency: latency_ms, delay: 2, ..Weather::default() };
    let node = |name: usize| Node {
        cluster: scene.cluster.clone(),
        weather: Arc::new(Mutex::new(weather.clone())),
        rng: Mutex::new(StdRng::seed_from_u64(name as u64)),
        trace: trace.clone(),
        name,
        liar: false,
        struck: Arc::default(),
        seen: Mutex::default(),
    };
    let nodes = (0..2).map(|name| Arc::new(node(name)) as Arc<dyn Rpc>).collect();
    let site = Arc::new(Site::new(folder.path(), &mut scene, nodes, &trace, PACE));
    let inside = Arc::default();
    let process: tokio::task::JoinHandle<Image> = tokio::spawn(relayer::run(
        site.clone(),
        Arc::clone(&inside),
        StdRng::seed_from_u64(rand::Rng::random(&mut rng)),
    ));
    let began = Instant::now();
    let (mut most_waiting, mut settled_after) = (0, None);
    while began.elapsed() < BUSY + REST && settled_after.is_none() {
        sleep(SLOT).await;
        scene.cluster.lock().unwrap().tick(SLOT.as_millis() as i64, false);
        assert!(!process.is_finished(), "the relayer ended");
        let Some(ledger) = inside.lock().unwrap().clone() else { continue };
        let waiting = steam::ledger::Ledger::pending(&ledger).await.unwrap().receipts;
        most_waiting = most_waiting.max(waiting);
        if began.elapsed() >= BUSY {
            *site.busy.lock().unwrap() = false;
            settled_after =
                (waiting == 0 && began.elapsed() > BUSY + Duration::from_secs(5)).then(|| began.elapsed() - BUSY);
        }
    }
    let cluster = scene.cluster.lock().unwrap();
    let receipts: Vec<_> = site.clients.iter().map(|client| client.lock().unwrap().receipts.clone()).collect();
    Kept {
        receipts: receipts.iter().map(|receipts| receipts.len() as u64).sum(),
        groups: scene.books.vaults.iter().map(|(vault, _)| u64::from(oracle::vault(&cluster, vault).settle_seq)).sum(),
        most_waiting,
        settled_after,
        problem: oracle::check(&cluster, &scene.books, &receipts, false),
    }
}
