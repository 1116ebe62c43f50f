//! What fuzzing kept of the readers, replayed: every input reached something that no other did. `docs/TESTING.md` says how to look
//! for more.

#[path = "../../../fuzz/src/readers.rs"]
mod readers;

use std::path::Path;

/// Runs a target's function over its corpus, which is not empty.
fn replay(target: &str, at_least: usize, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= at_least, "{inputs} inputs in {}", corpus.display());
}

#[test]
fn events_mean_the_same_however_they_are_cut() {
    replay("events", 10, readers::events);
}

#[test]
fn json_is_read_by_everybody_alike() {
    replay("json", 15, readers::json);
}

#[test]
fn a_request_is_refused_or_means_the_same_to_its_provider() {
    replay("request", 20, readers::request);
}

#[test]
fn an_answer_is_refused_or_billed_within_its_bounds() {
    replay("answer", 25, readers::answer);
}
