//! What the commands tell a relayer, and what they believe of its answers.

use super::*;
use crate::relay::testing::world::World;
use axum::Json;
use axum::http::StatusCode as Status;
use axum::routing::{get, put};
use serde_json::json;

fn providers(bytes: &[u8]) -> AllowList {
    AllowList::new(bytes.iter().map(|byte| [*byte; 32]).collect()).unwrap()
}

async fn serve(routes: axum::Router) -> RelayerApi {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, routes).into_future());
    at(&format!("http://{address}/v1"))
}

fn at(base: &str) -> RelayerApi {
    RelayerApi::new(base).unwrap()
}

#[tokio::test]
async fn a_list_that_was_sent_is_shown() {
    let (mut world, list) = (World::new(vec![]).await, providers(&[1, 2, 3]));
    world.snapshot.slot += 1;
    world.snapshot.keys[0].allow_root = Some(list.root());
    world.chain_says();
    let base = at(&world.url("/v1"));
    assert_eq!(show(&base, &list.root()).await.providers, None);
    send(&base, &list, Format::Json).await.unwrap();
    assert_eq!(show(&base, &list.root()).await, Shown::of(&list));
    let mut text = Vec::new();
    show(&base, &list.root()).await.text(&mut text, "  ").unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3);
}

#[tokio::test]
async fn a_relayer_that_has_not_seen_the_key_yet_is_asked_again() {
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = tries.clone();
    let answer = move || async move {
        if seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            (Status::NOT_FOUND, Json(json!({"error": {"code": "allow_list_not_named", "message": "not yet"}})))
        } else {
            (Status::OK, Json(json!({})))
        }
    };
    let base = serve(axum::Router::new().route("/v1/allow-lists", put(answer))).await;
    send(&base, &providers(&[1]), Format::Json).await.unwrap();
    assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_relayer_that_does_not_take_the_list_is_named_with_what_to_do() {
    let refusing = || async { (Status::SERVICE_UNAVAILABLE, Json(json!({"error": {"message": "it is full"}}))) };
    let base = serve(axum::Router::new().route("/v1/allow-lists", put(refusing))).await;
    let elsewhere = serve(axum::Router::new()).await;
    for (base, says) in [(base, "it is full"), (elsewhere, "status 404"), (at("http://127.0.0.1:1"), "refused")] {
        let error = send(&base, &providers(&[1]), Format::Json).await.unwrap_err().to_string();
        assert!(error.contains(base.base()) && error.contains(says) && error.contains("steam key allow"), "{error}");
    }
}

#[tokio::test]
async fn a_relayer_is_believed_only_if_it_shows_the_list_of_the_root() {
    let list = providers(&[1, 2]);
    let ours = Shown::of(&list).providers.unwrap();
    let too_many: Vec<String> = (0..70u8).map(|n| bs58::encode([n; 32]).into_string()).collect();
    for (answer, believed) in [
        (json!({ "providers": ours }), true),
        (json!({ "providers": ours[..1] }), false),
        (json!({ "providers": [] }), false),
        (json!({ "providers": too_many }), false),
        (json!({ "providers": ["nonsense"] }), false),
        (json!({ "providers": "nonsense" }), false),
        (json!(["nonsense", "x".repeat(100_000)]), false),
    ] {
        let routes = axum::Router::new().route("/v1/allow-lists/{root}", get(move || async move { Json(answer) }));
        let shown = show(&serve(routes).await, &list.root()).await;
        assert_eq!(shown.providers.is_some(), believed);
        let mut text = Vec::new();
        shown.text(&mut text, "").unwrap();
        assert!(believed || String::from_utf8(text).unwrap().contains(&hex::encode(list.root())));
    }
}

#[test]
fn a_list_is_bounded() {
    let many: Vec<Pubkey> = (0..65).map(|n| Pubkey::new_from_array([n; 32])).collect();
    assert!(list(&many).unwrap_err().to_string().contains("at most 64"));
    assert_eq!(list(&many[..64]).unwrap().providers().len(), 64);
}
