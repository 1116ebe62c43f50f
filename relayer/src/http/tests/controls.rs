//! What the controls do to a request, as members of its body and as headers.

use crate::registry::Offer;
use crate::relay::testing::Signer;
use crate::relay::testing::mock::{Mock, answer, good};
use crate::relay::testing::world::{World, decode, error, request};
use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use steam_protocol::capability;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::{Pico, Price};

/// Four providers of model `m`: `cheap`, `dear`, one without capabilities, and one whose model is another.
async fn market() -> World {
    let mock = good(false).await;
    let at = |name: &str, seed: u8, change: fn(Offer) -> Offer| {
        change(Offer { provider_name: name.into(), ..mock.offer(seed) })
    };
    let world = World::new(vec![
        at("cheap", 1, |offer| offer),
        at("dear", 2, |offer| Offer { price: Price::basic(3_000_000, 3_000_000, 6_000_000, 2).into(), ..offer }),
        at("plain", 3, |offer| Offer {
            capabilities: 0,
            price: Price { output: 7_000_000, ..offer.price.standard }.into(),
            ..offer
        }),
        at("other", 4, |offer| Offer { model: "n".into(), ..offer }),
    ])
    .await;
    for offer in &world.node.registry.borrow().offers {
        world.node.scorer.seed_from_history(&offer.address, 100);
    }
    world
}

/// Sends a request with these members and `Steam-Route-*` headers.
async fn send(world: &World, members: &Value, headers: &[(&str, &str)]) -> reqwest::Response {
    let post = world.client.post(world.url("/v1/chat/completions")).bearer_auth(world.key().reveal());
    let post = headers.iter().fold(post, |post, (name, value)| post.header(format!("Steam-Route-{name}"), *value));
    post.body(request(members.clone()).to_string()).send().await.unwrap()
}

/// The names of those that served `rounds` such requests, each once.
async fn served(world: &World, members: Value, headers: &[(&str, &str)], rounds: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..rounds {
        let response = send(world, &members, headers).await;
        let status = response.status();
        let receipt = response.headers().get("steam-receipt").cloned();
        assert_eq!(status, 200, "{members} {headers:?}: {}", response.text().await.unwrap());
        let signed = SignedReceipt::from_bytes(&decode(receipt.unwrap().to_str().unwrap())).unwrap();
        let registry = world.node.registry.borrow().clone();
        let offer = registry.offers.iter().find(|offer| offer.address.to_bytes() == signed.receipt.offer).unwrap();
        names.push(offer.provider_name.clone());
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test]
async fn each_control_steers_in_either_form() {
    let world = market().await;
    let address = world.node.registry.borrow().offers[1].provider.to_string();
    for (provider, headers, expected) in [
        (json!({"only": ["dear"]}), vec![("Only", "dear")], vec!["dear"]),
        (json!({"only": [address]}), vec![("Only", address.as_str())], vec!["dear"]),
        (json!({"ignore": ["cheap", "plain"]}), vec![("Ignore", "cheap, plain")], vec!["dear"]),
        (json!({"order": ["plain", "dear"]}), vec![("Order", "plain,dear")], vec!["plain"]),
        (
            json!({"order": ["dear"], "allow_fallbacks": false}),
            vec![("Order", "dear"), ("Allow-Fallbacks", "false")],
            vec!["dear"],
        ),
        (json!({"sort": "price"}), vec![("Sort", "price")], vec!["cheap"]),
        (
            json!({"max_price": {"prompt": 2, "completion": 5}}),
            vec![("Max-Price-Prompt", "2"), ("Max-Price-Completion", "5")],
            vec!["cheap"],
        ),
        (
            json!({"max_price": {"request": 0}, "ignore": ["plain"]}),
            vec![("Max-Price-Request", "0"), ("Ignore", "plain")],
            vec!["cheap"],
        ),
    ] {
        assert_eq!(served(&world, json!({"provider": provider}), &[], 12).await, expected, "{provider}");
        assert_eq!(served(&world, json!({}), &headers, 12).await, expected, "{headers:?}");
    }
    assert_eq!(served(&world, json!({"model": "m:floor"}), &[], 12).await, ["cheap"]);
    let seeded = json!({"seed": 7, "provider": {"require_parameters": true, "ignore": ["cheap"]}});
    assert_eq!(served(&world, seeded, &[], 12).await, ["dear"]);
    let headers = [("Require-Parameters", "true"), ("Ignore", "cheap")];
    assert_eq!(served(&world, json!({"seed": 7}), &headers, 12).await, ["dear"]);
}

#[tokio::test]
async fn promises_of_data_and_precision_are_hard_filters_that_the_record_and_the_list_name() {
    let mock = good(false).await;
    let spoken = capability::CHAT | capability::STREAMING;
    let quantized = |name: &str, bits: u64| capability::with_quantization(spoken | bits, name).unwrap();
    let (both, training) = (capability::NO_RETENTION | capability::NO_TRAINING, capability::NO_TRAINING);
    let offers = [("private", quantized("fp8", both)), ("keeps", quantized("bf16", training)), ("plain", spoken)];
    let offers = (1..).zip(offers).map(|(seed, (name, capabilities))| Offer {
        provider_name: name.into(),
        capabilities,
        ..mock.offer(seed)
    });
    let world = World::new(offers.collect()).await;
    for offer in &world.node.registry.borrow().offers {
        world.node.scorer.seed_from_history(&offer.address, 100);
    }
    for (provider, headers, expected) in [
        (json!({"zdr": true}), vec![("Zdr", "true")], "private"),
        (json!({"quantizations": ["bf16"]}), vec![("Quantizations", "bf16")], "keeps"),
        (json!({"quantizations": ["unknown", "fp4"]}), vec![("Quantizations", "unknown, fp4")], "plain"),
        (
            json!({"data_collection": "deny", "ignore": ["private"]}),
            vec![("Data-Collection", "deny"), ("Ignore", "private")],
            "keeps",
        ),
    ] {
        assert_eq!(served(&world, json!({"provider": provider}), &[], 6).await, [expected], "{provider}");
        assert_eq!(served(&world, json!({}), &headers, 6).await, [expected], "{headers:?}");
    }
    let response = send(&world, &json!({"provider": {"zdr": true}}), &[]).await;
    let decision = world.decision(response.headers()["steam-generation-id"].to_str().unwrap()).await;
    let excluded = decision["routes"][0]["excluded"].as_array().unwrap();
    assert_eq!(excluded.len(), 2);
    let reason = "does not promise no-retention, which provider.zdr asks for";
    assert!(excluded.iter().all(|offer| offer["reason"] == reason), "{decision}");
    let nobody = json!({"provider": {"zdr": true, "quantizations": ["bf16"]}});
    let (status, refused) = error(send(&world, &nobody, &[]).await).await;
    assert_eq!((status, refused["code"].as_str()), (400, Some("no_provider_supports_request")));
    let message = refused["message"].as_str().unwrap();
    for told in [format!("plain {reason}"), "private states the quantization fp8".into()] {
        assert!(message.contains(&told), "{message}");
    }
    let (_, listed) = world.get("/v1/providers").await;
    let names = json!(["streaming", "chat", "no-retention", "no-training"]);
    assert_eq!((&listed["data"][0]["capability_names"], &listed["data"][0]["quantization"]), (&names, &json!("fp8")));
}

#[tokio::test]
async fn a_model_that_fails_falls_back_to_the_next_one() {
    let (bad, worse, good) =
        (Mock::new("bad", answer("500 X", "")).await, Mock::new("worse", answer("503 X", "")).await, good(false).await);
    let dear = Price::basic(1_000_000, 100_000, 8_000_000, 0);
    let offers = vec![bad.offer(1), worse.offer(2), Offer { model: "n".into(), price: dear.into(), ..good.offer(3) }];
    let world = World::with(offers, |config| config.upstream.max_attempts = 2).await;
    for (members, headers) in
        [(json!({"models": ["n"], "max_tokens": 3}), vec![]), (json!({"max_tokens": 3}), vec![("Models", "n")])]
    {
        let response = send(&world, &members, &headers).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        let receipt = decode(response.headers()["steam-receipt"].to_str().unwrap());
        let receipt = SignedReceipt::from_bytes(&receipt).unwrap().receipt;
        assert_eq!((receipt.offer, receipt.price), ([3; 32], dear.into()), "the offer is of the model that served");
        // 20 of input at 1, 3 of output at 8
        assert_eq!(receipt.charge, Pico(44_000_000));
        let decision = world.decision(&id).await;
        let attempts: Vec<(&str, &str)> = decision["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| (attempt["model"].as_str().unwrap(), attempt["outcome"].as_str().unwrap()))
            .collect();
        assert_eq!(attempts, [("m", "status"), ("n", "opened")], "one attempt is kept for the second model");
        let sent: Value = serde_json::from_str(&good.requests.lock().unwrap().last().unwrap().1).unwrap();
        assert_eq!((&sent["model"], sent.get("models")), (&json!("n"), None));
    }
    assert_eq!(world.settled_down().await.0, Pico::ZERO);
}

#[tokio::test]
async fn a_request_is_held_for_at_its_dearest_models_price() {
    let slow = Mock::new("slow", vec![crate::relay::testing::mock::Step::Forever]).await;
    let dear = Price { output: 50_000_000, ..slow.offer(2).price.standard }.into();
    let offers = vec![slow.offer(1), Offer { model: "n".into(), price: dear, ..slow.offer(2) }];
    let world = World::new(offers).await;
    let held = async |members: Value| {
        let asking = world.chat(members);
        let held = async {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            world.node.vaults.sums().held
        };
        let (response, held) = tokio::join!(asking, held);
        assert_eq!(error(response).await.0, 504);
        held
    };
    let alone = held(json!({"max_tokens": 100})).await;
    let both = held(json!({"max_tokens": 100, "models": ["n"]})).await;
    // 100 tokens of output at 48 more, and 1 % of it
    assert!(both.0 - alone.0 >= 4_848_000_000, "{alone} {both}");
}

#[tokio::test]
async fn what_is_not_supported_is_refused_and_costs_nothing() {
    let world = market().await;
    for (members, headers, param) in [
        (json!({"provider": {"zdr": "true"}}), vec![], "provider.zdr"),
        (json!({"provider": {"quantizations": ["fp7"]}}), vec![], "provider.quantizations"),
        (json!({"provider": {"data_collection": "none"}}), vec![], "provider.data_collection"),
        (json!({"provider": {"sort": "fast"}}), vec![], "provider.sort"),
        (json!({"provider": {"only": ["cheap"], "ignore": ["cheap"]}}), vec![], "provider.only"),
        (json!({"models": ["1", "2", "3", "4", "5", "6", "7", "8", "9"]}), vec![], "models"),
        (json!({"model": "m:floor", "provider": {"sort": "throughput"}}), vec![], "provider.sort"),
        (json!({"top_k": 1, "provider": {"require_parameters": true}}), vec![], "top_k"),
        (json!({}), vec![("Zdr", "yes")], "steam-route-zdr"),
        (json!({}), vec![("Enforce-Distillable-Text", "true")], "steam-route-enforce-distillable-text"),
        (json!({}), vec![("Sort", "fast")], "steam-route-sort"),
        (json!({}), vec![("Sort", "price"), ("Sort", "price")], "steam-route-sort"),
        (json!({"provider": {"sort": "price"}}), vec![("Sort", "price")], "steam-route-sort"),
        (json!({}), vec![("Models", "")], "steam-route-models"),
    ] {
        let (status, error) = error(send(&world, &members, &headers).await).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(param)), "{members} {headers:?}: {error}");
    }
    let (status, error) = error(send(&world, &json!({"provider": {"only": ["nobody"]}}), &[]).await).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("unknown_provider")));
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
}

#[tokio::test]
async fn a_signed_request_covers_the_headers_that_steer_it() {
    let world = market().await;
    let body = request(json!({"max_tokens": 3})).to_string();
    let send = async |controls: &[(&'static str, &'static str)], change: &dyn Fn(&mut HeaderMap)| {
        let signer = Signer { controls: controls.to_vec(), ..world.signer() };
        let mut headers = signer.headers("POST", "/v1/chat/completions", body.as_bytes());
        change(&mut headers);
        let post = world.client.post(world.url("/v1/chat/completions")).headers(headers);
        post.body(body.clone()).send().await.unwrap()
    };
    let only_dear = [("steam-route-only", "dear")];
    let value = HeaderValue::from_static;
    let refused = [
        send(&[], &|headers| drop(headers.insert("steam-route-only", value("dear")))).await,
        send(&only_dear, &|headers| drop(headers.insert("steam-route-only", value("cheap")))).await,
        send(&only_dear, &|headers| drop(headers.remove("steam-route-only"))).await,
        send(&only_dear, &|headers| drop(headers.insert("idempotency-key", value("1")))).await,
    ];
    for response in refused {
        let (status, error) = error(response).await;
        assert_eq!((status, error["code"].as_str()), (401, Some("invalid_signature")), "{error}");
    }
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO), "nothing is charged");
    let response = send(&only_dear, &|_| {}).await;
    assert_eq!(response.status(), 200);
    let receipt = decode(response.headers()["steam-receipt"].to_str().unwrap());
    let offer = SignedReceipt::from_bytes(&receipt).unwrap().receipt.offer;
    assert_eq!(offer, world.node.registry.borrow().offers[1].address.to_bytes());
}
