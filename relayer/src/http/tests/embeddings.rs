//! Embeddings over real sockets, from the simulated provider.

use crate::localnet::provider::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, answer};
use crate::relay::testing::offer;
use crate::relay::testing::world::{World, decode, error};
use serde_json::{Value, json};
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::units::Pico;
use steam_router::state::capability;

const PATH: &str = "/v1/embeddings";

async fn world(context_limit: u32) -> (World, SimulatedProvider) {
    let provider = SimulatedProvider::start(Behaviour::instant(&["m"]), 1).await.unwrap();
    let capabilities = capability::EMBEDDINGS;
    let offer = Offer { url: provider.url(), capabilities, context_limit, ..offer("sim", 1) };
    (World::new(vec![offer]).await, provider)
}

async fn embedded(world: &World, body: Value) -> (Value, Receipt) {
    let response = world.post_to(PATH, body.to_string()).await;
    assert_eq!(response.status(), 200);
    let receipt = decode(response.headers()["steam-receipt"].to_str().unwrap());
    (response.json().await.unwrap(), SignedReceipt::from_bytes(&receipt).unwrap().receipt)
}

#[tokio::test]
async fn texts_and_tokens_become_vectors_and_only_input_is_charged() {
    let (world, _provider) = world(8_192).await;
    let (answer, receipt) = embedded(&world, json!({"model": "m", "input": ["a b c", "d"]})).await;
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.iter().map(|one| one["embedding"].as_array().unwrap().len()).collect::<Vec<_>>(), [8, 8]);
    assert_eq!((&answer["usage"]["prompt_tokens"], &answer["usage"]["total_tokens"]), (&json!(4), &json!(4)));
    assert!(answer["usage"]["cost"].as_f64().unwrap() > 0.0);
    assert_eq!((receipt.usage.input, receipt.usage.output, receipt.counted_by), (4, 0, CountedBy::Provider));
    assert_eq!(receipt.finish_reason, FinishReason::Stop);
    let input = json!([[1, 2, 3]]);
    let (answer, receipt) =
        embedded(&world, json!({"model": "m", "input": input, "dimensions": 3, "encoding_format": "base64"})).await;
    assert_eq!(decode(answer["data"][0]["embedding"].as_str().unwrap()).len(), 12);
    assert_eq!(receipt.usage.input, 3);
}

#[tokio::test]
async fn each_input_has_a_context_of_its_own() {
    let (world, _provider) = world(20).await;
    let (answer, _) = embedded(&world, json!({"model": "m", "input": vec!["word ".repeat(5); 8]})).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 8);
    let (status, wrong) =
        error(world.post_to(PATH, json!({"model": "m", "input": "word ".repeat(99)}).to_string()).await).await;
    assert_eq!((status, &wrong["code"]), (400, &json!("no_provider_supports_request")), "{wrong}");
}

#[tokio::test]
async fn an_answer_with_too_few_vectors_is_none_and_nothing_is_charged() {
    let few = r#"{"data":[{"embedding":[1.0]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    let world = World::new(vec![Mock::new("few", answer("200 OK", few)).await.offer(1)]).await;
    let response = world.post_to(PATH, json!({"model": "m", "input": ["a", "b"]}).to_string()).await;
    assert_eq!(error(response).await.0, 502);
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
}
