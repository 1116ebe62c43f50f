//! What is settled is kept as long as configured, and the file stops growing.

use super::*;

/// One receipt of the vault, settled at `now_ms` in a batch of its own.
async fn settle_one(f: &Fixture, number: u64, head: (u32, Hash), now_ms: i64) -> (u32, Hash) {
    write(&f.ledger, row(1, number, 1)).await.unwrap();
    let (group, _) = sealed(seal(&f.ledger, 1, head).await);
    f.ledger.create_batch(vec![group.clone()]).await.unwrap();
    let batch = only_batch(&f.ledger).await;
    let attempt = Attempt { signature: format!("s{number}"), bytes: vec![1; 900], last_valid_height: 1, dead: false };
    f.ledger.store_attempt(batch.id, attempt).await.unwrap();
    let finish = FinishBatch { now_ms, ..apply(batch.id, Some(&format!("s{number}")), group.clone()) };
    f.ledger.finish_batch(finish).await.unwrap();
    (group.seq, group.hash)
}

async fn prune_all(f: &Fixture, before_ms: i64) {
    while f.ledger.prune(before_ms).await.unwrap() {}
}

on_both! {
    receipts_are_kept_as_long_as_configured_and_no_longer,
}

async fn receipts_are_kept_as_long_as_configured_and_no_longer(at: Place) {
    let f = open(at);
    let mut head = (0, [0; 32]);
    for number in 1..=40 {
        head = settle_one(&f, number, head, 1_000 * number as i64).await;
    }
    write(&f.ledger, row(1, 41, 1)).await.unwrap();
    prune_all(&f, 30_000).await;
    assert!(f.ledger.receipt("gen-1-29").await.unwrap().is_none());
    let kept = f.ledger.receipt("gen-1-30").await.unwrap().unwrap();
    assert_eq!((kept.status.as_str(), kept.proof.is_some()), ("settled", true), "with its proof");
    let left = [f.at.count("charge"), f.at.count("record"), f.at.count("batch"), f.at.count("attempt")];
    assert_eq!(left, [12, 12, 11, 11]);
    assert_eq!(f.ledger.pending().await.unwrap().settled_groups, 40, "they are counted all the same");

    // All of it: the last group stays, so that the next follows it, and what is not settled is never pruned.
    prune_all(&f, i64::MAX).await;
    let left = [f.at.count("charge"), f.at.count("record"), f.at.count("settlement_group")];
    assert_eq!(left, [1, 1, 1]);
    let (next, _) = sealed(seal(&f.ledger, 1, head).await);
    assert_eq!((next.seq, next.receipts), (41, 1));
    let loaded = f.ledger.load(0).await.unwrap();
    assert_eq!(loaded.vaults[&(vault(1), 9)].next_number, 42);
}

#[tokio::test]
async fn a_pruned_file_does_not_grow() {
    let f = open(Place::file());
    let mut head = (0, [0; 32]);
    let mut pages = Vec::new();
    for round in 0..6_u64 {
        for n in 1..=200 {
            let number = round * 200 + n;
            head = settle_one(&f, number, head, 1_000 * number as i64).await;
        }
        prune_all(&f, 1_000 * 200 * round as i64).await;
        pages.push(f.at.ask("SELECT page_count AS n FROM pragma_page_count"));
    }
    // Pages are filled unevenly; without pruning each round would add as many as the first.
    assert!(pages[5] < pages[2] + pages[0] / 5, "{pages:?}");
    assert!(f.at.count("settlement_group") <= 401, "{}", f.at.count("settlement_group"));
}
