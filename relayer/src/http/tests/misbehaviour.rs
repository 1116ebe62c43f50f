//! Providers on real sockets that misbehave in every way we know, one table for each moment at which they do it. Of each
//! it is checked what the client got, what it was charged, and what was learned of the provider.

mod after;
mod before;
mod billed;
mod mixes;
mod odd;

use crate::chain::Pubkey;
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, Step, good};
use crate::relay::testing::world::World;
use crate::relay::testing::{NOW, cheap};
use futures::StreamExt;
use serde_json::{Value, json};
use std::future::Future;
use steam_protocol::units::Pico;

/// Cases under way at once: most of their time they wait.
const AT_ONCE: usize = 4;
/// What 20 tokens of input and 3 of output cost: 20 + 2·3 pico-USDC·10^6, and 1 %.
const COST: Pico = Pico(26_260_000);

/// A way to misbehave, and what it is called.
#[derive(Clone)]
struct Case {
    name: &'static str,
    steps: Vec<Step>,
    /// The failure's name in metrics and decision records.
    kind: &'static str,
}

fn case(name: &'static str, steps: Vec<Step>, kind: &'static str) -> Case {
    Case { name, steps, kind }
}

fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

/// A relayer that knows `bad` and a healthy provider of model `m` at ten times its price, so that `bad` is asked first, and `bad` as the only provider of model `alone`. It is
/// patient where nothing but patience could be at fault on a busy machine.
async fn world(case: &Case, bad: &Mock, good: &Mock) -> World {
    let patience = if case.kind.ends_with("timeout") { 1_500 } else { 60_000 };
    let alone = Offer { model: "alone".into(), ..bad.offer(3) };
    World::with(vec![cheap(bad.offer(1)), good.offer(2), alone], |config| {
        crate::relay::testing::cost_alone(config);
        config.upstream.max_answer_bytes = 50_000;
        config.upstream.connect_timeout_ms = 400;
        config.upstream.total_timeout_ms = 60_000;
        (config.upstream.first_token_timeout_ms, config.upstream.idle_timeout_ms) = (patience, patience);
    })
    .await
}

fn ask(streamed: bool) -> Value {
    json!({"stream": streamed, "max_tokens": 16})
}

fn ask_alone(streamed: bool) -> Value {
    json!({"model": "alone", "stream": streamed, "max_tokens": 16})
}

/// What was learned of an offer: the requests that say something about it, and the share of them that did not fail. The
/// public board and the score that the next choice is made by agree on it.
fn learned(world: &World, seed: u8) -> (u64, Option<f64>) {
    let offer = Pubkey::new_from_array([seed; 32]);
    let figures = world.node.board.figures_of(&offer, NOW * 1_000).minutes5;
    assert_eq!(world.node.scorer.live_figures(&offer, tokio::time::Instant::now()).uptime, figures.uptime);
    (figures.requests, figures.uptime)
}

/// Runs a check of every case, some at once.
async fn each<F: Future<Output = ()>>(cases: Vec<Case>, check: impl Fn(Case, Mock, Mock) -> F, streamed: bool) {
    let checks = cases.into_iter().map(|case| async {
        let bad = Mock::new("bad", case.steps.clone()).await;
        check(case, bad, good(streamed).await).await;
    });
    futures::stream::iter(checks).buffer_unordered(AT_ONCE).collect::<()>().await;
}
