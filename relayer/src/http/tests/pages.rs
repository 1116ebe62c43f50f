//! What clients and browsers expect around the API: the spellings of a path, other origins, and lists in their own form.

use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, request};
use reqwest::Method;
use serde_json::{Value, json};

const ORIGIN: &str = "https://page.example";

#[tokio::test]
async fn a_path_may_be_spelt_in_every_way_that_clients_join_it() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    for path in ["/chat/completions", "/v1/chat/completions/", "//v1//chat/completions", "/v1/chat/completions"] {
        assert_eq!(world.post_to(path, request(json!({})).to_string()).await.status(), 200, "{path}");
    }
    for path in ["/models", "/v1/models/", "/v1/models?limit=20", "/models/m/", "/providers"] {
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
    assert_eq!(world.get("/completions/of/nothing").await.0, 404);
}

#[tokio::test]
async fn a_signature_is_of_the_path_that_was_sent() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let body = request(json!({"max_tokens": 10})).to_string();
    let send = |signed: &str, path: &str| {
        let headers = world.signer().headers("POST", signed, body.as_bytes());
        world
            .client
            .post(world.url(path))
            .headers(headers)
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
    };
    assert_eq!(send("/v1/chat/completions", "/chat/completions").await.unwrap().status(), 401);
    assert_eq!(send("/chat/completions", "/chat/completions").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_page_of_another_origin_may_call_everything_that_takes_a_key() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let ask = |path: &str, wanted: &'static str| {
        let request = world.client.request(Method::OPTIONS, world.url(path)).header("origin", ORIGIN);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", wanted).send()
    };
    for path in ["/v1/chat/completions", "/responses", "/v1/messages", "/v1/receipts/x", "/v1/models"] {
        let response = ask(path, "authorization,steam-route-sort").await.unwrap();
        assert_eq!(response.status(), 204, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("access-control-allow-origin"), "*");
        assert_eq!(header("access-control-allow-headers"), "authorization,steam-route-sort");
        assert!(header("access-control-allow-methods").contains("POST"));
    }
    for path in ["/metrics", "/health", "/nothing"] {
        assert_ne!(ask(path, "x").await.unwrap().status(), 204, "{path}");
    }
    let answered = world.post_to("/v1/chat/completions", request(json!({})).to_string()).await;
    assert_eq!(answered.headers()["access-control-allow-origin"], "*");
    assert!(answered.headers()["access-control-expose-headers"].to_str().unwrap().contains("steam-receipt"));
    let refused = world.client.post(world.url("/v1/chat/completions")).body("{}").send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["access-control-allow-origin"]),
        (401, &"*".parse().unwrap())
    );
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap();
    assert!(!metrics.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn models_and_errors_have_the_form_of_the_api_whose_version_is_named() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let get = async |path: &str| {
        let request = world.client.get(world.url(path)).header("anthropic-version", "2023-06-01");
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let model = json!({
        "type": "model", "id": "m", "display_name": "m", "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
        "max_input_tokens": 8_192, "max_tokens": 4_096,
    });
    let list = json!({"data": [model], "has_more": false, "first_id": "m", "last_id": "m"});
    assert_eq!(get("/v1/models?limit=20").await, (200, list));
    assert_eq!(get("/v1/models/m").await, (200, model));
    let (status, wrong) = get("/v1/models/nobody").await;
    assert_eq!((status, &wrong["type"], &wrong["error"]["type"]), (404, &json!("error"), &json!("not_found_error")));
    assert_eq!(world.get("/v1/models").await.1["object"], "list");
}

#[tokio::test]
async fn a_client_that_tries_a_websocket_is_told_to_post() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let get = || world.client.get(world.url("/v1/responses"));
    let upgrade = get().header("connection", "upgrade").header("upgrade", "websocket").send().await.unwrap();
    assert_eq!(upgrade.status(), 426);
    assert_eq!(get().send().await.unwrap().status(), 405);
}
