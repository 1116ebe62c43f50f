//! Whole runs: providers that misbehave in ways drawn at random, and one that is healthy. No request fails, whatever the
//! mix, and the ledger holds one charge for each.

use super::{COST, Case, before};
use crate::relay::testing::mock::{HELLO, ROLE, STOP};
use crate::relay::testing::mock::{Mock, Step, USAGE, WHOLE, answer, stream};
use crate::relay::testing::world::{Streamed, World};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use steam_protocol::units::Pico;

/// Requests of a run.
const REQUESTS: usize = 16;
/// Providers that misbehave in a run.
const BAD: usize = 4;
const NAMES: [&str; BAD] = ["a", "b", "c", "d"];

/// Runs: `STEAM_MIXES` many, or enough for every change.
fn runs() -> u64 {
    std::env::var("STEAM_MIXES").ok().map_or(6, |text| text.parse().expect("STEAM_MIXES is a number of runs"))
}

/// A healthy provider, which answers either way.
async fn healthy() -> (Mock, Mock) {
    (
        Mock::new("good", stream(&[ROLE, HELLO, STOP, USAGE, "[DONE]"])).await,
        Mock::new("good", answer("200 OK", WHOLE)).await,
    )
}

#[tokio::test]
async fn no_request_fails_while_one_provider_is_healthy() {
    for seed in 0..runs() {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let streamed = rng.random_bool(0.5);
    let cases = [before::anywhere(), if streamed { before::streaming() } else { before::whole() }].concat();
    // Each that must be waited for is waited for three times before its breaker opens: one of them, now and then.
    let (waiting, quick): (Vec<Case>, Vec<Case>) =
        cases.into_iter().partition(|case| case.kind == "first_token_timeout");
    let mut drawn: Vec<&Case> = quick.choose_multiple(&mut rng, BAD).collect();
    if seed % 3 == 2 {
        drawn[0] = waiting.choose(&mut rng).unwrap();
    }
    let (streams, answers) = healthy().await;
    let good = if streamed { streams } else { answers };
    let mut offers = Vec::new();
    for ((case, name), place) in drawn.iter().zip(NAMES).zip(1..) {
        offers.push(Mock::new(name, case.steps.clone()).await.offer(place));
    }
    offers.push(good.offer(9));
    let mix: Vec<&str> = drawn.iter().map(|case| case.name).collect();
    let world = World::with(offers, |config| {
        config.upstream.max_attempts = BAD as u32 + 1;
        config.upstream.max_answer_bytes = 50_000;
        (config.upstream.first_token_timeout_ms, config.upstream.idle_timeout_ms) = (2_000, 2_000);
    })
    .await;
    for request in 0..REQUESTS {
        let asked = json!({"stream": streamed, "max_tokens": 3, "messages": [{"role": "user", "content": request.to_string()}]});
        let response = world.chat(asked).await;
        assert_eq!(response.status(), 200, "seed {seed}, request {request}: {mix:?}");
        if streamed {
            let streamed = Streamed::read(response).await;
            assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true), "seed {seed}: {mix:?}");
            assert_eq!(streamed.receipt.unwrap().receipt.offer, [9; 32], "seed {seed}: {mix:?}");
        } else {
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["choices"][0]["message"]["content"], "hello", "seed {seed}: {mix:?}");
        }
    }
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(COST.0 * REQUESTS as u128)), "seed {seed}: {mix:?}");
    assert_eq!(good.count(), REQUESTS);
}

#[tokio::test]
async fn many_requests_at_once_survive_a_market_that_mostly_fails() {
    let good = Mock::new("good", stream(&[ROLE, HELLO, STOP, USAGE, "[DONE]"])).await;
    let scripts = [vec![], vec![Step::Reset], answer("500 X", ""), stream(&[ROLE])];
    let mut offers = vec![good.offer(9)];
    for ((steps, name), place) in scripts.into_iter().zip(NAMES).zip(1..) {
        offers.push(Mock::new(name, steps).await.offer(place));
    }
    let world = World::with(offers, |config| {
        config.upstream.max_attempts = 5;
        (config.upstream.first_token_timeout_ms, config.upstream.idle_timeout_ms) = (20_000, 20_000);
    })
    .await;
    let asked =
        (0..40).map(|_| async { Streamed::read(world.chat(json!({"stream": true, "max_tokens": 3})).await).await });
    for streamed in futures::future::join_all(asked).await {
        assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true));
    }
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(COST.0 * 40)));
}
