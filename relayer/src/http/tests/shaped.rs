//! One client's failures are its own: what it shapes teaches nothing to others, it closes nobody alone, and it spends nothing
//! of others' budgets.

use crate::board::Suspicion;
use crate::chain::Pubkey;
use crate::registry::Offer;
use crate::relay::testing::mock::{HELLO, Mock, Step, answer, good, head};
use crate::relay::testing::world::{Streamed, World, error};
use crate::relay::testing::{NOW, cheap, offer};
use axum::http::StatusCode;
use serde_json::json;
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use steam_protocol::key::SessionKey;
use tokio::net::TcpListener;

const HONEST: Pubkey = Pubkey::new_from_array([1; 32]);

/// An honest provider, which breaks over what a client bends, and the requests it served.
async fn honest() -> (Offer, Arc<AtomicUsize>) {
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let answer_to = move |body: String| async move {
        let silenced = ["allowed_token_ids", "\"logit_bias\":{", "silence"].iter().any(|word| body.contains(word));
        count.fetch_add(usize::from(!silenced), Ordering::SeqCst);
        let answer = json!({"id": "c", "object": "chat.completion", "created": 5, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 3}});
        if silenced {
            return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({"error": {"message": "no word is left"}})));
        }
        (StatusCode::OK, axum::Json(answer))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(answer_to));
    tokio::spawn(axum::serve(listener, router).into_future());
    (Offer { url: format!("http://127.0.0.1:{port}/v1"), ..offer("honest", 1) }, served)
}

async fn plain(world: &World, key: &SessionKey, n: usize) {
    for number in 0..n {
        let words = json!([{"role": "user", "content": format!("hi {number}")}]);
        assert_eq!(world.chat_as(key, json!({"messages": words})).await.status(), 200);
    }
}

async fn two_providers() -> (World, Arc<AtomicUsize>) {
    let (honest, served) = honest().await;
    let other = good(false).await;
    let world = World::with(vec![cheap(honest), other.offer(2)], crate::relay::testing::cost_alone).await;
    (world, served)
}

#[tokio::test]
async fn what_a_client_shapes_is_no_evidence_for_anybody_else() {
    let silence = json!([{"role": "user", "content": "silence"}]);
    for shape in [
        json!({"allowed_token_ids": [2]}),
        json!({"allowed_token_ids": [2], "provider": {"only": ["honest"]}}),
        json!({"messages": silence, "provider": {"only": ["honest"]}}),
        json!({"messages": silence, "provider": {"order": ["honest"]}}),
        json!({"messages": silence, "provider": {"sort": "price"}}),
        json!({"messages": silence, "provider": {"max_price": {"completion": 1}}}),
        json!({"messages": silence, "model": "m:floor"}),
        json!({"logit_bias": {"2": 100}}),
    ] {
        let (world, served) = two_providers().await;
        let keys = world.vaults(2);
        for _ in 0..20 {
            world.chat_as(&keys[0], shape.clone()).await;
        }
        let figures = world.node.board.figures_of(&HONEST, NOW * 1_000).minutes5;
        assert_eq!(figures.requests, 0, "{shape}: the board counts what the relayer chose");
        let live = world.node.scorer.live_figures(&HONEST, tokio::time::Instant::now());
        assert_eq!((live.uptime, live.available), (None, true), "{shape}");
        assert!(world.node.board.flags(&HONEST).is_empty(), "{shape}");
        plain(&world, &keys[1], 10).await;
        assert_eq!(served.load(Ordering::SeqCst), 10, "{shape}: everybody else is served by it as before");
    }
}

#[tokio::test]
async fn usual_members_leave_a_request_evidence() {
    let (world, served) = two_providers().await;
    let usual = [
        json!({"stop": ["\n\n"], "max_tokens": 16}),
        json!({"stop": null, "logit_bias": null}),
        json!({"min_p": 0.1, "repetition_penalty": 1.1, "top_k": 40}),
        json!({"reasoning": {"effort": "low"}, "include_reasoning": true}),
        json!({"prompt_cache_options": {"ttl": "30m"}, "prompt_cache_key": "k"}),
        json!({"cache_control": {"type": "ephemeral"}}),
        json!({"usage": {"include": true}, "transforms": ["middle-out"]}),
        json!({"provider": {"max_price": {"completion": 1000}}}),
        json!({"provider": {"allow_fallbacks": true, "data_collection": "allow"}}),
    ];
    let count = usual.len();
    for members in usual {
        assert_eq!(world.chat(members.clone()).await.status(), 200, "{members}");
    }
    let figures = world.node.board.figures_of(&HONEST, NOW * 1_000).minutes5;
    assert_eq!((served.load(Ordering::SeqCst), figures.requests), (count, count as u64));
    assert_eq!(figures.uptime, Some(1.0));
}

/// An answer of nothing, which is whole.
const NOTHING: &str = r#"{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":0}}"#;

#[tokio::test]
async fn who_says_where_an_answer_ends_shows_nothing_of_lengths_and_emptiness() {
    let silent = r#"{"choices":[{"message":{"role":"assistant","content":""}}]}"#;
    for (body, stop, requests, flagged) in
        [(NOTHING, json!(["h"]), 60, false), (NOTHING, json!([]), 60, true), (silent, json!(["h"]), 0, false)]
    {
        let mock = Mock::new("honest", answer("200 OK", body)).await;
        let world = World::with(vec![mock.offer(1)], |config| config.upstream.max_attempts = 1).await;
        let keys = world.vaults(2);
        for number in 0..60 {
            let words = json!([{"role": "user", "content": format!("say {number}")}]);
            world.chat_as(&keys[number % 2], json!({"messages": words, "stop": stop})).await;
        }
        world.settled_down().await;
        let figures = world.node.board.figures_of(&HONEST, NOW * 1_000).minutes5;
        let flags = world.node.board.flags(&HONEST);
        assert_eq!((figures.requests, !flags.is_empty()), (requests, flagged), "{body} {stop}: {flags:?}");
        assert_eq!(world.node.board.lengths().output(0.5).is_some(), flagged, "{body} {stop}");
        assert!(world.node.scorer.live_figures(&HONEST, tokio::time::Instant::now()).available, "{body} {stop}");
    }
}

#[tokio::test]
async fn a_key_that_may_pay_few_or_signs_little_takes_part_in_the_choice() {
    let (world, _) = two_providers().await;
    let registry = world.node.registry.borrow().clone();
    // Signed for less than the dearer provider may cost.
    let body = crate::relay::testing::world::request(
        json!({"max_tokens": 1_000, "messages": [{"role": "user", "content": "silence"}]}),
    );
    let mut signer = crate::relay::testing::Signer::new(&registry);
    for nonce in 0..4 {
        (signer.nonce, signer.max_cost) = ([nonce; 16], 1_000);
        let headers = signer.headers("POST", "/v1/chat/completions", body.to_string().as_bytes());
        let post = world.client.post(world.url("/v1/chat/completions")).headers(headers).body(body.to_string());
        assert_eq!(error(post.send().await.unwrap()).await.0, 502);
    }
    assert_eq!(world.node.board.figures_of(&HONEST, NOW * 1_000).minutes5.requests, 0);
}

#[tokio::test]
async fn one_vault_closes_a_provider_to_itself_and_two_to_everybody() {
    let bad = Mock::new("bad", answer("500 X", "")).await;
    let good = good(false).await;
    let other = Offer { model: "n".into(), ..good.offer(2) };
    let world = World::with(vec![bad.offer(1), other], |config| config.upstream.max_attempts = 1).await;
    let keys = world.vaults(3);
    let open_to_all = || world.node.scorer.live_figures(&HONEST, tokio::time::Instant::now()).available;
    for _ in 0..8 {
        assert_eq!(error(world.chat_as(&keys[0], json!({})).await).await.0, 502);
    }
    assert!(open_to_all(), "one vault closes it to nobody else");
    // To itself it does: the other model that it names comes first.
    let before = bad.count();
    assert_eq!(world.chat_as(&keys[0], json!({"models": ["n"]})).await.status(), 200);
    assert_eq!(bad.count(), before);
    assert_eq!(error(world.chat_as(&keys[1], json!({})).await).await.0, 502);
    assert!(!open_to_all(), "two vaults agree: nobody else has to find out");
    let before = bad.count();
    assert_eq!(world.chat_as(&keys[2], json!({"models": ["n"]})).await.status(), 200);
    assert_eq!(bad.count(), before);
}

#[tokio::test]
async fn nobody_spends_the_retries_of_others() {
    let (dead, bad, good) =
        (Mock::new("dead", answer("500 X", "")).await, Mock::new("bad", answer("500 X", "")).await, good(false).await);
    let of = |model: &str, mock: &Mock, seed| Offer { model: model.into(), ..mock.offer(seed) };
    let offers = vec![of("mine", &dead, 1), of("mine", &dead, 2), of("m", &bad, 3), of("m", &good, 4)];
    let world = World::with(offers, |config| {
        (config.upstream.retry_percent, config.upstream.retries_per_second) = (1.0, 0.0);
    })
    .await;
    let keys = world.vaults(2);
    for _ in 0..40 {
        assert_eq!(error(world.chat_as(&keys[0], json!({"model": "mine"})).await).await.0, 502);
    }
    for _ in 0..20 {
        let order = json!({"provider": {"order": ["bad", "good"]}});
        assert_eq!(world.chat_as(&keys[1], order).await.status(), 200);
    }
}

#[tokio::test]
async fn an_answer_cut_by_the_relayers_own_deadline_is_nobodys_fault() {
    let steady: Vec<Step> = (0..60).flat_map(|_| [Step::Say(format!("data: {HELLO}\n\n")), Step::Pause(50)]).collect();
    let steps = [vec![head("200 OK", "text/event-stream")], steady].concat();
    let world = World::with(vec![Mock::new("steady", steps).await.offer(1)], |config| {
        (config.upstream.total_timeout_ms, config.upstream.idle_timeout_ms) = (400, 5_000);
    })
    .await;
    for _ in 0..3 {
        let streamed = Streamed::read(world.chat(json!({"stream": true})).await).await;
        let last = streamed.events.last().unwrap();
        assert_eq!((&last["error"]["code"], streamed.done), (&json!("out_of_time"), false), "{last}");
        assert!(streamed.receipt.is_some(), "what was delivered is charged");
    }
    world.settled_down().await;
    assert_eq!(world.node.board.figures_of(&HONEST, NOW * 1_000).minutes5.requests, 0);
    assert_eq!(world.node.scorer.live_figures(&HONEST, tokio::time::Instant::now()).uptime, None);
    assert!(!world.node.board.flags(&HONEST).iter().any(|flag| flag.reason == Suspicion::Cut));
}
