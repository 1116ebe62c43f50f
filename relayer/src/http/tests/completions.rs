//! Text completions over real sockets, from the simulated provider.

use crate::localnet::provider::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::offer;
use crate::relay::testing::world::{Streamed, World, decode, error};
use serde_json::{Value, json};
use steam_protocol::receipt::{CountedBy, SignedReceipt};
use steam_protocol::units::Pico;
use steam_router::state::capability;

const PATH: &str = "/v1/completions";

/// A world with one simulated provider, whose offer has these capabilities.
async fn world(capabilities: u64) -> (World, SimulatedProvider) {
    let provider = SimulatedProvider::start(Behaviour::instant(&["m"]), 1).await.unwrap();
    let offer = Offer { url: provider.url(), capabilities, ..offer("sim", 1) };
    (World::new(vec![offer]).await, provider)
}

#[tokio::test]
async fn a_whole_answer_is_metered_by_the_providers_usage() {
    let (world, provider) = world(capability::COMPLETIONS | capability::STREAMING).await;
    let body = json!({"model": "m", "prompt": ["one two three", "four"], "n": 2, "max_tokens": 9});
    let response = world.post_to(PATH, body.to_string()).await;
    assert_eq!(response.status(), 200);
    let receipt = decode(response.headers()["steam-receipt"].to_str().unwrap());
    let receipt = SignedReceipt::from_bytes(&receipt).unwrap().receipt;
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["object"], "text_completion");
    let texts: Vec<&Value> = answer["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts.len(), 4);
    assert_eq!(answer["usage"]["completion_tokens"], 36);
    assert_eq!((receipt.usage.output, receipt.counted_by), (36, CountedBy::Provider));
    assert_eq!(u64::from(receipt.usage.input), answer["usage"]["prompt_tokens"].as_u64().unwrap());
    assert_eq!(provider.stats().served, 1);
}

#[tokio::test]
async fn a_stream_ends_with_usage_where_asked_for_and_its_receipt() {
    let (world, _provider) = world(capability::COMPLETIONS | capability::STREAMING).await;
    let body = |usage: bool| {
        let options = json!({"include_usage": usage});
        json!({"model": "m", "prompt": "say", "stream": true, "stream_options": options}).to_string()
    };
    let streamed = Streamed::read(world.post_to(PATH, body(true)).await).await;
    let text: String = streamed.events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert!(text.starts_with("This answer is simulated"), "{text}");
    let last = streamed.events.last().unwrap();
    assert_eq!(
        (&last["object"], &last["choices"], &last["usage"]["completion_tokens"]),
        (&json!("text_completion"), &json!([]), &json!(16))
    );
    assert!(streamed.done);
    assert_eq!(streamed.receipt.unwrap().receipt.usage.output, 16);
    let plain = Streamed::read(world.post_to(PATH, body(false)).await).await;
    assert!(plain.events.iter().all(|event| event["usage"].is_null()));
    let decision = world.decision(&plain.id).await;
    assert_eq!(
        (&decision["dialect"], &decision["routes"][0]["candidates"][0]["dialect"]),
        (&json!("completions"), &json!("completions"))
    );
}

#[tokio::test]
async fn providers_that_do_not_speak_it_are_not_asked_and_nothing_is_charged() {
    for capabilities in [0, capability::CHAT | capability::STREAMING, capability::EMBEDDINGS] {
        let (world, provider) = world(capabilities).await;
        let (status, wrong) = error(world.post_to(PATH, r#"{"model":"m","prompt":"a"}"#).await).await;
        assert_eq!((status, &wrong["code"]), (400, &json!("no_provider_supports_request")));
        assert!(wrong["message"].as_str().unwrap().contains("does not speak /v1/completions"), "{wrong}");
        assert_eq!((provider.stats().requests, world.settled_down().await), (0, (Pico::ZERO, Pico::ZERO)));
    }
    let (world, _provider) = world(capability::COMPLETIONS).await;
    assert_eq!(error(world.chat(json!({})).await).await.0, 400, "and chat is no completion");
    let (status, wrong) = error(world.post_to(PATH, r#"{"model":"m","prompt":[]}"#).await).await;
    assert_eq!((status, &wrong["param"], &wrong["type"]), (400, &json!("prompt"), &json!("invalid_request_error")));
}
