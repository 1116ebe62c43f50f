//! Holds a binary of the program against the recorded instructions, or records them anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use steam_model::chain;
use steam_model::corpus::collect::Collection;
use steam_model::corpus::difference::{Difference, differences, names};
use steam_model::corpus::replay::Bench;
use steam_model::corpus::{Said, load, save, taken};

const USAGE: &str = "corpus check [BINARY]            name what a binary does otherwise than the one recorded; without \
BINARY the committed one\ncorpus list                      how often each instruction was recorded accepted and refused\ncorpus record FOLDER SEQUENCES   record anew from what tests wrote to FOLDER (STEAM_RECORD) and so many sequences of the model";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["list"] => list(),
        ["check"] => check(chain::program()),
        ["check", path] => std::fs::read(path).map_err(|error| format!("{path}: {error}")).and_then(check),
        ["record", folder, sequences] => sequences
            .parse()
            .map_err(|error| format!("{sequences}: {error}"))
            .and_then(|sequences| record(Path::new(folder), sequences)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Names every difference; whether there is none.
fn check(binary: Vec<u8>) -> Result<bool, String> {
    let bench = Bench::new(binary)?;
    let records = load().map_err(|error| error.to_string())?;
    let mut differ = 0;
    for (place, record) in records.iter().enumerate() {
        let found: Vec<Difference> = differences(place, record, &bench.run(&record.case)?);
        found.iter().for_each(|difference| println!("{difference}"));
        differ += usize::from(!found.is_empty());
    }
    println!("{} records, {differ} differ", records.len());
    Ok(differ == 0)
}

/// How often each instruction was recorded.
fn list() -> Result<bool, String> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for record in load().map_err(|error| error.to_string())? {
        let accepted = record.outcome.said == Said::Done;
        for name in names(&record.case) {
            let (done, refused) = counts.entry(name).or_default();
            *(if accepted { done } else { refused }) += 1;
        }
    }
    println!("| instruction | accepted | refused |\n|---|--:|--:|");
    for (name, (accepted, refused)) in counts {
        println!("| `{name}` | {accepted} | {refused} |");
    }
    Ok(true)
}

/// Records anew.
fn record(folder: &Path, sequences: u64) -> Result<bool, String> {
    let bench = Bench::new(chain::program())?;
    let mut collection = Collection::new(&bench);
    for taken in taken(folder).map_err(|error| error.to_string())? {
        collection.add(taken).map_err(|error| error.to_string())?;
    }
    let from_tests = collection.records.len();
    for seed in 1..=sequences {
        collection.add_sequence(seed).map_err(|error| error.to_string())?;
    }
    let bytes = save(&collection.records).map_err(|error| error.to_string())?;
    println!(
        "{} records, {from_tests} of them from tests, {bytes} bytes; left out: {:?}",
        collection.records.len(),
        collection.left
    );
    Ok(true)
}
