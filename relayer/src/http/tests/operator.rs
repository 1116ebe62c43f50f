//! The operator's listener: who is let in, what is shown, and that the public one has none of it.

use crate::http::{OperatorToken, operator_router};
use crate::node::held::Held;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::World;
use serde_json::{Value, json};
use std::future::IntoFuture;
use std::sync::Arc;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A relayer, and the base URL of its operator's listener.
async fn world() -> (World, String) {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = Arc::new(Held::default());
    held.insert(0, world.node.clone());
    let router = operator_router(world.node.shared.clone(), held, OperatorToken::read(TOKEN).unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    (world, url)
}

#[test]
fn a_token_is_long_and_plain_and_never_shown() {
    for wrong in ["", "short", &TOKEN[1..], &format!("{} {}", &TOKEN[..16], &TOKEN[..16]), &format!("{TOKEN}\n{TOKEN}")]
    {
        assert!(OperatorToken::read(wrong).is_none(), "{wrong}");
    }
    let token = OperatorToken::read(&format!("{TOKEN}\n")).unwrap();
    assert_eq!(format!("{token:?}"), "OperatorToken");
}

#[tokio::test]
async fn only_the_token_in_its_header_and_from_its_own_page_is_let_in() {
    let (world, url) = world().await;
    let path = format!("{url}/v1/operator");
    let get = |path: &str| world.client.get(path.to_owned());
    let longer = format!("{TOKEN}0");
    for (what, request, status, code) in [
        ("nothing", get(&path), 401, "wrong_operator_token"),
        ("another token", get(&path).bearer_auth(TOKEN.to_uppercase()), 401, "wrong_operator_token"),
        ("a longer one", get(&path).bearer_auth(&longer), 401, "wrong_operator_token"),
        ("another scheme", get(&path).header("authorization", format!("Basic {TOKEN}")), 401, "wrong_operator_token"),
        ("an API key", get(&path).bearer_auth(world.key().reveal()), 401, "wrong_operator_token"),
        ("in the address", get(&format!("{path}?token={TOKEN}")), 400, "token_in_address"),
        ("in both", get(&format!("{path}?token={TOKEN}")).bearer_auth(TOKEN), 400, "token_in_address"),
        ("another name", get(&path).bearer_auth(TOKEN).header("host", "evil.example"), 400, "foreign_origin"),
        ("another page", get(&path).bearer_auth(TOKEN).header("origin", "https://evil.example"), 400, "foreign_origin"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{what}");
        assert!(answer.headers().get("access-control-allow-origin").is_none(), "{what}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{what}");
        assert!(!body.to_string().contains(TOKEN), "{what}");
    }
    let own = get(&path).bearer_auth(TOKEN).header("origin", &url).send().await.unwrap();
    assert_eq!(own.status(), 200);
    assert_eq!(world.client.post(&path).bearer_auth(TOKEN).send().await.unwrap().status(), 405, "it only reads");
}

#[tokio::test]
async fn the_public_listener_has_nothing_of_it() {
    let (world, _) = world().await;
    for path in ["/v1/operator", "/operator.js", "/operator.html", "/operator"] {
        let answer = world.client.get(world.url(path)).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn the_page_cannot_be_framed_and_loads_nothing_but_its_own() {
    let (world, url) = world().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/operator.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/nowhere", "application/json"),
        ("/v1/operator", "application/json"),
    ] {
        let answer = world.client.get(format!("{url}{path}")).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind, "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!((header("x-frame-options"), header("x-content-type-options")), ("DENY".into(), "nosniff".into()));
    }
}

#[tokio::test]
async fn what_the_relayer_does_is_shown_without_its_words() {
    let (world, url) = world().await;
    let asked = json!({"messages": [{"role": "user", "content": "a secret question"}]});
    assert_eq!(world.chat(asked).await.status(), 200);
    assert_eq!(world.get("/v1/receipts?since=x").await.0, 400);
    world.settled_down().await;
    let answer = world.client.get(format!("{url}/v1/operator")).bearer_auth(TOKEN).send().await.unwrap();
    let told: Value = answer.json().await.unwrap();
    let text = told.to_string();
    for secret in ["a secret question", &world.key().reveal()[..], TOKEN] {
        assert!(!text.contains(secret), "{secret} is shown");
    }
    assert_eq!(told["readiness"]["relayer_active"], true);
    assert_eq!((&told["vaults_in_all"], &told["vaults"][0]["unsettled_pico"]), (&json!(1), &json!("26260000")));
    let seen: Vec<_> =
        told["requests"].as_array().unwrap().iter().map(|one| (&one["route"], &one["status"], &one["code"])).collect();
    assert_eq!(
        seen,
        [
            (&json!("/v1/receipts"), &json!(400), &json!("invalid_value")),
            (&json!("/v1/chat/completions"), &json!(200), &Value::Null)
        ]
    );
    assert_eq!(told["configuration"]["upstream"]["localnet"], true);
    assert_eq!((&told["incidents"], &told["fees"]), (&json!([]), &json!([])));
}
