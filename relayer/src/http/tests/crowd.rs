//! Providers that have no room: who says so at once is none of a request's attempts, so that it finds the one that has.

use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, Step, answer, good};
use crate::relay::testing::world::{Streamed, World, error};
use serde_json::{Value, json};

/// A provider that answers 429 at once.
async fn full(name: &'static str) -> Mock {
    Mock::new(name, answer("429 X", "")).await
}

/// A provider that answers 429 when it has thought about it.
async fn slow(name: &'static str) -> Mock {
    Mock::new(name, [vec![Step::Pause(1_100)], answer("429 X", "")].concat()).await
}

async fn broken(name: &'static str) -> Mock {
    Mock::new(name, answer("500 X", "")).await
}

/// A world of these providers, with addresses from 1 on.
async fn world(mocks: &[&Mock], attempts: u32) -> World {
    let offers = mocks.iter().zip(1..).map(|(mock, seed)| mock.offer(seed)).collect();
    World::with(offers, |config| {
        (config.upstream.max_attempts, config.upstream.first_token_timeout_ms) = (attempts, 10_000);
    })
    .await
}

/// A request that asks `names` in this order.
fn ask(names: &[&str]) -> Value {
    json!({"stream": true, "max_tokens": 3, "provider": {"order": names}})
}

#[tokio::test]
async fn in_a_crowd_the_one_with_room_is_found() {
    let mut mocks = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        mocks.push(full(name).await);
    }
    let good = good(true).await;
    let world = world(&mocks.iter().chain([&good]).collect::<Vec<_>>(), 2).await;
    // Whom nobody knows is asked in the order of the offers, so that the one with room is the last of twelve.
    for (request, asked) in [json!({"stream": true, "max_tokens": 3}), ask(&["a", "b", "c"])].into_iter().zip(1..) {
        let streamed = Streamed::read(world.chat(request).await).await;
        assert!(streamed.done);
        assert_eq!(good.count(), asked);
        let decision = world.decision(&streamed.id).await;
        let tried = decision["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["offer"]);
        let order: Vec<&Value> = decision["order"].as_array().unwrap().iter().collect();
        assert_eq!(tried.collect::<Vec<_>>(), order[..decision["attempts"].as_array().unwrap().len()]);
    }
}

#[tokio::test]
async fn what_comes_late_or_is_no_429_counts() {
    let (a, b, c, d) = (full("a").await, broken("b").await, full("c").await, broken("d").await);
    let good = good(true).await;
    let all = [&a, &b, &c, &d, &good];
    let names = ["a", "b", "c", "d", "good"];
    let two = world(&all, 2).await;
    assert_eq!(error(two.chat(ask(&names)).await).await.0, 502);
    assert_eq!((all.map(Mock::count), good.count()), ([1, 1, 1, 1, 0], 0), "two that failed and two that were full");
    assert!(Streamed::read(world(&all, 3).await.chat(ask(&names)).await).await.done);

    let (late, later) = (slow("late").await, slow("later").await);
    let all = [&late, &later, &good];
    let names = ["late", "later", "good"];
    let served = good.count();
    assert_eq!(error(world(&all, 2).await.chat(ask(&names)).await).await.0, 429);
    assert_eq!((late.count(), later.count(), good.count()), (1, 1, served));
    assert!(Streamed::read(world(&all, 3).await.chat(ask(&names)).await).await.done);
}

#[tokio::test]
async fn who_takes_the_place_is_of_the_same_model_and_its_turn_is_before_the_next_models() {
    let (a, b, other) = (full("a").await, full("b").await, good(true).await);
    let of_n = Offer { model: "n".into(), ..other.offer(3) };
    let offers = vec![a.offer(1), b.offer(2), of_n];
    let world = World::with(offers, |config| config.upstream.max_attempts = 2).await;
    let streamed = Streamed::read(world.chat(json!({"stream": true, "max_tokens": 3, "models": ["n"]})).await).await;
    assert!(streamed.done);
    assert_eq!((a.count(), b.count(), other.count()), (1, 1, 1));
    world.decision(&streamed.id).await;
}

#[tokio::test]
async fn where_no_fallback_is_allowed_nobody_takes_a_place() {
    let (a, good) = (full("a").await, good(true).await);
    let world = world(&[&a, &good], 4).await;
    let request = json!({"max_tokens": 3, "provider": {"order": ["a"], "allow_fallbacks": false}});
    assert_eq!(error(world.chat(request).await).await.0, 429);
    assert_eq!(good.count(), 0);
}
