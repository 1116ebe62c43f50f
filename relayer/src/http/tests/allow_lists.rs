//! A key that names a list: sent once, and then only its providers serve.

use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, error};
use reqwest::StatusCode;
use serde_json::{Value, json};
use steam_protocol::allow_list::AllowList;

const LISTS: &str = "/v1/allow-lists";

/// A relayer with three providers, whose key may pay the second and one that is not there.
async fn world() -> (World, AllowList) {
    let offers = vec![good(false).await.offer(1), good(false).await.offer(2), good(false).await.offer(3)];
    let list = AllowList::new(vec![offers[1].provider.to_bytes(), [99; 32]]).unwrap();
    let mut world = World::new(offers).await;
    name(&mut world, &list);
    (world, list)
}

fn name(world: &mut World, list: &AllowList) {
    world.snapshot.slot += 1;
    world.snapshot.keys[0].allow_root = Some(list.root());
    world.chain_says();
}

fn body(list: &AllowList) -> Value {
    json!({ "providers": list.providers().iter().map(|p| bs58::encode(p).into_string()).collect::<Vec<_>>() })
}

async fn put(world: &World, body: impl Into<reqwest::Body>) -> reqwest::Response {
    world.client.put(world.url(LISTS)).header("content-type", "application/json").body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_key_with_a_list_is_served_by_its_providers_once_the_list_is_known() {
    let (world, list) = world().await;
    let root = hex::encode(list.root());
    let (status, refused) = error(world.chat(json!({})).await).await;
    assert_eq!((status, refused["code"].as_str()), (403, Some("allow_list_unknown")));
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(&root) && message.contains("PUT /v1/allow-lists"), "{message}");
    assert_eq!(world.get(&format!("{LISTS}/{root}")).await.0, 404);

    let kept = put(&world, body(&list).to_string()).await;
    assert_eq!(kept.status(), StatusCode::OK);
    let expected = json!({"object": "allow_list", "root": root, "providers": body(&list)["providers"]});
    assert_eq!(kept.json::<Value>().await.unwrap(), expected);
    assert_eq!(world.get(&format!("{LISTS}/{root}")).await, (200, expected));
    let vault = world.get(&format!("/v1/vaults/{}", world.snapshot.address)).await.1;
    assert_eq!(vault["keys"][0]["allow_root"], root);

    // Often enough that chance would show.
    for _ in 0..12 {
        let answer = world.chat(json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let id = answer.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        let decision = world.decision(&id).await;
        assert_eq!(decision["routes"][0]["candidates"].as_array().unwrap().len(), 1, "{decision}");
        let excluded = decision["routes"][0]["excluded"].as_array().unwrap();
        assert_eq!(excluded.len(), 2);
        assert!(excluded.iter().all(|offer| offer["reason"] == "is not in the key's allow-list"), "{decision}");
        let receipt = world.get(&format!("/v1/receipts/{id}")).await.1;
        let provider: [u8; 32] =
            bs58::decode(receipt["fields"]["provider"].as_str().unwrap()).into_vec().unwrap().try_into().unwrap();
        assert!(list.contains(&provider));
    }
}

#[tokio::test]
async fn a_list_without_a_provider_of_the_model_serves_nobody() {
    let (mut world, _) = world().await;
    let list = AllowList::new(vec![[98; 32]]).unwrap();
    name(&mut world, &list);
    put(&world, body(&list).to_string()).await;
    let (status, refused) = error(world.chat(json!({})).await).await;
    assert_eq!((status, refused["code"].as_str()), (403, Some("no_allowed_provider")));
    assert!(refused["message"].as_str().unwrap().contains("`m`"), "{refused}");
    let sums = world.node.vaults.sums();
    assert_eq!((sums.held.0, sums.unsettled.0), (0, 0));
}

#[tokio::test]
async fn only_lists_that_a_key_names_are_kept() {
    let (world, _) = world().await;
    let other = AllowList::new(vec![[97; 32]]).unwrap();
    let (status, refused) = error(put(&world, body(&other).to_string()).await).await;
    assert_eq!((status, refused["code"].as_str()), (404, Some("allow_list_not_named")));
    assert!(refused["message"].as_str().unwrap().contains(&hex::encode(other.root())), "{refused}");
}

#[tokio::test]
async fn what_is_no_list_is_refused_and_says_why() {
    let (world, list) = world().await;
    let address = bs58::encode([1; 32]).into_string();
    let many: Vec<_> = (0..65u8).map(|n| bs58::encode([n; 32]).into_string()).collect();
    for (body, status, code) in [
        (String::new(), 400, "malformed_body"),
        ("[]".into(), 400, "malformed_body"),
        (json!({}).to_string(), 400, "malformed_body"),
        (json!({"providers": address}).to_string(), 400, "malformed_body"),
        (json!({"providers": [7]}).to_string(), 400, "malformed_body"),
        (json!({"providers": [address], "root": "00"}).to_string(), 400, "malformed_body"),
        (json!({"providers": []}).to_string(), 400, "invalid_value"),
        (json!({"providers": many}).to_string(), 400, "invalid_value"),
        (json!({"providers": ["me"]}).to_string(), 400, "invalid_value"),
        (json!({"providers": [address[1..]]}).to_string(), 400, "invalid_value"),
        (" ".repeat(9_000), 413, "body_too_large"),
    ] {
        let (found, refused) = error(put(&world, body.clone()).await).await;
        assert_eq!((found, refused["code"].as_str()), (status, Some(code)), "{body}");
    }
    let plain = world.client.put(world.url(LISTS)).header("content-type", "text/plain").body(body(&list).to_string());
    assert_eq!(plain.send().await.unwrap().status(), 415);
    for root in ["", "00", &"z".repeat(64), &"0".repeat(66)] {
        let status = world.get(&format!("{LISTS}/{root}")).await.0;
        // A slash at the end is the path of all lists, which takes PUT alone.
        assert_eq!(status, if root.is_empty() { 405 } else { 400 }, "{root}");
    }
}
