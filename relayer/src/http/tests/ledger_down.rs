//! A ledger that cannot write: nothing is served that could not be charged.

use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, error};
use crate::vaults::{Consent, Draft};
use serde_json::json;
use std::time::Duration;
use steam_protocol::receipt::{CountedBy, FinishReason};
use steam_protocol::units::{Pico, Usage};

/// Limits the database to the pages it has and `more`.
async fn limit(world: &World, more: i64) {
    let limit = move |tx: &rusqlite::Connection| {
        let pages: i64 = tx.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        tx.pragma_update(None, "max_page_count", pages + more)?;
        Ok(())
    };
    world.node.ledger.write_sqlite(limit).await.unwrap();
}

/// What the relayer says of itself: whether it is ready, why not, and the gauge that the alert looks at.
async fn says(world: &World) -> (bool, serde_json::Value, bool) {
    let ready: serde_json::Value = world.client.get(world.url("/ready")).send().await.unwrap().json().await.unwrap();
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let writable = metrics.contains("\nsteam_ledger_writable 1\n");
    assert!(writable || metrics.contains("\nsteam_ledger_writable 0\n"), "{metrics}");
    (ready["ledger"].as_bool().unwrap(), ready["ledger_trouble"].clone(), writable)
}

fn draft(world: &World) -> Draft {
    Draft {
        response_hash: [1; 32],
        offer: world.node.registry.borrow().offers[0].clone(),
        usage: Usage { requests: 1, ..Usage::default() },
        counted_by: CountedBy::Relayer,
        finish_reason: FinishReason::Stop,
        started_at_ms: 1,
        ttft_ms: 1,
        duration_ms: 1,
        decision: b"{}".to_vec(),
        id: "gen-1".into(),
    }
}

#[tokio::test]
async fn a_full_disk_stops_sales_at_once_and_room_on_it_starts_them_again() {
    let mock = good(false).await;
    let world = World::new(vec![mock.offer(1)]).await;
    assert_eq!(world.chat(json!({})).await.status(), 200);
    assert_eq!(says(&world).await, (true, json!(null), true));
    limit(&world, 0).await;
    // Whatever still fits the pages at hand is charged; the first that does not is withheld.
    let mut served = 1;
    let withheld = loop {
        let answer = world.chat(json!({})).await;
        served += 1;
        if answer.status() != 200 {
            break answer;
        }
        assert!(served < 200, "the disk is never full");
    };
    assert_eq!(error(withheld).await.1["code"], "not_charged");
    for _ in 0..5 {
        let refused = world.chat(json!({})).await;
        assert_eq!(refused.headers()["retry-after"], "5");
        let (status, body) = error(refused).await;
        assert_eq!((status, &body["code"]), (503, &json!("ledger_unavailable")));
    }
    assert_eq!(mock.count(), served, "no provider was asked for what could not be charged");
    let (ready, trouble, writable) = says(&world).await;
    assert!(!ready && !writable && trouble.as_str().unwrap().contains("full"), "{trouble}");
    assert_eq!(world.node.ledger.pending().await.unwrap().receipts, served as u64 - 1, "what was charged is there");

    // Room for one charge is not enough: the next one would be served for nothing.
    limit(&world, 8).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(error(world.chat(json!({})).await).await.0, 503);
    limit(&world, 10_000).await;
    for _ in 0..100 {
        if world.node.ledger.trouble().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.chat(json!({})).await.status(), 200);
    assert_eq!(says(&world).await, (true, json!(null), true));
}

#[tokio::test]
async fn a_writer_that_has_panicked_stops_sales_at_once() {
    let mock = good(false).await;
    let world = World::new(vec![mock.offer(1)]).await;
    let job = |_: &rusqlite::Connection| -> rusqlite::Result<()> { panic!("a bug") };
    assert!(world.node.ledger.write_sqlite(job).await.is_err());
    let (status, body) = error(world.chat(json!({})).await).await;
    assert_eq!((status, &body["code"]), (503, &json!("ledger_unavailable")));
    assert_eq!(mock.count(), 0);
    let (ready, trouble, writable) = says(&world).await;
    assert!(!ready && !writable && trouble.as_str().unwrap().contains("restart"), "{trouble}");
}

#[tokio::test]
async fn sales_stop_before_the_disk_is_full_and_what_is_under_way_is_charged() {
    let mock = good(false).await;
    let world = World::new(vec![mock.offer(1)]).await;
    let consent = Consent::Bearer(world.key());
    let hold = world.node.vaults.reserve(&world.signer().key_ref(), consent, [1; 32], Pico(1_000_000), 0).unwrap();
    world.node.ledger.want_free(u64::MAX - 1);
    for _ in 0..100 {
        if world.node.ledger.trouble().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(error(world.chat(json!({})).await).await.0, 503);
    assert_eq!(mock.count(), 0);
    hold.charge(draft(&world)).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().receipts, 1);
}
