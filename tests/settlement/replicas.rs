//! Two and three replicas of the shipped relayer that share one ledger on a simulated PostgreSQL server, where everything fails. Each has a
//! runtime of its own with a clock of its own, so that it can stand still, or end with everything in it, while others go on.

mod faults;
mod judge;
mod lanes;
mod life;
mod lost;
mod world;

use super::counts::Counts;
use super::storm::End;
use faults::Faults;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Parts that the ledger is divided into.
const PARTITIONS: u16 = 3;
/// Seeds in an ordinary run. `STEAM_SEEDS=20000` for a long one, `STEAM_SEED=7` for one, told in full.
const SEEDS: u64 = 16;
/// Seeds from which on everything must have happened.
const ENOUGH: u64 = 300;

#[test]
fn every_receipt_of_replicas_is_settled_exactly_once_whatever_happens() {
    if let Some(seed) = super::number("STEAM_SEED") {
        super::tell_everything();
        let (end, faults) = world::run(seed);
        eprintln!("seed {seed}: {faults:?} {}", end.summary());
        assert_eq!(end.problem, None, "seed {seed}");
        return;
    }
    let seeds = super::number("STEAM_SEEDS").unwrap_or(SEEDS);
    let first = super::number("STEAM_FIRST_SEED").unwrap_or_default();
    let next = AtomicU64::new(first);
    let totals = Mutex::new((Counts::default(), Faults::default(), Vec::new()));
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let (end, faults) = std::panic::catch_unwind(|| world::run(seed))
                        .unwrap_or_else(|_| (End::problem("a panic, told above"), Faults::default()));
                    let mut totals = totals.lock().unwrap();
                    totals.0.add(&end.counts);
                    totals.1.add(&faults);
                    if let Some(problem) = end.problem {
                        eprintln!("seed {seed}: {problem}");
                        totals.2.push(seed);
                    }
                }
            });
        }
    });
    let (counts, faults, failed) = totals.into_inner().unwrap();
    eprintln!("{seeds} seeds of replicas in {:.1} s: {faults:?} {counts:?}", began.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "seeds that failed: {failed:?}; STEAM_SEED={} tells what happened", failed[0]);
    if seeds >= ENOUGH {
        faults.assert_all_happened();
        counts.assert_happened_to_replicas();
    }
}

#[test]
fn one_seed_of_replicas_is_one_trace() {
    for seed in 0..3 {
        assert_eq!(world::run(seed).0.hash, world::run(seed).0.hash, "seed {seed}");
    }
}
