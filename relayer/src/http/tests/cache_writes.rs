//! What a request that marks parts of its prompt to be cached pays for that: a price that is posted high is seen before.

use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, good};
use crate::relay::testing::world::{Streamed, World, error};
use crate::relay::testing::{cheap, cost_alone};
use serde_json::{Value, json};

/// Cheap, but for what is written into its cache.
fn trap(mock: &Mock) -> Offer {
    let mut offer = cheap(mock.offer(1));
    (offer.price.standard.cache_write, offer.price.standard.cache_write_long) = (5_000_000_000, 5_000_000_000);
    offer
}

fn marked(members: Value) -> Value {
    let part = json!({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}});
    let mut request = json!({"messages": [{"role": "user", "content": [part]}], "stream": true, "max_tokens": 16});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

#[tokio::test]
async fn a_dear_cache_write_is_in_the_ranking_of_requests_that_ask_for_it() {
    let (cheat, honest) = (good(true).await, good(true).await);
    let world = World::with(vec![trap(&cheat), honest.offer(2)], cost_alone).await;
    let streamed = Streamed::read(world.chat(marked(json!({}))).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [2; 32]);
    let streamed = Streamed::read(world.chat(marked(json!({"model": "m:floor"}))).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [2; 32]);
    assert_eq!(cheat.count(), 0);
    let streamed = Streamed::read(world.chat(json!({"stream": true, "max_tokens": 16})).await).await;
    assert_eq!(streamed.receipt.unwrap().receipt.offer, [1; 32], "nothing is written for who asks for nothing");
}

#[tokio::test]
async fn a_dear_cache_write_is_above_the_highest_price_of_the_prompt() {
    let cheat = good(true).await;
    let world = World::with(vec![trap(&cheat)], cost_alone).await;
    let (status, error) = error(world.chat(marked(json!({"provider": {"max_price": {"prompt": 1}}}))).await).await;
    assert!((400..500).contains(&status), "{status}");
    assert!(error["message"].as_str().unwrap().contains("max_price.prompt"), "{error}");
    assert_eq!(cheat.count(), 0);
}
