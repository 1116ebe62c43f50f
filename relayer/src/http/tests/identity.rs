//! Who a provider is: its origin names it, and a name means one of them.

use crate::chain::Pubkey;
use crate::config::Config;
use crate::localnet::{Behaviour, SimulatedProvider};
use crate::origins::Verifier;
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, answer};
use crate::relay::testing::world::{World, decode, error};
use crate::relay::testing::{cheap, cost_alone, offer};
use crate::score::{Ask, Evidence};
use serde_json::{Value, json};
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam_protocol::receipt::SignedReceipt;
use tokio::time::Instant;

fn verifying(config: &mut Config) {
    cost_alone(config);
    config.market.verify_origins = true;
}

fn behaviour(address: Option<Pubkey>) -> Behaviour {
    Behaviour { name: "sim".into(), address: address.map(|at| at.to_string()), ..Behaviour::instant(&["m"]) }
}

/// A provider on a socket, and its offer numbered `seed`, which its origin names.
async fn proven(seed: u8) -> (SimulatedProvider, Offer) {
    let own = offer("honest", seed);
    let provider = SimulatedProvider::start(behaviour(Some(own.provider)), seed.into()).await.unwrap();
    let url = provider.url();
    (provider, Offer { url, ..own })
}

async fn verified(world: &World, now: Instant) -> Verifier {
    let mut verifier = Verifier::new(world.node.shared.clone());
    verifier.step(now).await;
    verifier
}

/// The offer that was paid for a request.
async fn paid(world: &World, members: Value) -> [u8; 32] {
    let response = world.chat(members).await;
    assert_eq!(response.status(), 200);
    let receipt = decode(response.headers()["steam-receipt"].to_str().unwrap());
    SignedReceipt::from_bytes(&receipt).unwrap().receipt.offer
}

#[tokio::test]
async fn who_registers_the_url_of_another_is_shown_and_never_asked() {
    let (_provider, honest) = proven(1).await;
    let thief = cheap(Offer { url: honest.url.clone(), ..offer("thief", 2) });
    let world = World::with(vec![honest.clone(), thief], verifying).await;
    let (status, refused) = error(world.chat(json!({})).await).await;
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().contains("is not verified"), "nobody has proved anything: {refused}");

    let now = Instant::now();
    let _verifier = verified(&world, now).await;
    for _ in 0..10 {
        assert_eq!(paid(&world, json!({"max_tokens": 5})).await, [1; 32], "at ten times the price");
    }
    let (_, listed) = world.get("/v1/providers").await;
    let host = honest.url.split('/').nth(2).unwrap();
    assert_eq!((&listed["data"][0]["host"], &listed["data"][0]["barred"]), (&json!(host), &Value::Null));
    assert_eq!(listed["data"][1]["host"], Value::Null);
    assert!(listed["data"][1]["barred"].as_str().unwrap().contains("is not verified"));
    let only = error(world.chat(json!({"provider": {"only": ["thief"]}})).await).await;
    assert_eq!(only.0, 400, "whoever names it");
}

#[tokio::test]
async fn who_is_barred_says_nothing_of_the_model_that_others_are_asked_for() {
    // The stranger's offer comes first, by its address.
    let stranger = Offer {
        model: "GLM".into(),
        context_limit: 1_000_000,
        output_limit: 500_000,
        ..cheap(Offer { url: "http://127.0.0.1:1/v1".into(), ..offer("stranger", 1) })
    };
    let honest = Offer { model: "glm".into(), capabilities: 0, ..offer("honest", 2) };
    let trusted = honest.provider.to_string();
    let world = World::with(vec![stranger.clone(), honest.clone()], |config| {
        verifying(config);
        config.market.trusted_providers = vec![trusted];
    })
    .await;
    let (_, listed) = world.get("/v1/models").await;
    let model = &listed["data"][0];
    assert_eq!((&model["id"], &model["name"], &model["canonical_slug"]), (&json!("glm"), &json!("glm"), &json!("glm")));
    assert_eq!((&model["context_length"], &model["max_output_tokens"]), (&json!(8_192), &json!(4_096)));
    assert_eq!(model["pricing"]["completion"], "0.000002", "no price that nobody is served at");
    assert_eq!(model["top_provider"]["context_length"], 8_192);
    assert_eq!(model["architecture"]["input_modalities"], json!(["text"]));
    assert_eq!(model["providers"].as_array().unwrap().len(), 2, "it is shown beside the others, with the reason");
    assert_eq!(world.get("/v1/models/GLM").await.1["id"], "glm", "however it was asked for");
    let anthropic = world.client.get(world.url("/v1/models")).header("anthropic-version", "2023-06-01");
    let anthropic: Value = anthropic.send().await.unwrap().json().await.unwrap();
    assert_eq!((&anthropic["data"][0]["id"], anthropic["data"].as_array().unwrap().len()), (&json!("glm"), 1));
    assert_eq!(world.get("/v1/market/history?model=Glm").await.1["model"], "glm");
    // Where it is alone, it speaks for itself.
    let alone = World::with(vec![stranger], verifying).await;
    assert_eq!(alone.get("/v1/models").await.1["data"][0]["id"], "GLM");
}

#[tokio::test]
async fn the_operator_may_trust_a_provider_or_let_some_requests_look_at_strangers() {
    let stranger = offer("stranger", 2);
    let provider = SimulatedProvider::start(behaviour(None), 2).await.unwrap();
    let stranger = Offer { url: provider.url(), ..stranger };
    let address = stranger.provider.to_string();
    for (name, status, change) in [
        ("as shipped", 400, Box::new(|_: &mut Config| {}) as Box<dyn Fn(&mut Config)>),
        ("trusted", 200, Box::new(move |c: &mut Config| c.market.trusted_providers = vec![address.clone()])),
        ("all", 200, Box::new(|c: &mut Config| c.market.unverified_percent = 100.0)),
    ] {
        let world = World::with(vec![stranger.clone()], |config| {
            verifying(config);
            change(config);
        })
        .await;
        let _verifier = verified(&world, Instant::now()).await;
        assert_eq!(world.chat(json!({"max_tokens": 5})).await.status(), status, "{name}");
    }
}

#[tokio::test]
async fn a_proof_is_read_again_each_hour_and_may_be_withdrawn_or_outlast_an_outage() {
    let (provider, honest) = proven(1).await;
    let world = World::with(vec![honest.clone()], verifying).await;
    let (now, hours) = (Instant::now(), |n: u64| Duration::from_secs(3_600 * n));
    let mut verifier = verified(&world, now).await;
    let is_proved = || world.node.market.view().proof(&honest).is_some();
    assert!(is_proved());
    provider.set(behaviour(None));
    verifier.step(now + Duration::from_secs(60)).await;
    assert!(is_proved(), "it is fresh");
    verifier.step(now + hours(1)).await;
    assert!(!is_proved(), "the origin names it no more");
    provider.set(behaviour(Some(honest.provider)));
    verifier.step(now + hours(2)).await;
    assert!(is_proved());
    provider.kill();
    verifier.step(now + hours(3)).await;
    assert!(is_proved(), "an outage withdraws nothing");
    verifier.step(now + hours(27)).await;
    assert!(!is_proved(), "for a day");
}

#[tokio::test]
async fn an_origin_that_fails_is_read_ever_more_rarely() {
    let dead = Mock::new("dead", answer("500 X", "")).await;
    let world = World::with(vec![dead.offer(1)], verifying).await;
    let now = Instant::now();
    let mut verifier = Verifier::new(world.node.shared.clone());
    for minutes in (0..48 * 60).step_by(10) {
        verifier.step(now + Duration::from_secs(60 * minutes)).await;
    }
    // 15 s, twice as long each time, to six hours, and each waits for the next ten minutes.
    assert_eq!(dead.count(), 18, "two days");
}

#[tokio::test]
async fn a_url_that_changes_is_proved_anew() {
    let (_provider, honest) = proven(1).await;
    let world = World::with(vec![honest.clone()], verifying).await;
    let mut verifier = verified(&world, Instant::now()).await;
    let other = SimulatedProvider::start(behaviour(None), 3).await.unwrap();
    let moved = Arc::new(Offer { url: other.url(), ..honest });
    world.registry.send_modify(|registry| Arc::make_mut(registry).offers = vec![moved.clone()]);
    assert!(world.node.market.view().proof(&moved).is_none(), "at once, before anything is read");
    verifier.step(Instant::now()).await;
    assert!(world.node.market.view().proof(&moved).is_none());
}

#[tokio::test]
async fn a_word_that_means_two_is_an_error_naming_both_and_a_host_means_its_own() {
    let (_first, mut one) = proven(1).await;
    let (_second, mut two) = proven(2).await;
    one.provider_name = "Acme".into();
    two.provider_name = "ACME".into();
    let world = World::with(vec![one.clone(), two.clone()], verifying).await;
    let _verifier = verified(&world, Instant::now()).await;
    for control in ["only", "order"] {
        let (status, refused) = error(world.chat(json!({"provider": {control: ["acme"]}})).await).await;
        assert_eq!((status, &refused["code"]), (400, &json!("ambiguous_provider")));
        let message = refused["message"].as_str().unwrap();
        for offer in [&one, &two] {
            assert!(message.contains(&offer.provider.to_string()), "{message}");
            assert!(message.contains(offer.url.split('/').nth(2).unwrap()), "{message}");
        }
    }
    let neither = error(world.chat(json!({"provider": {"ignore": ["acme"]}})).await).await;
    assert_eq!(neither.0, 400);
    assert!(neither.1["message"].as_str().unwrap().contains("in provider.ignore"), "{}", neither.1);
    let mut market = world.node.market.view().policy().clone();
    market.trusted_providers = vec![two.provider.to_string()];
    world.node.market.reload(market);
    let trusted = json!({"max_tokens": 5, "provider": {"only": ["acme"]}});
    assert_eq!(
        paid(&world, trusted).await,
        two.address.to_bytes(),
        "whom the operator trusts comes before who proved a host"
    );
    assert_eq!(error(world.chat(json!({"provider": {"ignore": ["acme"]}})).await).await.0, 400, "the other is one too");
    for (offer, name) in [
        (&one, one.url.split('/').nth(2).unwrap().to_owned()),
        (&two, two.url.split('/').nth(2).unwrap().to_owned()),
        (&two, two.provider.to_string()),
    ] {
        let members = json!({"max_tokens": 5, "provider": {"only": [name]}});
        assert_eq!(paid(&world, members).await, offer.address.to_bytes());
    }
}

#[tokio::test]
async fn a_label_that_a_stranger_takes_is_not_taken_from_its_owner() {
    let (_provider, mut honest) = proven(1).await;
    honest.provider_name = "Acme".into();
    let stranger = Offer { provider_name: "acme".into(), ..offer("", 2) };
    let world = World::with(vec![honest, stranger], verifying).await;
    let _verifier = verified(&world, Instant::now()).await;
    assert_eq!(paid(&world, json!({"max_tokens": 5, "provider": {"only": ["acme"]}})).await, [1; 32]);
}

#[tokio::test]
async fn a_label_that_looks_like_a_host_stands_in_for_none() {
    let (_provider, mut thief) = proven(1).await;
    thief.provider_name = "api.example.com".into();
    let world = World::with(vec![thief], verifying).await;
    let _verifier = verified(&world, Instant::now()).await;
    let named = json!({"max_tokens": 5, "provider": {"only": ["api.example.com"]}});
    let (status, refused) = error(world.chat(named).await).await;
    assert_eq!((status, &refused["code"]), (400, &json!("unknown_provider")));
}

#[tokio::test]
async fn a_model_called_as_a_suffix_takes_nobodys_requests() {
    let (_provider, honest) = proven(1).await;
    let (_thief, dear) = proven(2).await;
    let dear = Offer { model: "m:floor".into(), ..dear };
    let world = World::with(vec![honest, dear], verifying).await;
    let _verifier = verified(&world, Instant::now()).await;
    for _ in 0..5 {
        assert_eq!(paid(&world, json!({"model": "m:floor", "max_tokens": 5})).await, [1; 32]);
    }
}

#[tokio::test]
async fn an_origin_says_what_it_calls_a_model_itself() {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (own, seen) = (offer("own", 1), asked.clone());
    let says =
        json!({"providers": [{"address": own.provider.to_string(), "models": {"qwen/qwen3": "Qwen/Qwen3-32B"}}]});
    let chat = move |body: String| async move {
        seen.lock().unwrap().push(serde_json::from_str::<Value>(&body).unwrap()["model"].clone());
        axum::Json(serde_json::from_str::<Value>(crate::relay::testing::mock::WHOLE).unwrap())
    };
    let router = axum::Router::new()
        .route("/v1/chat/completions", axum::routing::post(chat))
        .route("/.well-known/steam-provider.json", axum::routing::get(move || async move { axum::Json(says) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    let world = World::with(vec![Offer { url, model: "qwen/qwen3".into(), ..own }], verifying).await;
    let _verifier = verified(&world, Instant::now()).await;
    let asked_for = json!({"model": "Qwen/QWEN3", "max_tokens": 5});
    assert_eq!(paid(&world, asked_for).await, [1; 32], "names are compared without case");
    assert_eq!(*asked.lock().unwrap(), [json!("Qwen/Qwen3-32B")]);
}

#[tokio::test]
async fn the_operators_policy_is_taken_over_without_a_restart() {
    let (_provider, honest) = proven(1).await;
    let world = World::with(vec![honest.clone()], verifying).await;
    let _verifier = verified(&world, Instant::now()).await;
    let mut market = world.node.market.view().policy().clone();
    for (name, status, denied) in [("denied", 400, vec![honest.provider.to_string()]), ("allowed", 200, vec![])] {
        market.deny_providers = denied;
        world.node.market.reload(market.clone());
        assert_eq!(world.chat(json!({"max_tokens": 5})).await.status(), status, "{name}");
    }
    world.node.market.reload(crate::config::Market { min_vault_microusdc: u64::MAX, ..market });
    assert_eq!(world.chat(json!({"max_tokens": 5})).await.status(), 402, "the least that a vault must be able to pay");
}

#[tokio::test]
async fn a_new_offer_gets_no_more_at_once_than_it_may() {
    let (_first, old) = proven(1).await;
    let (_second, new) = proven(2).await;
    let world = World::with(vec![old, new], cost_alone).await;
    let (scorer, address) = (&world.node.scorer, Pubkey::new_from_array([2; 32]));
    let market = world.node.market.view().policy().clone();
    world.node.market.reload(crate::config::Market { new_offer_requests: 3, ..market });
    let alone = json!({"max_tokens": 5, "provider": {"only": [offer("", 2).provider.to_string()]}});
    scorer.seed_from_history(&Pubkey::new_from_array([1; 32]), 100);
    assert_eq!(world.chat(json!({"max_tokens": 5})).await.status(), 200, "both are compared: it came later");
    assert_eq!(world.chat(alone.clone()).await.status(), 200);
    (0..3).for_each(|_| {
        scorer.started_for(&address, &Ask::default(), &Evidence::PROBE, Instant::now());
    });
    assert!(scorer.new_and_busy(&address, 3) && !scorer.new_and_busy(&address, 4));
    assert_eq!(error(world.chat(alone.clone()).await).await.0, 429);
    assert_eq!(world.chat(json!({"max_tokens": 5})).await.status(), 200, "the other one serves");
    scorer.seed_from_history(&address, 100);
    assert_eq!(world.chat(alone).await.status(), 200, "it has served enough");
}
