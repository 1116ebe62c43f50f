//! A key's receipts and sums, looked for among its vaults' charges or among everybody's.

use super::*;
use crate::ledger::sql::Database;
use crate::ledger::usage::MOST_SCANNED;
use steam_protocol::Address;

const OTHER: Address = [9; 32];

fn page(order: Order) -> ReceiptPage {
    ReceiptPage { time_ms: 0..i64::MAX, after: None, order, most: 100 }
}

async fn ids(ledger: &Ledger, page: ReceiptPage) -> Vec<String> {
    let found = ledger.receipts_of(Whose::Key([8; 32]), page).await.unwrap().expect("few enough");
    found.into_iter().map(|stated| stated.id).collect()
}

/// Six charges of the key in vault 1, of which one is set aside and two are sealed, among `others` of another key in vault 2.
async fn market(at: Place, others: u64) -> Fixture {
    let f = open(at);
    for number in 1..=3 {
        write(&f.ledger, row(1, number, 1)).await.unwrap();
    }
    let set_aside = |db: &dyn Database| {
        db.execute(
            "INSERT INTO incident (id, vault, generation, touches, reason, opened_ms) VALUES (1, ?1, 9, 'key', 'poor', 1)",
            values![&[1_u8]],
        )?;
        db.script("UPDATE charge SET quarantined = 'poor', incident = 1 WHERE id = 1")
    };
    f.ledger.write_raw(set_aside).await.unwrap();
    sealed(seal(&f.ledger, 1, (0, [0; 32])).await);
    for number in 1..=others {
        write(&f.ledger, ChargeRow { key: OTHER, ..row(2, number, 1) }).await.unwrap();
    }
    for number in 4..=6 {
        write(&f.ledger, row(1, number, 2)).await.unwrap();
    }
    f
}

on_both! {
    a_keys_receipts_are_the_same_wherever_they_are_looked_for,
    a_busy_relayer_hides_no_receipt_and_a_search_without_bound_is_refused,
    who_looks_through_everything_leaves_readers_to_settlement,
    what_is_no_text_is_no_receipts_id,
}

async fn who_looks_through_everything_leaves_readers_to_settlement(at: Place) {
    let f = market(at, 1).await;
    let scans = &f.ledger.readers.scans;
    let all = u32::try_from(scans.available_permits()).unwrap();
    let taken = scans.acquire_many(all).await.unwrap();
    let waits = f.ledger.usage_of(Whose::Key([8; 32]), 0..i64::MAX);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), waits).await.is_err(), "its turn has not come");
    f.ledger.pending().await.unwrap();
    drop(taken);
    assert!(f.ledger.usage_of(Whose::Key([8; 32]), 0..i64::MAX).await.unwrap().is_some());
}

async fn what_is_no_text_is_no_receipts_id(at: Place) {
    let f = market(at, 1).await;
    assert!(f.ledger.receipt("gen-\0").await.unwrap().is_none());
}

async fn a_keys_receipts_are_the_same_wherever_they_are_looked_for(at: Place) {
    // With few others, everybody's charges are fewer than twice the vault's; with many, the vault's are looked through.
    for (others, at) in [(0, at.another()), (40, at)] {
        let f = market(at, others).await;
        let all: Vec<String> = (1..=6).map(|number| format!("gen-1-{number}")).collect();
        assert_eq!(ids(&f.ledger, page(Order::OldestFirst)).await, all, "{others}");
        let backwards: Vec<String> = all.iter().rev().cloned().collect();
        assert_eq!(ids(&f.ledger, page(Order::NewestFirst)).await, backwards, "{others}");
        let after = |id: &str, order| ReceiptPage { after: Some(id.into()), ..page(order) };
        assert_eq!(ids(&f.ledger, after("gen-1-3", Order::OldestFirst)).await, all[3..], "{others}");
        assert_eq!(ids(&f.ledger, after("gen-1-3", Order::NewestFirst)).await, backwards[4..], "{others}");
        assert!(ids(&f.ledger, after("gen-9-9", Order::OldestFirst)).await.is_empty());
        let time = ReceiptPage { time_ms: 2_000..5_000, most: 2, ..page(Order::OldestFirst) };
        assert_eq!(ids(&f.ledger, time).await, all[1..3], "{others}");

        let listed = f.ledger.receipts_of(Whose::Key([8; 32]), page(Order::OldestFirst)).await.unwrap().unwrap();
        let status: Vec<&str> = listed.iter().map(|stated| stated.status.as_str()).collect();
        assert_eq!(status, ["set aside: poor", "sealed", "sealed", "unsettled", "unsettled", "unsettled"]);
        let single = f.ledger.receipt("gen-1-2").await.unwrap().unwrap();
        assert_eq!((&listed[1].receipt, &listed[1].status), (&single.receipt, &single.status));

        let sums = f.ledger.usage_of(Whose::Key([8; 32]), 0..i64::MAX).await.unwrap().unwrap();
        let cost = |numbers: std::ops::RangeInclusive<u64>| {
            numbers.map(|number| row(1, number, 1).receipt.receipt.charge.0).sum::<u128>()
        };
        let told: Vec<_> = sums.iter().map(|row| (row.day, row.offer, row.sum.requests, row.sum.cost.0)).collect();
        assert_eq!(told, [(0, [1; 32], 3, cost(1..=3)), (0, [2; 32], 3, cost(4..=6))]);
        let within = f.ledger.usage_of(Whose::Key([8; 32]), 2_000..5_000).await.unwrap().unwrap();
        assert_eq!(within.iter().map(|row| row.sum.requests).sum::<u64>(), 3);
    }
}

/// Charges of other keys, as many as `count`, in the vault of the key or in another.
async fn crowd(f: &Fixture, vault: i64, count: i64) {
    // In pieces: a writer does not wait for ever.
    let piece = count / 10;
    for first in (1..=count).step_by(usize::try_from(piece).unwrap()) {
        let insert = format!(
            "INSERT INTO charge (id, vault, key, number, seq)
             WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {})
             SELECT 1000 + i, {vault}, 99, 1000 + i, 77 FROM n",
            count.min(first + piece - 1)
        );
        f.ledger.write_raw(move |db| db.script(&insert)).await.unwrap();
    }
}

async fn a_busy_relayer_hides_no_receipt_and_a_search_without_bound_is_refused(at: Place) {
    let f = market(at.another(), 1).await;
    crowd(&f, 55, MOST_SCANNED).await;
    assert_eq!(ids(&f.ledger, page(Order::OldestFirst)).await.len(), 6, "its vault has few");
    assert!(
        f.ledger
            .receipts_of(Whose::Key(OTHER), page(Order::NewestFirst))
            .await
            .unwrap()
            .is_some_and(|all| all.len() == 1)
    );

    let f = market(at, 1).await;
    crowd(&f, 1, MOST_SCANNED).await;
    assert_eq!(f.ledger.receipts_of(Whose::Key([8; 32]), page(Order::OldestFirst)).await.unwrap(), None);
    assert_eq!(f.ledger.usage_of(Whose::Key([8; 32]), 0..i64::MAX).await.unwrap(), None);
}
