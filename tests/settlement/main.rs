//! The shipped relayer in a world where everything fails: clock, RPC, scheduling and crashes come from one seed; ledger,
//! accounts, settler and the program on the SVM are the real ones. What was receipted must be settled exactly once,
//! whatever happened, as soon as it stops happening.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken test bed should end the test where it breaks")]

mod chain;
mod clients;
mod counts;
mod crowd;
mod disk;
mod node;
mod operator;
mod oracle;
mod owners;
mod process;
mod relayer;
mod replicas;
mod scene;
mod storm;
mod trace;

/// Seeds in an ordinary run. `STEAM_SEEDS=100000` for a long one, `STEAM_SEED=7` for one, told in full: what happens to the relayer, and what
/// it says itself.
const SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} should be a number")))
}

/// Has what happens told, and what the relayer says itself.
fn tell_everything() {
    tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(std::io::stderr)
        .init();
}

#[test]
fn every_receipt_is_settled_exactly_once_whatever_happens() {
    if let Some(seed) = number("STEAM_SEED") {
        tell_everything();
        let end = storm::run(seed);
        eprintln!("seed {seed}: {}", end.summary());
        assert_eq!(end.problem, None, "seed {seed}");
        return;
    }
    let seeds = number("STEAM_SEEDS").unwrap_or(SEEDS);
    let first = number("STEAM_FIRST_SEED").unwrap_or_default();
    let next = std::sync::atomic::AtomicU64::new(first);
    let totals = std::sync::Mutex::new((counts::Counts::default(), Vec::new()));
    let began = std::time::Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let end = std::panic::catch_unwind(|| storm::run(seed))
                        .unwrap_or_else(|_| storm::End::problem("a panic, told above"));
                    let mut totals = totals.lock().unwrap();
                    totals.0.add(&end.counts);
                    if let Some(problem) = end.problem {
                        eprintln!("seed {seed}: {problem}");
                        totals.1.push(seed);
                    }
                }
            });
        }
    });
    let (counts, failed) = totals.into_inner().unwrap();
    eprintln!("{seeds} seeds in {:.1} s: {counts:?}", began.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "seeds that failed: {failed:?}; STEAM_SEED={} tells what happened", failed[0]);
    counts.assert_all_happened();
}

#[test]
fn one_seed_is_one_trace() {
    for seed in 0..5 {
        assert_eq!(storm::run(seed).hash, storm::run(seed).hash, "seed {seed}");
    }
}

/// `STEAM_VAULTS=1000` for more of them, `STEAM_LATENCY_MS=50` for what a call of a node takes.
#[test]
fn settlement_keeps_up_with_many_vaults() {
    let vaults = number("STEAM_VAULTS").unwrap_or(200);
    let latency = number("STEAM_LATENCY_MS").unwrap_or(20);
    let began = std::time::Instant::now();
    let kept = crowd::run(usize::try_from(vaults).unwrap(), latency);
    let crowd::Kept { receipts, groups, most_waiting, settled_after, .. } = &kept;
    eprintln!(
        "{vaults} vaults, {latency} ms a call: {receipts} receipts in {groups} groups, at most {most_waiting} waiting, all settled \
         {settled_after:?} after the last request; took {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(kept.problem, None);
    assert!(kept.settled_after.is_some(), "{kept:?}");
    assert!(kept.groups >= 2 * vaults, "each vault was settled less than twice in three minutes: {kept:?}");
}
