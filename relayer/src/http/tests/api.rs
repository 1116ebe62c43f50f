//! The routes: what each takes, and what each says to those who get it wrong.

use crate::http::openapi;
use crate::node::listings::Demand;
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, Step, good};
use crate::relay::testing::world::{Streamed, World, error, request};
use crate::relay::testing::{Signer, VAULT};
use serde_json::{Value, json};
use std::time::Duration;
use steam_protocol::key::SessionKey;
use steam_protocol::request::SIGNATURE_HEADERS;
use steam_protocol::units::MicroUsdc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHAT: &str = "/v1/chat/completions";

async fn code(request: reqwest::RequestBuilder) -> (u16, String) {
    let (status, error) = error(request.send().await.unwrap()).await;
    (status, error["code"].as_str().unwrap().to_owned())
}

fn is(result: (u16, String), status: u16, code: &str) {
    assert_eq!(result, (status, code.to_owned()));
}

/// A path that matches the route's, with nothing right in its place.
fn wrong_path(path: &str) -> String {
    path.replace("models/{id}", "models/no/such/model")
        .replace("{id}", "gen-nobody")
        .replace("{address}", "nonsense")
        .replace("{signature}", "nonsense")
        .replace("{root}", "nonsense")
        .replace("{vault}", "nonsense")
}

#[tokio::test]
async fn every_route_refuses_what_is_not_for_it() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for (path, method) in openapi::methods(&openapi::document()) {
        let url = world.url(&wrong_path(&path));
        let other = match &*method {
            "GET" => world.client.post(&url),
            "GET,POST" => world.client.put(&url),
            _ => world.client.get(&url),
        };
        let response = other.send().await.unwrap();
        assert_eq!(response.headers()["allow"], *method, "{path}");
        assert_eq!(error(response).await.0, 405, "{path}");

        let last = method.rsplit(',').next().unwrap();
        let plain = || world.client.request(last.parse().unwrap(), &url);
        match &*path {
            "/v1/chat/completions"
            | "/v1/completions"
            | "/v1/embeddings"
            | "/v1/messages"
            | "/v1/messages/count_tokens"
            | "/v1/responses"
            | "/v1/responses/input_tokens"
            | "/v1/usage"
            | "/v1/receipts"
            | "/v1/key"
            | "/v1/credits" => is(code(plain()).await, 401, "missing_api_key"),
            "/v1/models/{id}" => is(code(plain()).await, 404, "model_not_found"),
            "/v1/receipts/{id}" | "/v1/generation/{id}" => {
                is(code(plain()).await, 401, "missing_api_key");
                is(code(plain().bearer_auth("sk-steam-x")).await, 401, "invalid_api_key");
                is(code(plain().bearer_auth(world.key().reveal())).await, 404, "not_found");
            }
            "/v1/withdrawals" => is(code(plain()).await, 400, "malformed_body"),
            "/v1/allow-lists" => is(code(plain()).await, 400, "malformed_body"),
            "/v1/allow-lists/{root}" => is(code(plain()).await, 400, "invalid_value"),
            "/v1/generation" => {
                is(code(plain()).await, 401, "missing_api_key");
                let ask = |query: &str| {
                    let url = format!("{url}?{query}");
                    world.client.get(url).bearer_auth(world.key().reveal())
                };
                let receipt = "vault=11111111111111111111111111111111&generation=7&number=0";
                is(code(ask("")).await, 400, "missing_parameter");
                is(code(ask("id=a&number=1")).await, 400, "missing_parameter");
                is(code(ask("vault=11111111111111111111111111111111&generation=7")).await, 400, "missing_parameter");
                is(code(ask("id=a&id=b")).await, 400, "invalid_value");
                is(code(ask(&receipt.replace("=7", "=-7"))).await, 400, "invalid_value");
                is(code(ask(&receipt.replace("=1111", "=0000"))).await, 400, "invalid_value");
                is(code(ask("key=a")).await, 400, "unknown_parameter");
                is(code(ask("id=gen-nobody")).await, 404, "not_found");
                is(code(ask(receipt)).await, 404, "not_found");
            }
            "/v1/vaults/{address}" | "/v1/providers/{address}/receipts" | "/v1/providers/{address}/usage" => {
                is(code(plain()).await, 400, "invalid_value");
            }
            "/v1/chain/transactions" | "/v1/chain/faucet" => is(code(plain()).await, 400, "malformed_body"),
            "/v1/sponsored" | "/v1/sign-in" | "/v1/solana-pay/openings" => {
                is(code(plain()).await, 400, "malformed_body");
            }
            "/v1/sessions" => is(code(plain()).await, 401, "no_session"),
            "/v1/market/history" => is(code(plain()).await, 400, "missing_parameter"),
            "/v1/solana-pay/deposits/{vault}"
            | "/v1/solana-pay/openings/{id}"
            | "/v1/solana-pay/openings/{id}/transaction"
            | "/v1/chain/accounts/{address}"
            | "/v1/chain/transactions/{signature}" => {
                is(code(plain()).await, 400, "invalid_value");
            }
            "/" | "/page.js" | "/page.css" | "/icon.svg" | "/v1/chain" | "/v1/chain/blockhash" => {
                assert_eq!(plain().header("authorization", "nonsense").send().await.unwrap().status(), 200, "{path}");
            }
            "/v1/models" | "/v1/providers" | "/health" | "/ready" | "/metrics" | "/openapi.json" => {
                assert_eq!(plain().header("authorization", "nonsense").send().await.unwrap().status(), 200, "{path}");
            }
            other => panic!("the route {other} has no wrong input here"),
        }
    }
    for path in ["/index.html", "/v1", "/v1/", "/v1/chat", "/v2/models", "/%2e%2e/etc/passwd", "/v1/receipts/a/b"] {
        let (status, _) = code(world.client.get(world.url(path))).await;
        assert_eq!(status, 404, "{path}");
    }
}

#[tokio::test]
async fn bodies_are_json_of_bounded_size_in_bounded_time() {
    let world = World::with(vec![good(false).await.offer(1)], |config| {
        config.server.max_body_bytes = 2_000;
        config.server.body_timeout_ms = 200;
    })
    .await;
    let post = || world.client.post(world.url(CHAT)).bearer_auth(world.key().reveal());
    is(code(post().header("content-type", "text/plain").body("{}")).await, 415, "unsupported_media_type");
    is(code(post().header("content-encoding", "gzip").body("{}")).await, 415, "unsupported_media_type");
    is(code(post().body("")).await, 400, "malformed_body");
    is(code(post().body(vec![0xff, 0xfe])).await, 400, "malformed_body");
    is(code(post().body("x".repeat(2_001))).await, 413, "body_too_large");
    let pieces = futures::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>("x".repeat(1_000))));
    is(code(post().body(reqwest::Body::wrap_stream(pieces))).await, 413, "body_too_large");
    let never = futures::stream::pending::<Result<String, std::io::Error>>();
    is(code(post().body(reqwest::Body::wrap_stream(never))).await, 408, "body_timeout");
    is(code(post().body(request(json!({"model": "other"})).to_string())).await, 404, "model_not_found");
    let strict = json!({"max_tokens": 5_000, "provider": {"require_parameters": true}});
    is(code(post().body(request(json!({"models": "a"})).to_string())).await, 400, "invalid_value");
    is(code(post().body(request(strict).to_string())).await, 400, "no_provider_supports_request");
}

#[tokio::test]
async fn a_body_that_breaks_off_takes_nothing_with_it() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let key = world.key().reveal();
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n{{\"mod");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_string(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(world.get("/health").await.0, 200);
}

#[tokio::test]
async fn a_key_that_cannot_pay_is_told_why() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    let url = world.url(CHAT);
    let client = world.client.clone();
    let secret = world.key().reveal();
    let post = |key: &str| client.post(&url).bearer_auth(key).body(request(json!({})).to_string());
    let stranger = SessionKey::from_seed(&[77; 32]).reveal();
    is(code(post(&stranger)).await, 401, "invalid_api_key");

    world.snapshot.slot += 1;
    world.snapshot.balance = MicroUsdc(10);
    world.chain_says();
    is(code(post(&secret)).await, 402, "insufficient_funds");

    world.snapshot.slot += 1;
    world.snapshot.balance = MicroUsdc(100_000_000);
    world.snapshot.keys[0].limit_total = MicroUsdc(10);
    world.chain_says();
    is(code(post(&secret)).await, 402, "key_limit");

    world.snapshot.slot += 1;
    world.snapshot.keys[0].limit_total = MicroUsdc(100_000_000);
    world.snapshot.keys[0].max_price.output = 1;
    world.chain_says();
    is(code(post(&secret)).await, 402, "price_above_key_limit");

    world.snapshot.slot += 1;
    world.snapshot.keys[0].revoked_at = 5;
    world.chain_says();
    is(code(post(&secret)).await, 401, "key_revoked");
    // What it spent is still its own to see.
    let (status, body) = world.get("/v1/receipts/gen-none").await;
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn a_signed_request_is_served_and_bounded_by_what_it_signed() {
    let world = World::with(vec![good(false).await.offer(1)], |config| config.server.bearer_keys = false).await;
    let body = request(json!({"max_tokens": 3})).to_string();
    let post = |signer: Signer| {
        let headers = signer.headers("POST", CHAT, body.as_bytes());
        world.client.post(world.url(CHAT)).headers(headers).body(body.clone())
    };
    is(code(post(Signer { max_cost: 5, ..world.signer() })).await, 402, "max_cost_too_low");
    is(code(post(Signer { authorized: 5, ..world.signer() })).await, 402, "authorized_too_low");
    is(
        code(post(Signer { vault: crate::chain::Pubkey::new_from_array([99; 32]), ..world.signer() })).await,
        401,
        "unknown_vault",
    );
    is(code(post(Signer { seed: [99; 32], ..world.signer() })).await, 401, "invalid_api_key");
    is(code(world.client.post(world.url(CHAT)).bearer_auth(world.key().reveal())).await, 401, "bearer_keys_disabled");
    let other = post(world.signer()).body(format!("{body} "));
    is(code(other).await, 400, "digest_mismatch");

    let first = post(world.signer()).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let receipt = first.headers()["steam-receipt"].clone();
    let id = first.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let replay = post(world.signer()).send().await.unwrap();
    assert_eq!((replay.status().as_u16(), replay.headers().get("steam-receipt").is_some()), (409, true), "{receipt:?}");

    let path = format!("/v1/receipts/{id}");
    let signer = Signer { max_cost: 0, authorized: 0, ..world.signer() };
    let read = |headers| world.client.get(world.url(&path)).headers(headers).send();
    let shown = read(signer.headers("GET", &path, b"")).await.unwrap();
    assert_eq!(shown.status(), 200);
    let shown: Value = shown.json().await.unwrap();
    assert_eq!(shown["receipt"].as_str().unwrap(), receipt.to_str().unwrap());
    assert_eq!((&shown["status"], &shown["proof"]), (&json!("unsettled"), &Value::Null));
    assert_eq!(shown["fields"]["usage"]["output"], 3);
    assert_eq!(read(signer.headers("POST", &path, b"")).await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_receipt_is_its_keys_alone() {
    let mut world = World::new(vec![good(false).await.offer(1)]).await;
    let mut other = world.snapshot.keys[0].clone();
    (other.slot, other.epoch, other.key) = (1, 2, SessionKey::from_seed(&[44; 32]).address());
    world.snapshot.slot += 1;
    world.snapshot.keys.push(other);
    world.chain_says();
    let answer = world.chat(json!({})).await;
    let id = answer.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    for path in [format!("/v1/receipts/{id}"), format!("/v1/generation/{id}")] {
        assert_eq!(world.get(&path).await.0, 200);
        let thief = world.client.get(world.url(&path)).bearer_auth(SessionKey::from_seed(&[44; 32]).reveal());
        is(code(thief).await, 404, "not_found");
    }
    let (_, generation) = world.get(&format!("/v1/generation/{id}")).await;
    let (_, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
    let record = crate::relay::testing::world::decode(generation["decision_base64"].as_str().unwrap());
    assert_eq!(receipt["fields"]["routing_hash"], hex::encode(steam_protocol::sha256(&[&record])));
    assert!(!generation["decision"].to_string().contains("say hello"), "no prompts in the record");
}

#[tokio::test]
async fn a_vault_is_shown_to_its_keys() {
    let world = World::new(vec![]).await;
    let (status, vault) = world.get(&format!("/v1/vaults/{VAULT}")).await;
    assert_eq!((status, &vault["balance"]), (200, &json!(100_000_000)));
    let other = crate::chain::Pubkey::new_from_array([5; 32]);
    assert_eq!(world.get(&format!("/v1/vaults/{other}")).await.0, 401);
}

#[tokio::test]
async fn limits_say_when_to_come_back() {
    let slow = Mock::new("slow", vec![Step::Pause(400)]).await;
    let world = World::with(vec![slow.offer(1)], |config| config.server.max_concurrent = 1).await;
    let (_, busy) = tokio::join!(world.chat(json!({})), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.chat(json!({})).await
    });
    assert_eq!(busy.headers()["retry-after"], "1");
    assert_eq!(error(busy).await.0, 429);

    let world = World::with(vec![good(false).await.offer(1)], |c| c.server.requests_per_key_per_minute = 1).await;
    let first = world.chat(json!({})).await;
    assert_eq!(first.status(), 200);
    let told = |name: &str| first.headers()[name].to_str().unwrap();
    assert_eq!((told("x-ratelimit-limit-requests"), told("x-ratelimit-remaining-requests")), ("1", "0"));
    assert_eq!(told("x-ratelimit-reset-requests"), "60000ms");
    let limited = world.chat(json!({})).await;
    let retry_after: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((58..=61).contains(&retry_after), "{retry_after}");
    assert_eq!(error(limited).await.1["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn models_and_providers_are_public_and_name_their_prices() {
    let mut named = good(false).await.offer(1);
    named.model = "vendor/family/model:free".into();
    let world = World::new(vec![named]).await;
    let get = |path: &str| world.client.get(world.url(path)).send();
    let response = get("/v1/models").await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let models: Value = response.json().await.unwrap();
    assert_eq!((&models["object"], &models["data"][0]["object"]), (&json!("list"), &json!("model")));
    let model: Value = get("/v1/models/vendor/family/model:free").await.unwrap().json().await.unwrap();
    assert_eq!(model, models["data"][0]);
    assert_eq!((&model["pricing"]["completion"], &model["name"]), (&json!("0.000002"), &model["id"]));
    assert_eq!(model["top_provider"]["context_length"], 8_192);
    assert!(model["supported_parameters"].as_array().unwrap().contains(&json!("tools")));
    // Clients add queries of other APIs.
    assert_eq!(get("/v1/models?limit=20&after_id=x&order=desc").await.unwrap().json::<Value>().await.unwrap(), models);
    let providers: Value = get("/v1/providers").await.unwrap().json().await.unwrap();
    assert_eq!(providers["data"][0]["blended_usd_per_million"], 1.25);
    assert_eq!(providers["data"][0]["board"]["5m"]["requests"], 0);
}

#[tokio::test]
async fn a_list_is_made_once_for_all_who_ask_and_anew_when_a_price_or_the_policy_changes() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for path in ["/v1/models", "/v1/providers", "/v1/providers?window=1h", "/v1/providers?blend_ratio=2"] {
        let demand = if path.contains("blend") { Demand::Rare } else { Demand::Common };
        let mut again = 0;
        // A machine that is busy may take longer between two requests than a list is kept for.
        for _ in 0..3 {
            let (_, list) = world.get(path).await;
            // Nothing is made meanwhile: whoever is answered is told what was made before.
            let _place = world.node.listings.place(demand).await.unwrap();
            let (status, told) = world.get(path).await;
            assert!(status == 429 || told == list, "{path}: {told}");
            again += u32::from(status == 200);
        }
        assert!(again > 0, "{path}");
    }
    let price = async || world.get("/v1/providers").await.1["data"][0]["price"]["input"].clone();
    assert_eq!(price().await, 1_000_000);
    world.registry.send_modify(|registry| {
        let mut offer = (*registry.offers[0]).clone();
        offer.price.standard.input = 3;
        *registry = std::sync::Arc::new(crate::relay::testing::registry(vec![offer]));
    });
    assert_eq!(price().await, 3, "at once");
    let denied = crate::config::Market { deny_models: vec!["m".into()], ..crate::config::Market::default() };
    world.node.market.reload(denied);
    let (_, listed) = world.get("/v1/providers").await;
    assert!(listed["data"][0]["barred"].is_string(), "{listed}");
}

#[tokio::test]
async fn the_board_shows_what_was_received_in_each_window() {
    let mock = good(true).await;
    let gone = Offer { model: "n".into(), ..Mock::gone("gone").await.offer(2) };
    let world = World::with(vec![mock.offer(1), gone], |config| config.upstream.max_attempts = 1).await;
    for _ in 0..3 {
        assert!(Streamed::read(world.chat(json!({"stream": true})).await).await.receipt.is_some());
    }
    assert_eq!(world.chat(json!({"model": "n", "stream": true})).await.status(), 502);
    let (_, providers) = world.get("/v1/providers").await;
    for window in ["5m", "1h", "72h"] {
        let good = &providers["data"][0]["board"][window];
        assert_eq!((&good["requests"], &good["uptime"]), (&json!(3), &json!(1.0)), "{good}");
        assert_eq!(good["ttft_ms"]["samples"], 3);
        assert!(good["ttft_ms"]["p50"].as_f64() <= good["ttft_ms"]["p99"].as_f64());
        assert_eq!(good["e2e_ms"]["samples"], 3);
        assert_eq!((&good["prompt_tokens"], &good["cache_hit_rate"]), (&json!(60), &json!(0.0)));
        let gone = &providers["data"][1]["board"][window];
        assert_eq!((&gone["requests"], &gone["uptime"], &gone["ttft_ms"]), (&json!(1), &json!(0.0), &Value::Null));
    }
    let (_, model) = world.get("/v1/models/m?window=5m").await;
    assert_eq!(
        (&model["window"], &model["ttft_ms"]),
        (&json!("5m"), &providers["data"][0]["board"]["5m"]["ttft_ms"]["p50"])
    );
}

#[tokio::test]
async fn a_listing_takes_the_queries_it_knows_and_names_what_is_wrong_with_others() {
    let world = World::new(vec![good(false).await.offer(1), good(false).await.offer(2)]).await;
    let provider = world.node.registry.borrow().offers[0].provider;
    let listed = async |query: String| world.get(&format!("/v1/providers?{query}")).await;
    let (_, one) = listed(format!("provider={provider}&model=M&window=1h&blend_ratio=0")).await;
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
    assert_eq!((&one["blend_ratio"], &one["data"][0]["blended_usd_per_million"]), (&json!(0.0), &json!(2.0)));
    let board = &one["data"][0]["board"];
    assert!(board["1h"].is_object() && board["5m"].is_null() && board["72h"].is_null(), "{board}");
    for (query, status, code, param) in [
        ("window=2h", 400, "invalid_value", "window"),
        ("window=", 400, "invalid_value", "window"),
        ("window=5m&window=5m", 400, "invalid_value", "window"),
        ("blend_ratio=-1", 400, "invalid_value", "blend_ratio"),
        ("blend_ratio=NaN", 400, "invalid_value", "blend_ratio"),
        ("blend_ratio=1001", 400, "invalid_value", "blend_ratio"),
        ("provider=nobody", 400, "invalid_value", "provider"),
        ("model=other", 404, "model_not_found", "model"),
        ("provider=11111111111111111111111111111111", 404, "not_found", ""),
    ] {
        let (got, body) = listed(query.into()).await;
        assert_eq!((got, body["error"]["code"].as_str()), (status, Some(code)), "{query}: {body}");
        assert_eq!(body["error"]["param"].as_str().unwrap_or_default(), param, "{query}");
    }
    assert_eq!(world.get("/v1/models?window=x").await.0, 400);
    // What means nothing here is ignored: clients add what other APIs know.
    for path in ["/v1/models?model=m", "/v1/models/m?provider=x", "/v1/providers?limit=3"] {
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn readiness_follows_the_ledger_the_registry_and_shutdown() {
    let world = World::with(vec![], |config| config.upstream.localnet = false).await;
    assert_eq!(world.get("/ready").await.0, 200);
    let mut stale = (**world.node.registry.borrow()).clone();
    stale.read_at -= std::time::Duration::from_secs(121);
    world.registry.send_replace(std::sync::Arc::new(stale));
    let (status, report) = world.get("/ready").await;
    assert_eq!((status, &report["registry_fresh"]), (503, &json!(false)));
    world.node.shutdown.cancel();
    assert_eq!(world.get("/ready").await.1["draining"], true);
    assert_eq!(error(world.chat(json!({})).await).await.1["code"], "not_ready");
}

#[tokio::test]
async fn metrics_count_what_happened_and_name_no_client() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    assert_eq!(world.chat(json!({})).await.status(), 200);
    assert_eq!(world.chat(json!({"model": "made-up-name"})).await.status(), 404);
    let text = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"steam_requests_total{route="/v1/chat/completions",status="200"} 1"#,
        r#"steam_requests_total{route="/v1/chat/completions",status="404"} 1"#,
        r#"steam_charges_total{by="provider"} 1"#,
        r#"steam_tokens_total{direction="output"} 3"#,
        "steam_holds_total 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("made-up-name"));
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let served = world.chat(json!({})).await;
    for name in ["x-request-id", "request-id"] {
        assert_eq!(served.headers()[name], served.headers()["steam-generation-id"]);
    }
    let mut ids = Vec::new();
    for path in ["/v1/models", "/v1/nothing", "/health", "/v1/receipts/x"] {
        let answer = world.client.get(world.url(path)).send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(id.starts_with("req-") && !ids.contains(&id), "{path}: {id}");
        ids.push(id);
    }
    let wrong = world.post("{").await;
    assert_eq!(wrong.status(), 400);
    assert!(wrong.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn what_is_answered_to_whoever_says_who_it_is_is_kept_by_nobody() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let kept = async |name: Option<&str>| {
        let request = world.client.get(world.url("/v1/models"));
        let request = name.into_iter().fold(request, |request, name| request.header(name, "x"));
        let answer = request.send().await.unwrap();
        answer.headers().get("cache-control").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_ne!(kept(None).await.as_deref(), Some("no-store"));
    for name in ["authorization", "x-api-key", "api-key"].into_iter().chain(SIGNATURE_HEADERS) {
        assert_eq!(kept(Some(name)).await.as_deref(), Some("no-store"), "{name}");
    }
    let streamed = world.chat(json!({"stream": true})).await;
    assert_eq!(streamed.headers()["cache-control"], "no-store");
}
