//! Owners that sign in: what signs nobody in, what a session sees, and that it can do nothing else.

use crate::node::sessions::SESSION_MS;
use crate::relay::testing::VAULT;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, owner};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;

async fn answered(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A challenge for `wallet`, and what it sends back.
pub(super) async fn signed(world: &World, wallet: &Keypair) -> Value {
    let body = json!({"address": wallet.pubkey().to_string()});
    let (status, asked) = answered(world.client.post(world.url("/v1/sign-in")).json(&body)).await;
    assert_eq!(status, 200, "{asked}");
    let signature = wallet.sign_message(asked["message"].as_str().unwrap().as_bytes());
    json!({"address": asked["address"], "nonce": asked["nonce"], "signature": STANDARD.encode(signature)})
}

/// The session of `wallet`.
pub(super) async fn session(world: &World, wallet: &Keypair) -> Value {
    let (status, session) = open(world, &signed(world, wallet).await).await;
    assert_eq!(status, 200, "{session}");
    session
}

async fn open(world: &World, body: &Value) -> (u16, Value) {
    answered(world.client.post(world.url("/v1/sessions")).json(body)).await
}

pub(super) async fn get(world: &World, token: &Value, path: &str) -> (u16, Value) {
    answered(world.client.get(world.url(path)).bearer_auth(token.as_str().unwrap())).await
}

#[tokio::test]
async fn an_owner_sees_what_all_keys_of_the_vault_used_and_nothing_of_others() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let keys = world.vaults(2);
    for key in &keys {
        assert_eq!(world.chat_as(key, json!({})).await.status(), 200);
    }
    world.settled_down().await;
    let (_, others) = answered(world.client.get(world.url("/v1/receipts")).bearer_auth(keys[1].reveal())).await;
    // Both vaults of this world name the same owner: the second one is given to another.
    let mut snapshots = vec![world.snapshot.clone(), world.snapshot.clone()];
    snapshots[1].address = crate::chain::Pubkey::new_from_array([1 ^ 0xb0; 32]);
    snapshots[1].owner = crate::chain::Pubkey::new_from_array([77; 32]);
    snapshots[1].keys[0].key = keys[1].address();
    world.node.vaults.update(&snapshots, crate::relay::testing::NOW, 100);

    let session = session(&world, &owner()).await;
    assert_eq!((&session["vault"], &session["provider"]), (&json!(VAULT.to_string()), &Value::Null));
    let token = &session["token"];
    let (status, listed) = get(&world, token, "/v1/receipts").await;
    assert_eq!((status, listed["data"].as_array().unwrap().len()), (200, 1), "{listed}");
    let own = &listed["data"][0];
    assert_eq!(own["fields"]["vault"], VAULT.to_string());
    assert_eq!(own["key"], bs58::encode(keys[0].address()).into_string());
    let id = own["id"].as_str().unwrap();
    for path in ["/v1/receipts/", "/v1/generation/"] {
        assert_eq!(get(&world, token, &format!("{path}{id}")).await.0, 200, "{path}");
        let other = others["data"][0]["id"].as_str().unwrap();
        assert_eq!(get(&world, token, &format!("{path}{other}")).await.0, 404, "{path} of another owner's vault");
        assert_eq!(get(&world, token, &format!("/v1/receipts?after={other}")).await.0, 400);
    }
    let (_, usage) = get(&world, token, "/v1/usage?group_by=key").await;
    assert_eq!((usage["data"].as_array().unwrap().len(), &usage["data"][0]["key"]), (1, &own["key"]));
    assert_eq!(get(&world, token, &format!("/v1/vaults/{VAULT}")).await.0, 200);
    assert_eq!(get(&world, token, &format!("/v1/vaults/{}", snapshots[1].address)).await.0, 404);
}

#[tokio::test]
async fn a_session_spends_nothing_and_changes_nothing() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let session = session(&world, &owner()).await;
    let token = session["token"].as_str().unwrap();
    let document: Value = serde_json::from_str(&json!(crate::http::document()).to_string()).unwrap();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schemes = operation["security"].as_array().cloned().unwrap_or_default();
            let takes = schemes.iter().any(|scheme| scheme.get("session").is_some());
            assert!(!takes || method == "get" || path == "/v1/sessions", "{method} {path} is more than reading");
            if takes || schemes.is_empty() {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = world.client.request(method, world.url(&path.replace("{id}", "x")));
            let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5, "prompt": "x", "input": "x"});
            let (status, answer) = answered(request.bearer_auth(token).json(&body)).await;
            assert_eq!(status, 401, "{path}: {answer}");
            tried += 1;
        }
    }
    assert!(tried >= 6, "{tried}");
    assert_eq!(world.settled_down().await.1.0, 0, "nothing was charged");
}

#[tokio::test]
async fn what_is_replayed_tampered_with_or_of_another_signs_nobody_in() {
    let world = World::new(vec![]).await;
    let body = signed(&world, &owner()).await;
    let changed = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    let stranger = Keypair::new_from_array([55; 32]);
    for (wrong, status, code) in [
        (changed("signature", json!(STANDARD.encode([7; 64]))), 401, "sign_in_not_signed"),
        (changed("nonce", json!("00")), 401, "sign_in_unknown"),
        (changed("signature", json!("x")), 400, "invalid_value"),
        (changed("address", json!("x")), 400, "invalid_value"),
        (changed("address", json!(stranger.pubkey().to_string())), 401, "unknown_owner"),
        (json!({"address": "x"}), 400, "malformed_body"),
        (signed(&world, &stranger).await, 401, "unknown_owner"),
    ] {
        let (told, answer) = open(&world, &wrong).await;
        assert_eq!((told, &answer["error"]["code"]), (status, &json!(code)), "{wrong}");
    }
    assert_eq!(open(&world, &body).await.0, 200);
    let (status, again) = open(&world, &body).await;
    assert_eq!((status, &again["error"]["code"]), (401, &json!("sign_in_used")));
}

#[tokio::test]
async fn a_session_ends_with_its_time_or_when_it_is_ended() {
    let world = World::new(vec![]).await;
    let session = session(&world, &owner()).await;
    let token = &session["token"];
    let until = crate::relay::testing::NOW + SESSION_MS / 1_000;
    assert_eq!(session["expires_at"], until);
    assert_eq!(get(&world, token, "/v1/receipts").await.0, 200);
    let ending = || world.client.delete(world.url("/v1/sessions")).bearer_auth(token.as_str().unwrap());
    assert_eq!(answered(ending()).await, (200, json!({"object": "session", "ended": true})));
    for (status, answer) in [get(&world, token, "/v1/receipts").await, answered(ending()).await] {
        assert_eq!((status, &answer["error"]["code"]), (401, &json!("no_session")));
    }
}

#[tokio::test]
async fn a_wallet_signs_in_at_the_relayers_own_address_alone() {
    let world = World::with(vec![], |config| config.upstream.localnet = false).await;
    let ask = |host: &str, origin: Option<&str>| {
        let body = json!({"address": owner().pubkey().to_string()});
        let request = world.client.post(world.url("/v1/sign-in")).header("host", host).json(&body);
        answered(origin.into_iter().fold(request, |request, origin| request.header("origin", origin)))
    };
    let (status, asked) = ask("localhost:8787", Some("http://localhost:8787")).await;
    assert_eq!((status, &asked["domain"]), (200, &json!("localhost:8787")), "{asked}");
    assert!(asked["message"].as_str().unwrap().starts_with("localhost:8787 wants you to sign in"));
    for (host, origin, param) in [
        ("evil.example", None, "host"),
        ("127.0.0.1:8787", None, "host"),
        ("localhost:8787", Some("https://evil.example"), "origin"),
        ("localhost:8787", Some("null"), "origin"),
    ] {
        let (status, answer) = ask(host, origin).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(param)), "{host} {origin:?}");
    }
    // What was asked for at one address cannot be used at another.
    let local = World::new(vec![]).await;
    let body = signed(&local, &owner()).await;
    let elsewhere = local.client.post(local.url("/v1/sessions")).header("host", "localhost:9999").json(&body);
    let (status, answer) = answered(elsewhere).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("sign_in_unknown")));
}
