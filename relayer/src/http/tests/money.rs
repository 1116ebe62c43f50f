//! What a client may try so that its requests are served and never paid.

use crate::ledger::GroupState;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{Streamed, World, error, request};
use crate::relay::testing::{NOW, Signer};
use crate::vaults::Consent;
use serde_json::json;
use steam_protocol::units::{MicroUsdc, Pico};

const CHAT: &str = "/v1/chat/completions";

async fn signed(world: &World, signer: &Signer) -> reqwest::Response {
    let body = request(json!({"max_tokens": 5})).to_string();
    let headers = signer.headers("POST", CHAT, body.as_bytes());
    world.client.post(world.url(CHAT)).headers(headers).body(body).send().await.unwrap()
}

#[tokio::test]
async fn the_highest_voucher_is_kept_even_if_its_own_request_comes_to_nothing() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let consent = Consent::Voucher { authorized: MicroUsdc(1_000_000), signature: [1; 64] };
    let hold = world.node.vaults.reserve(&world.signer().key_ref(), consent, [1; 32], Pico(1), 0).unwrap();
    drop(hold);
    // Leans on the voucher before: it says nothing of its own.
    let response = signed(&world, &Signer { authorized: 0, ..world.signer() }).await;
    assert_eq!(response.status(), 200);
    let open = world.node.ledger.vaults_to_seal().await.unwrap().remove(0);
    let sealed = world.node.ledger.seal(open, (0, [0; 32]), |_| true).await.unwrap();
    let GroupState::Sealed(group, _) = sealed else { panic!("{sealed:?}") };
    let voucher = group.vouchers[0].1;
    assert_eq!((voucher.authorized, voucher.request_hash), (MicroUsdc(1_000_000), [1; 32]));
}

#[tokio::test]
async fn an_authorization_that_the_ledger_would_store_as_negative_is_refused() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for (authorized, status) in [(u64::MAX, 400), (1 << 63, 400), ((1 << 63) - 1, 200)] {
        let response = signed(&world, &Signer { authorized, ..world.signer() }).await;
        assert_eq!(response.status(), status, "{authorized}");
        if status == 400 {
            assert_eq!(error(response).await.1["code"], "malformed_header");
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_is_served_once_however_long_ago_that_was() {
    let mock = good(true).await;
    let world = World::new(vec![mock.offer(1)]).await;
    let send = |path: &str| {
        let post = world.client.post(world.url(path)).bearer_auth(world.key().reveal());
        post.header("idempotency-key", "k").body(request(json!({"stream": true})).to_string()).send()
    };
    assert!(Streamed::read(send(CHAT).await.unwrap()).await.receipt.is_some());
    // Memory forgets a bearer's request once it is charged: the ledger does not. A path may be spelt in several ways.
    for path in [CHAT, "/chat/completions", "/v1/chat/completions/", "//v1/chat/completions"] {
        let again = send(path).await.unwrap();
        assert_eq!(again.status(), 409, "{path}");
        assert!(again.headers().contains_key("steam-receipt"));
    }
    assert_eq!(mock.count(), 1);
}

#[tokio::test]
async fn nothing_is_sold_on_an_old_reading_of_the_chain() {
    let mock = good(false).await;
    let world = World::with(vec![mock.offer(1)], |config| config.upstream.localnet = false).await;
    let long_ago = tokio::time::Instant::now() - std::time::Duration::from_secs(121);
    world.registry.send_modify(|registry| std::sync::Arc::make_mut(registry).read_at = long_ago);
    let (status, refused) = error(world.chat(json!({})).await).await;
    assert_eq!((status, &refused["code"]), (503, &json!("not_ready")));
    assert!(refused["message"].as_str().unwrap().contains("has not read the chain"), "{refused}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_and_makes_no_old_reading_fresh() {
    let mock = good(false).await;
    let world = World::with(vec![mock.offer(1)], |config| config.upstream.localnet = false).await;
    let now = tokio::time::Instant::now();
    for (skew, age, status, reason) in [
        (0, 0, 200, ""),
        (600, 0, 200, ""),
        (-600, 0, 200, ""),
        (901, 0, 503, "clock is wrong"),
        // Slow by ten minutes, and nothing was read for two and a half.
        (-600, 150, 503, "has not read the chain"),
    ] {
        world.registry.send_modify(|registry| {
            let registry = std::sync::Arc::make_mut(registry);
            registry.unix_time = NOW - skew - age;
            registry.read_at = now - std::time::Duration::from_secs(age.unsigned_abs());
        });
        let (ready, report) = world.get("/ready").await;
        assert_eq!((ready, &report["registry_fresh"]), (status, &json!(status == 200)), "{skew} {age}: {report}");
        let told = report["clock_skew_seconds"].as_i64().unwrap();
        assert!((told - skew).abs() <= 2, "{skew}: {report}");
        // Outside a local network nobody is asked at such an address: 502 is what becomes of a request that is taken.
        let (answered, refused) = error(world.chat(json!({})).await).await;
        assert_eq!(answered, if status == 200 { 502 } else { 503 }, "{skew} {age}");
        assert!(refused["message"].as_str().unwrap().contains(reason), "{skew} {age}: {refused}");
        assert!(report["registry_stale"].as_str().unwrap_or_default().contains(reason), "{report}");
    }
}

#[tokio::test]
async fn a_vault_that_one_reading_lacks_keeps_its_sums_and_numbers() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    assert_eq!(world.chat(json!({})).await.status(), 200);
    let charged = world.settled_down().await;
    assert!(charged.1 > Pico::ZERO);
    world.node.vaults.update(&[], 0, 100);
    assert_eq!(error(world.chat(json!({})).await).await.0, 401, "nothing is sold to a vault that is not there");
    world.chain_says();
    assert_eq!(world.settled_down().await, charged);
    let again = world.chat(json!({})).await;
    assert_eq!(again.status(), 200, "its number would be taken");
    assert_eq!(world.settled_down().await.1, Pico(2 * charged.1.0));
}

#[tokio::test]
async fn a_body_is_taken_in_only_for_a_signature_that_holds() {
    let world = World::with(vec![good(false).await.offer(1)], |config| config.server.body_timeout_ms = 100).await;
    let forged = Signer { seed: [77; 32], ..world.signer() };
    let mut headers = forged.headers("POST", CHAT, b"{}");
    // Anyone can read on chain which key may spend from which vault.
    headers.insert("steam-key", world.signer().headers("POST", CHAT, b"{}")["steam-key"].clone());
    let never = futures::stream::pending::<Result<String, std::io::Error>>();
    let post = world.client.post(world.url(CHAT)).headers(headers).body(reqwest::Body::wrap_stream(never));
    assert_eq!(error(post.send().await.unwrap()).await.1["code"], "invalid_signature");
}
