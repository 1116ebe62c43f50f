//! Instructions and accounts from bytes. What is kept in `fuzz/corpus/instruction` is replayed; `STEAM_FUZZ_CASES` and `STEAM_FUZZ_SEED`
//! ask for more than the few inputs that every run draws, and `STEAM_FUZZ_KEEP` keeps those that end as no other did.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::path::PathBuf;
use steam_model::raw::{Outcome, Worlds};
use steam_protocol::sha256;

/// Inputs an ordinary run draws.
const CASES: u64 = 1_500;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/instruction")
}

/// How an input ended: the instruction, whether it was changed, and what the chain said.
fn ending(outcome: &Outcome) -> String {
    format!("{} {} {:?}", outcome.name, outcome.edits.min(1), outcome.said)
}

fn replay(worlds: &Worlds) -> BTreeSet<String> {
    let mut endings = BTreeSet::new();
    for entry in std::fs::read_dir(corpus()).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        endings.extend(worlds.run(&std::fs::read(&path).expect("an input")).as_ref().map(ending));
    }
    endings
}

/// An input: a world, an instruction, a seed of two bytes, and up to four changes with numbers that tend to be at an edge.
fn input(rng: &mut StdRng) -> Vec<u8> {
    const EDGES: [u64; 10] = [0, 1, 2, 8, 24, 64, 255, u32::MAX as u64, u64::MAX - 1, u64::MAX];
    let mut bytes: Vec<u8> = (0..4).map(|_| rng.random()).collect();
    for _ in 0..rng.random_range(0..=4) {
        bytes.extend((0..4).map(|_| rng.random::<u8>()));
        let number = if rng.random() { EDGES[rng.random_range(0..EDGES.len())] } else { rng.random() };
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_is_said_nothing_changes_but_by_the_word_of_whom_it_belongs_to() {
    let worlds = Worlds::new();
    let mut endings = replay(&worlds);
    let kept = endings.len();
    let (cases, seed, keep) =
        (number("STEAM_FUZZ_CASES", CASES), number("STEAM_FUZZ_SEED", 1), number("STEAM_FUZZ_KEEP", 0) > 0);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut ran, mut through) = (0, 0);
    for _ in 0..cases {
        let bytes = input(&mut rng);
        println!("{bytes:02x?}");
        let Some(outcome) = worlds.run(&bytes) else { continue };
        ran += 1;
        through += u64::from(outcome.said.is_ok() && outcome.edits > 0);
        if endings.insert(ending(&outcome)) && keep {
            let name: String = sha256(&[&bytes]).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            std::fs::write(corpus().join(name), &bytes).expect("the input is kept");
        }
    }
    println!(
        "seed {seed}: {ran} instructions, {through} went through although they were changed, {} endings",
        endings.len()
    );
    assert!(kept >= 100 || keep, "{kept} endings in {}", corpus().display());
    assert!(2 * ran > cases && through > cases / 100, "{ran} {through}");
}
