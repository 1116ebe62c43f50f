//! What fuzzing kept, replayed: every input reached something no other did. `docs/TESTING.md` says how to look for more.

#[path = "../../../fuzz/src/wire.rs"]
mod wire;

use std::path::Path;

/// Runs a target's function over its corpus, which is not empty.
fn replay(target: &str, at_least: usize, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&corpus).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        run(&std::fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs >= at_least, "{inputs} inputs in {}", corpus.display());
}

#[test]
fn vouchers_are_signed_and_verified_to_the_bit() {
    replay("voucher", 30, wire::voucher);
}

#[test]
fn a_receipt_has_one_reading() {
    replay("receipt", 50, wire::receipt);
}

#[test]
fn a_batch_has_one_reading() {
    replay("batch", 20, wire::batch);
}

#[test]
fn program_and_relayer_agree_on_every_signature() {
    replay("signature", 100, wire::signature);
}

#[test]
fn an_api_key_has_one_text() {
    replay("key", 20, wire::key);
}
