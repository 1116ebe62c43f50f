//! What is known of the providers outlives the process that learned it.

use super::system::System;
use serde_json::{Value, json};
use std::time::Duration;
use steam::localnet::Behaviour;
use tokio::time::{Instant, sleep};

/// Answers of each provider before the relayer is stopped.
const ANSWERS: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(90);

/// The public figures of a provider, but for its last five minutes, which go on passing while nobody serves.
async fn board(system: &System, name: &str) -> Value {
    let providers = system.get("/v1/providers").await;
    let mut of_name = providers["data"].as_array().unwrap().iter().filter(|offer| offer["provider_name"] == name);
    let board = &of_name.next().unwrap_or_else(|| panic!("no {name} in {providers}"))["board"];
    json!({ "1h": board["1h"], "72h": board["72h"], "flags": board["flags"] })
}

/// What the scorer knew of a provider when it chose who serves `id`.
async fn learned(system: &System, id: &str, name: &str) -> Value {
    let decision = system.get(&format!("/v1/generation/{id}")).await["decision"].take();
    let route = &decision["routes"][0];
    let place = route["candidates"].as_array().unwrap().iter().position(|c| c["name"] == name).unwrap();
    route["choice"]["measured"][place].clone()
}

async fn until(system: &System, name: &str, holds: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let board = board(system, name).await;
        if holds(&board) {
            return;
        }
        assert!(Instant::now() < deadline, "{name}: {board}");
        sleep(Duration::from_millis(200)).await;
    }
}

fn answers(board: &Value) -> u64 {
    board["72h"]["e2e_ms"]["samples"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_relayer_that_is_stopped_and_started_knows_what_it_knew_of_the_providers() {
    let mut system = System::start().await;
    let relayer = system.serve().await;
    let load = system.load();
    // Nobody but the south is there, and half of its streams break off.
    let honest = system.providers[1].behaviour();
    system.providers[0].kill();
    system.providers[1].set(Behaviour { cut_rate: 0.5, ..honest.clone() });
    until(&system, "south", |south| south["flags"] != json!([])).await;
    system.providers[0].revive();
    until(&system, "north", |north| answers(north) >= ANSWERS).await;
    load.finish().await;
    // Figures are added up once a second.
    sleep(Duration::from_millis(1_100)).await;
    let before = [board(&system, "north").await, board(&system, "south").await];
    assert_eq!(before[0]["flags"], json!([]));
    assert_eq!(before[1]["flags"][0]["reason"], "cut");

    system.stop(relayer).await;
    let mut relayer = system.serve().await;
    let after = [board(&system, "north").await, board(&system, "south").await];
    assert_eq!(after, before, "every figure, its number of samples, and why the south is flagged");

    // The first choice after it is made from what was measured before it.
    let id = system.ask(8).await;
    let [north, south] = [learned(&system, &id, "north").await, learned(&system, &id, "south").await];
    assert_eq!((&north["penalty"], &south["penalty"]), (&json!(1.0), &json!(10.0)));
    for (measured, board) in [(&north, &before[0]), (&south, &before[1])] {
        assert!(measured["samples"].as_u64().unwrap() > 0 && measured["newcomer"] == json!(false), "{measured}");
        let middle = board["1h"]["tokens_per_second"]["p50"].as_f64().unwrap();
        let speed = measured["speed"].as_f64().unwrap();
        assert!((0.5..2.0).contains(&(speed / middle)), "{speed} tokens a second where {middle} were measured");
    }
    relayer.kill().await.unwrap();
}
