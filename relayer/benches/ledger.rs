//! Durable charges a second through the real ledger: holds, receipts signed in the order of their numbers, vouchers, group
//! commit, `fdatasync` on the disk of the temporary folder (`TMPDIR`); or in an empty database on a PostgreSQL server.
//!
//! `cargo bench -p steam --bench ledger -- [charges at once] [seconds] [postgres://…]`
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use ed25519_dalek::SigningKey;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use steam::chain::{KeyRef, KeySnapshot, Pubkey, VaultSnapshot};
use steam::clock::SystemClock;
use steam::ledger::{Ledger, Location};
use steam::registry::Offer;
use steam::relay::decision::{AttemptRecord, CandidateRecord, OPENED, Record, RouteRecord, VERSION};
use steam::score::{Ask, Coefficients, Outcome, Scorer};
use steam::vaults::{Consent, Draft, Identity, Vaults};
use steam_protocol::receipt::{CountedBy, FinishReason};
use steam_protocol::sha256;
use steam_protocol::units::{MicroUsdc, Pico, Price, Usage};

/// Vaults that are charged in turn.
const VAULTS: usize = 1_000;
/// Candidates in a decision record.
const CANDIDATES: u64 = 3;
const PRICE: Price = Price::basic(300_000, 30_000, 1_200_000, 0);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let (at_once, seconds) = (numbers.next().unwrap_or(1_024), numbers.next().unwrap_or(10));
    let server = std::env::args().skip(1).filter_map(|arg| Location::read(&arg).ok());
    let server = server.into_iter().find(|location| matches!(location, Location::Server(_)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    println!("fdatasync of 4 KiB: {:?} in the middle", fdatasync(folder.path()));
    for at_once in [1, at_once] {
        let path = folder.path().join(format!("{at_once}.db"));
        let location = server.clone().unwrap_or_else(|| (&path).into());
        let mut took = runtime.block_on(run(&location, at_once, Duration::from_secs(seconds)));
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len()) / took.len() as u64;
        println!(
            "{at_once:>5} at once: {:>6} durable charges/s, p50 {:?}, p99 {:?}, {bytes} bytes a charge",
            took.len() as u64 / seconds,
            at(0.5),
            at(0.99)
        );
    }
}

/// The time of every charge, from the metered answer to the durable receipt.
async fn run(location: &Location, at_once: u64, time: Duration) -> Vec<Duration> {
    let ledger = Ledger::open(location, &[1; 32], &[2; 32]).unwrap();
    let identity = Identity {
        domain: [1; 32],
        relayer: Pubkey::new_from_array([2; 32]),
        key_id: 1,
        receipt_key: SigningKey::from_bytes(&[3; 32]),
    };
    let loaded = ledger.load(0).await.unwrap();
    let vaults = Arc::new(Vaults::new(identity, ledger.clone(), Arc::new(SystemClock), loaded));
    let snapshots: Vec<VaultSnapshot> = (0..VAULTS).map(snapshot).collect();
    vaults.update(&snapshots, 1, 100);
    let offer = Arc::new(offer());
    let over = Arc::new(AtomicBool::new(false));
    let clients = (0..at_once)
        .map(|client| tokio::spawn(client_of(at_once << 32 | client, vaults.clone(), offer.clone(), over.clone())));
    let clients: Vec<_> = clients.collect();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    futures::future::join_all(clients).await.into_iter().flat_map(Result::unwrap).collect()
}

async fn client_of(client: u64, vaults: Arc<Vaults>, offer: Arc<Offer>, over: Arc<AtomicBool>) -> Vec<Duration> {
    let decisions: Vec<_> = (0..8).map(|request| decision(client, request)).collect();
    let mut took = Vec::new();
    for request in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let n = (client as usize * 7 + request as usize) % VAULTS;
        let key = key_ref(n);
        let hash = sha256(&[&client.to_le_bytes(), &request.to_le_bytes()]);
        let consent = Consent::Voucher { authorized: MicroUsdc(1 << 60), signature: [7; 64] };
        let hold = vaults.reserve(&key, consent, hash, Pico(1_000_000_000), 1).unwrap();
        let draft = Draft {
            response_hash: hash,
            offer: offer.clone(),
            usage: Usage { requests: 1, input: 900, cached: 0, output: 300, ..Usage::default() },
            counted_by: CountedBy::Provider,
            finish_reason: FinishReason::Stop,
            started_at_ms: 1,
            ttft_ms: 1,
            duration_ms: 1,
            decision: decisions[request as usize % decisions.len()].clone(),
            id: format!("gen-{:012x}{:020x}", request, client),
        };
        let began = Instant::now();
        hold.charge(draft).await.unwrap();
        took.push(began.elapsed());
    }
    took
}

/// A record of so many candidates that were measured, with as much in it that differs from one to the next as in real ones.
fn decision(client: u64, request: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(client << 32 | request);
    let now = tokio::time::Instant::now();
    let scorer = Scorer::new(Coefficients::default());
    let offers = (0..CANDIDATES).map(|n| {
        let at = |kind: &[u8]| Pubkey::new_from_array(sha256(&[kind, &n.to_le_bytes()]));
        let name = format!("provider {n}");
        Arc::new(Offer { address: at(b"offer"), provider: at(b"provider"), provider_name: name, ..offer() })
    });
    let offers: Vec<Arc<Offer>> = offers.collect();
    for offer in &offers {
        for _ in 0..rng.random_range(1..40) {
            let ttft = Duration::from_secs_f64(rng.random_range(0.1..1.0));
            let total = ttft + Duration::from_secs_f64(rng.random_range(1.0..9.0));
            let (input_tokens, cached_tokens, tokens) = (900, rng.random_range(0..900), rng.random_range(100..500));
            let (output_tokens, received_tokens) = (tokens, tokens);
            let streamed = true;
            let served =
                Outcome::Served { streamed, input_tokens, cached_tokens, output_tokens, received_tokens, ttft, total };
            scorer.observe(&offer.address, &served, now);
        }
    }
    let ask = Ask { input_tokens: 24, expected_output: 100, streamed: true, ..Ask::default() };
    let choice = scorer.rank(&offers, &ask, now + Duration::from_secs(1), &mut rng).record();
    let candidates = offers.iter().map(|offer| CandidateRecord {
        offer: offer.address.to_string(),
        provider: offer.provider.to_string(),
        name: offer.provider_name.clone(),
        dialect: "chat".into(),
        version: 1,
        max_output: 300,
        ceiling_pico: rng.random_range(1_000_000..9_000_000).to_string(),
    });
    let route = RouteRecord {
        model: "m".into(),
        candidates: candidates.collect(),
        excluded: Vec::new(),
        choice: choice.clone(),
    };
    let order: Vec<&Arc<Offer>> = choice.ranking.order.iter().map(|&index| &offers[index]).collect();
    Record {
        v: VERSION,
        id: format!("gen-{:032x}", u128::from(client) << 32 | u128::from(request)),
        time_ms: request as i64,
        dialect: "chat".into(),
        choices: 1,
        fee_bps: 100,
        max_attempts: 4,
        preferred: Vec::new(),
        allow_fallbacks: true,
        routes: vec![route],
        unknown_models: Vec::new(),
        order: order.iter().map(|offer| offer.address.to_string()).collect(),
        attempts: vec![AttemptRecord::ended(order[0], now, now, OPENED, None)],
        outcome: "served".into(),
    }
    .to_bytes()
}

/// How long the disk takes to make 4 KiB durable: the floor of a lone charge.
fn fdatasync(folder: &std::path::Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("sync")).unwrap();
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[1; 4_096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[100]
}

fn key_ref(n: usize) -> KeyRef {
    let vault = Pubkey::new_from_array(sha256(&[b"vault", &n.to_le_bytes()]));
    KeyRef { vault, generation: 1, slot: 0, epoch: 1, key: sha256(&[b"public", &n.to_le_bytes()]) }
}

fn snapshot(n: usize) -> VaultSnapshot {
    let key = key_ref(n);
    let most = 1_000_000_000_000;
    VaultSnapshot {
        address: key.vault,
        owner: key.vault,
        generation: 1,
        slot: 2,
        token: key.vault,
        balance: MicroUsdc(1 << 60),
        keys: vec![KeySnapshot {
            key: key.key,
            epoch: 1,
            expires: i64::MAX,
            limit_total: MicroUsdc(1 << 60),
            max_price: Price::basic(most, most, most, most),
            max_fee_bps: 2_000,
            ..KeySnapshot::default()
        }],
        ..VaultSnapshot::default()
    }
}

fn offer() -> Offer {
    let at = |n: u8| Pubkey::new_from_array([n; 32]);
    Offer {
        address: at(10),
        provider: at(11),
        provider_name: "p".into(),
        provider_token: at(12),
        url: "https://p".into(),
        model: "m".into(),
        price: PRICE.into(),
        version: 1,
        context_limit: 1,
        output_limit: 1,
        capabilities: 0,
    }
}
