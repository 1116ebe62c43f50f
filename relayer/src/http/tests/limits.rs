//! The output limit of an answer: the client's, or the one that it is told of.

use crate::relay::testing::mock::{Mock, answer, good, stream};
use crate::relay::testing::world::{Streamed, World};
use serde_json::{Value, json};
use steam_protocol::units::MicroUsdc;
use steam_router::state::capability;

const TOLD: &str = "steam-max-tokens";

fn sent(mock: &Mock) -> Value {
    serde_json::from_str(&mock.requests.lock().unwrap().last().unwrap().1).unwrap()
}

async fn told(world: &World, members: Value) -> Option<String> {
    let response = world.chat(members).await;
    assert_eq!(response.status(), 200);
    response.headers().get(TOLD).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_limit_that_is_not_the_clients_is_told_in_a_header_and_in_the_decision() {
    let mock = good(false).await;
    let world = World::new(vec![mock.offer(1)]).await;
    assert_eq!(told(&world, json!({"max_tokens": 4096})).await, None);
    for (members, field) in [
        (json!({"max_tokens": 32_000}), "max_tokens"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_completion_tokens": 4_294_967_296_u64}), "max_completion_tokens"),
        // The offer says that its models reason.
        (json!({}), "max_completion_tokens"),
    ] {
        assert_eq!(told(&world, members.clone()).await.as_deref(), Some("4096"), "{members}");
        assert_eq!(sent(&mock)[field], 4_096, "{members}");
    }
    let response = world.chat(json!({"max_completion_tokens": 32_000})).await;
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let decision = world.decision(&id).await;
    assert_eq!(decision["routes"][0]["candidates"][0]["max_output"], 4_096);

    let strict = json!({"max_tokens": 32_000, "provider": {"require_parameters": true}});
    assert_eq!(world.chat(strict).await.status(), 400);
}

#[tokio::test]
async fn a_vault_with_little_money_buys_as_long_an_answer_as_it_can_hold() {
    let mock = good(false).await;
    let mut world = World::with(vec![mock.offer(1)], |config| config.market.min_vault_microusdc = 0).await;
    world.snapshot.balance = MicroUsdc(5_000);
    world.chain_says();
    let told: u64 = told(&world, json!({})).await.unwrap().parse().unwrap();
    assert!((1_000..1_300).contains(&told), "half of 5,000 \u{b5}USDC at 2 each: {told}");
    assert_eq!(sent(&mock)["max_completion_tokens"], told);
    // A client's own limit is not lowered for money: it is told what is missing.
    assert_eq!(world.chat(json!({"max_tokens": 4_096})).await.status(), 402);
}

#[tokio::test]
async fn a_stream_that_begins_before_anyone_answers_tells_the_highest_limit() {
    use crate::relay::testing::mock::{HELLO, ROLE, STOP, Step, USAGE};
    let mut steps = vec![Step::Pause(120)];
    steps.extend(stream(&[ROLE, HELLO, STOP, USAGE, "[DONE]"]));
    let mock = Mock::new("slow", steps).await;
    let world = World::with(vec![mock.offer(1)], |config| config.upstream.keep_alive_ms = 20).await;
    let response = world.chat(json!({"stream": true})).await;
    assert_eq!(response.headers()[TOLD], "4096");
    assert!(Streamed::read(response).await.done);
}

#[tokio::test]
async fn every_dialect_lowers_its_own_field() {
    let hello = json!([{"role": "user", "content": "say hello"}]);
    let message = r#"{"id":"1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}"#;
    let response = r#"{"id":"1","object":"response","status":"completed","model":"m","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello"}]}],"usage":{"input_tokens":3,"output_tokens":1}}"#;
    let completion = r#"{"id":"1","object":"text_completion","model":"m","choices":[{"index":0,"text":"hello","finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
    for (path, bit, field, body, answered) in [
        ("/v1/messages", capability::MESSAGES, "max_tokens", json!({"messages": hello}), message),
        ("/v1/responses", capability::RESPONSES, "max_output_tokens", json!({"input": "say hello"}), response),
        ("/v1/completions", capability::COMPLETIONS, "max_tokens", json!({"prompt": "say hello"}), completion),
    ] {
        let mock = Mock::new("p", answer("200 OK", answered)).await;
        let mut offer = mock.offer(1);
        offer.capabilities = bit;
        let world = World::new(vec![offer]).await;
        let mut body = body;
        (body["model"], body[field]) = ("m".into(), 32_000.into());
        let answer = world.post_to(path, body.to_string()).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()[TOLD]), (200, &"4096".parse().unwrap()), "{path}");
        assert_eq!(sent(&mock)[field], 4_096, "{path}");
    }
}
