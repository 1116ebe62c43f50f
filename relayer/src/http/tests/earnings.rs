//! What a provider is shown of what it was paid.

use super::sessions::{get, session};
use crate::registry::{Offer, ProviderInfo, Registry};
use crate::relay::testing::NOW;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, owner};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;

/// A relayer that has charged three answers of one provider and one of another, each with a wallet.
async fn world() -> (World, [(Keypair, String); 2]) {
    let mock = good(false).await;
    let named =
        |name: &str, model: &str, seed| Offer { provider_name: name.into(), model: model.into(), ..mock.offer(seed) };
    let offers = vec![named("a", "m", 1), named("b", "n", 2)];
    let world = World::new(offers.clone()).await;
    let wallets = [61, 62].map(|seed| Keypair::new_from_array([seed; 32]));
    let providers = offers.iter().zip(&wallets).map(|(offer, wallet)| ProviderInfo {
        address: offer.provider,
        authority: wallet.pubkey(),
        name: offer.provider_name.clone(),
        url: offer.url.clone(),
        active: true,
        token: offer.provider_token,
    });
    let mut known: Registry = (**world.node.registry.borrow()).clone();
    known.providers = providers.collect();
    world.registry.send(Arc::new(known)).unwrap();
    for model in ["m", "n", "m", "m"] {
        assert_eq!(world.chat(json!({"model": model})).await.status(), 200);
    }
    world.settled_down().await;
    let [one, other] = wallets;
    (world, [(one, offers[0].provider.to_string()), (other, offers[1].provider.to_string())])
}

#[tokio::test]
async fn a_provider_sees_the_receipts_that_pay_it_page_by_page() {
    let (world, [(wallet, provider), (other, others)]) = world().await;
    let session = session(&world, &wallet).await;
    assert_eq!((&session["provider"], &session["vault"]), (&json!(provider), &Value::Null));
    let token = &session["token"];
    let path = format!("/v1/providers/{provider}/receipts");
    let (mut ids, mut after) = (Vec::new(), String::new());
    for _ in 0..3 {
        let (status, page) = get(&world, token, &format!("{path}?limit=2{after}")).await;
        assert_eq!(status, 200, "{page}");
        for receipt in page["data"].as_array().unwrap() {
            assert_eq!((&receipt["fields"]["provider"], &receipt["status"]), (&json!(provider), &json!("unsettled")));
            ids.push(receipt["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_i64() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(ids.len(), 3);
    assert_eq!(get(&world, token, &format!("/v1/receipts/{}", ids[0])).await.0, 200);
    assert_eq!(get(&world, token, &format!("/v1/generation/{}", ids[0])).await.0, 404, "why is the client's to see");
    assert_eq!(get(&world, token, "/v1/receipts").await.0, 404, "it has no vault");
    let foreign = super::sessions::session(&world, &other).await;
    assert_eq!(get(&world, &foreign["token"], &path).await.0, 404);
    assert_eq!(get(&world, &foreign["token"], &format!("/v1/receipts/{}", ids[0])).await.0, 404);
    assert_eq!(get(&world, token, &format!("/v1/providers/{others}/usage")).await.0, 404);
    let later = get(&world, token, &format!("{path}?since={}&until={}", NOW + 1, NOW + 9)).await.1;
    assert_eq!((&later["data"], &later["next"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn earnings_are_what_receipts_come_to_without_fees() {
    let (world, [(wallet, provider), _]) = world().await;
    let token = &session(&world, &wallet).await["token"];
    let (status, sums) = get(&world, token, &format!("/v1/providers/{provider}/usage")).await;
    assert_eq!(status, 200, "{sums}");
    // 20 tokens of input at 1 and 3 of output at 2 pico-USDC·10^6, three times, without the fee of 1 %.
    assert_eq!((&sums["total"]["requests"], &sums["total"]["cost_pico"]), (&json!(3), &json!("78000000")));
    let row = &sums["data"][0];
    assert_eq!(
        (&row["day"], &row["model"], row.get("key"), row.get("provider")),
        (&json!("1970-01-12"), &json!("m"), None, None)
    );
}

#[tokio::test]
async fn nobody_else_sees_them_and_what_is_asked_for_wrongly_is_said() {
    let (world, [(wallet, provider), _]) = world().await;
    let token = &session(&world, &wallet).await["token"];
    let owner = &session(&world, &owner()).await["token"];
    for part in ["receipts", "usage"] {
        let path = format!("/v1/providers/{provider}/{part}");
        assert_eq!(get(&world, owner, &path).await.0, 404);
        let (status, body) = world.get(&path).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("no_session")), "a key is no provider");
        assert_eq!(world.client.get(world.url(&path)).send().await.unwrap().status(), 401);
        assert_eq!(get(&world, token, &format!("/v1/providers/x/{part}")).await.0, 400);
        for (query, param) in [("limit=0", "limit"), ("since=9&until=9", "since"), ("page=2", "page")] {
            let (status, body) = get(&world, token, &format!("{path}?{query}")).await;
            assert_eq!((status, &body["error"]["param"]), (400, &json!(param)), "{path} {query}");
        }
    }
    for (query, param) in
        [("receipts?limit=101", "limit"), ("receipts?after=x", "after"), ("usage?group_by=key", "group_by")]
    {
        let (status, body) = get(&world, token, &format!("/v1/providers/{provider}/{query}")).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!(param)), "{query}");
    }
}
