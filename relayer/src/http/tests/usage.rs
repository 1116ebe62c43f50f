//! What a key used, as it is told.

use crate::registry::Offer;
use crate::relay::testing::NOW;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, error};
use serde_json::{Value, json};

/// A relayer that has served `m` twice by `a` and `n` once by `b`.
async fn world() -> World {
    let mock = good(false).await;
    let named =
        |name: &str, model: &str, seed| Offer { provider_name: name.into(), model: model.into(), ..mock.offer(seed) };
    let world = World::new(vec![named("a", "m", 1), named("b", "n", 2)]).await;
    for model in ["m", "n", "m"] {
        assert_eq!(world.chat(json!({"model": model})).await.status(), 200);
    }
    world.settled_down().await;
    world
}

async fn got(world: &World, path: &str) -> Value {
    let (status, body) = world.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[tokio::test]
async fn usage_is_summed_by_what_is_asked_for() {
    let world = world().await;
    let day = "1970-01-12";
    assert_eq!(NOW / 86_400, 11);
    let all = got(&world, "/v1/usage").await;
    let rows: Vec<_> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["day"], &row["model"], &row["provider"], &row["requests"]))
        .collect();
    assert_eq!(
        rows,
        [(&json!(day), &json!("m"), &json!("a"), &json!(2)), (&json!(day), &json!("n"), &json!("b"), &json!(1))]
    );
    // 20 tokens of input at 1 and 3 of output at 2 pico-USDC·10^6, and 1 %, three times.
    let total = json!({"requests": 3, "input_tokens": 60, "cached_tokens": 0, "cache_write_tokens": 0, "output_tokens": 9, "cost_pico": "78780000"});
    assert_eq!(all["total"], total);
    let by_day = got(&world, "/v1/usage?group_by=day").await;
    let mut row = total;
    row["day"] = day.into();
    assert_eq!(by_day["data"], json!([row]));
    assert_eq!(got(&world, "/v1/usage?group_by=model,day").await["data"].as_array().unwrap().len(), 2);
    let later = got(&world, &format!("/v1/usage?since={}&until={}", NOW + 1, NOW + 9)).await;
    assert_eq!((&later["data"], &later["total"]["requests"]), (&json!([]), &json!(0)));
    for (query, param) in [
        ("group_by=hour", "group_by"),
        ("since=yesterday", "since"),
        ("since=9&until=9", "since"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("offset=-1", "offset"),
        ("page=2", "page"),
    ] {
        let (status, body) = world.get(&format!("/v1/usage?{query}")).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!(param)), "{query}");
    }
}

#[tokio::test]
async fn sums_are_listed_page_by_page_with_the_total_of_all() {
    let world = world().await;
    let whole = got(&world, "/v1/usage?group_by=model").await;
    assert_eq!(whole["has_more"], false);
    let mut rows = Vec::new();
    for (offset, more) in [(0, true), (1, false), (2, false)] {
        let page = got(&world, &format!("/v1/usage?group_by=model&limit=1&offset={offset}")).await;
        assert_eq!((&page["has_more"], &page["total"]), (&json!(more), &whole["total"]), "{offset}");
        rows.extend(page["data"].as_array().unwrap().clone());
    }
    assert_eq!(json!(rows), whole["data"], "each row once, and none behind the end");
}

#[tokio::test]
async fn receipts_are_listed_page_by_page_and_only_to_their_key() {
    let world = world().await;
    let first = got(&world, &format!("/v1/receipts?since={}&limit=2", NOW - 5)).await;
    let page = first["data"].as_array().unwrap();
    assert_eq!((page.len(), &first["has_more"]), (2, &json!(true)));
    let last = page[1]["id"].as_str().unwrap();
    let one = got(&world, &format!("/v1/receipts/{last}")).await;
    assert_eq!((&one["receipt"], &one["fields"]), (&page[1]["receipt"], &page[1]["fields"]));
    let rest = got(&world, &format!("/v1/receipts?after={last}")).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (1, &json!(false)));
    let (status, refused) = world.get("/v1/receipts?after=gen-nobody").await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("after")), "and no end of the list");
    let named = |row: &Value| (row["model"].clone(), row["provider_name"].clone(), row["status"].clone());
    assert_eq!(named(&page[0]), (json!("m"), json!("a"), json!("unsettled")));
    assert_eq!(named(&page[1]), (json!("n"), json!("b"), json!("unsettled")));
    let latest = got(&world, "/v1/receipts?order=desc&limit=1").await;
    assert_eq!((&latest["data"][0]["id"], &latest["has_more"]), (&rest["data"][0]["id"], &json!(true)));
    let before = got(&world, &format!("/v1/receipts?order=desc&after={last}")).await;
    assert_eq!(before["data"], json!([page[0]]), "what was charged before it");
    for query in ["limit=0", "limit=1001", "limit=many", "since=x", "page=2", "order=up"] {
        assert_eq!(world.get(&format!("/v1/receipts?{query}")).await.0, 400, "{query}");
    }
    let other = steam_protocol::key::SessionKey::from_seed(&[99; 32]);
    let url = world.url("/v1/receipts");
    let listed: Value = world.client.get(url).bearer_auth(other.reveal()).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["data"], json!([]), "another key's are not shown");
    let nobody = world.client.get(world.url("/v1/receipts")).send().await.unwrap();
    assert_eq!(error(nobody).await.0, 401);
}

#[tokio::test]
async fn a_key_and_its_vault_tell_what_is_left() {
    let world = world().await;
    let key = got(&world, "/v1/key").await;
    assert_eq!((&key["data"]["limit"], &key["data"]["usage"]), (&json!(100.0), &json!(0.00007878)));
    assert_eq!(key["data"]["limit_remaining"], 100.0 - 0.00007878);
    assert_eq!(key["data"]["rate_limit"]["interval"], "1m");
    let credits = got(&world, "/v1/credits").await;
    assert_eq!(credits["data"], json!({"total_credits": 100.0, "total_usage": 0.00007878}));
    let other = steam_protocol::key::SessionKey::from_seed(&[99; 32]);
    for path in ["/v1/key", "/v1/credits"] {
        let answer = world.client.get(world.url(path)).bearer_auth(other.reveal()).send().await.unwrap();
        assert_eq!(error(answer).await.0, 401, "{path}");
    }
}
