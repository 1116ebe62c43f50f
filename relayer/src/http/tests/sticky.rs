//! A conversation finds the provider that has its beginning cached.

use crate::chain::{Pubkey, VaultSnapshot};
use crate::config::Config;
use crate::localnet::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::world::{World, request};
use crate::relay::testing::{NOW, offer};
use serde_json::{Value, json};
use steam_protocol::key::SessionKey;

/// Three providers of the same with caches, of which only the cost counts, and nothing explored.
async fn market() -> (World, Vec<SimulatedProvider>) {
    let mut providers = Vec::new();
    let mut offers = Vec::new();
    for seed in 1..=3 {
        let behaviour = Behaviour { cache_share: 0.9, ..Behaviour::instant(&["m"]) };
        let provider = SimulatedProvider::start(behaviour, seed).await.unwrap();
        offers.push(Offer { url: provider.url(), context_limit: 100_000, ..offer(&format!("p{seed}"), seed as u8) });
        providers.push(provider);
    }
    let cost_alone = |config: &mut Config| (config.routing.exploration, config.routing.time_weight) = (0.0, 0.0);
    (World::with(offers, cost_alone).await, providers)
}

/// What the scorer was told of a turn of a conversation: its prefix, who has it cached, and who was chosen.
async fn turn(world: &World, key: &SessionKey, beginning: &str, turns: usize) -> (Value, Option<usize>, Value) {
    let mut messages = vec![json!({"role": "system", "content": beginning})];
    messages.extend((0..turns).map(|turn| json!({"role": "user", "content": format!("question {turn}")})));
    let body = request(json!({"messages": messages})).to_string();
    let post = world.client.post(world.url("/v1/chat/completions")).bearer_auth(key.reveal()).body(body);
    let response = post.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let get = world.client.get(world.url(&format!("/v1/generation/{id}"))).bearer_auth(key.reveal());
    let record: Value = get.send().await.unwrap().json().await.unwrap();
    let decision = &record["decision"];
    let choice = &decision["routes"][0]["choice"];
    let stuck = choice["measured"].as_array().unwrap().iter().position(|measured| !measured["sticky"].is_null());
    (choice["ask"]["prefix"].clone(), stuck, decision["order"][0].clone())
}

#[tokio::test]
async fn a_long_conversation_stays_with_the_provider_that_served_its_beginning() {
    let (world, _providers) = market().await;
    let key = world.key();
    let long = "You are a careful assistant. ".repeat(200);
    let (prefix, stuck, server) = turn(&world, &key, &long, 1).await;
    assert!(prefix.is_u64() && stuck.is_none(), "{prefix} {stuck:?}");
    for turns in 2..14 {
        let (same, stuck, next) = turn(&world, &key, &long, turns).await;
        assert_eq!(same, prefix, "what is added leaves the beginning as it is");
        assert!(stuck.is_some(), "turn {turns}: the scorer knows who served it");
        assert_eq!(next, server, "turn {turns}");
    }
}

#[tokio::test]
async fn other_vaults_other_beginnings_and_short_ones_share_nothing() {
    let (world, _providers) = market().await;
    let (key, other) = (world.key(), SessionKey::from_seed(&[44; 32]));
    let mut second = VaultSnapshot { address: Pubkey::new_from_array([45; 32]), ..world.snapshot.clone() };
    second.keys[0].key = other.address();
    world.node.vaults.update(&[world.snapshot.clone(), second], NOW, 100);
    let long = "You are a careful assistant. ".repeat(200);
    let (prefix, ..) = turn(&world, &key, &long, 1).await;
    let (theirs, stuck, _) = turn(&world, &other, &long, 2).await;
    assert!(theirs.is_u64() && theirs != prefix && stuck.is_none(), "nobody learns whether another vault asked this");
    let (another, stuck, _) = turn(&world, &key, &long.to_uppercase(), 2).await;
    assert!(another.is_u64() && another != prefix && stuck.is_none());
    for _ in 0..2 {
        let (none, stuck, _) = turn(&world, &key, "Be brief.", 1).await;
        assert!(none.is_null() && stuck.is_none(), "too short for anybody's cache");
    }
}
