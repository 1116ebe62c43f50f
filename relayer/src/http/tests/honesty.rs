//! Dishonest providers over real sockets: what they do shows on the board, and costs them traffic.

use crate::board::Suspicion;
use crate::chain::{Pubkey, VaultSnapshot};
use crate::localnet::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, Step, stream};
use crate::relay::testing::world::{Streamed, World, request};
use crate::relay::testing::{NOW, offer};
use serde_json::{Value, json};
use steam_protocol::key::SessionKey;
use tokio::time::Instant;

const MODEL: &str = "gpt-4o";

fn behaviour(name: &str) -> Behaviour {
    Behaviour { name: name.into(), ..Behaviour::instant(&[MODEL]) }
}

async fn provider(seed: u8, behaviour: Behaviour) -> (SimulatedProvider, Offer) {
    let mut offer = offer(&behaviour.name, seed);
    let provider = SimulatedProvider::start(behaviour, u64::from(seed)).await.unwrap();
    offer.url = provider.url();
    offer.model = MODEL.into();
    (provider, offer)
}

/// A relayer whose clients are two vaults.
async fn two_vaults(offers: Vec<Offer>) -> (World, [SessionKey; 2]) {
    let world = World::new(offers).await;
    let other = SessionKey::from_seed(&[44; 32]);
    let mut second = VaultSnapshot { address: Pubkey::new_from_array([45; 32]), ..world.snapshot.clone() };
    second.keys[0].key = other.address();
    world.node.vaults.update(&[world.snapshot.clone(), second], crate::relay::testing::NOW, 100);
    let keys = [world.key(), other];
    (world, keys)
}

async fn ask(world: &World, key: &SessionKey, number: usize) -> u16 {
    let words = json!([{"role": "user", "content": format!("Tell me about number {number}.")}]);
    let streamed = number % 2 == 1;
    let body = request(json!({"model": MODEL, "messages": words, "stream": streamed, "max_tokens": 200}));
    let post = world.client.post(world.url("/v1/chat/completions")).bearer_auth(key.reveal()).body(body.to_string());
    let response = post.send().await.unwrap();
    let status = response.status().as_u16();
    if status == 200 && streamed {
        Streamed::read(response).await;
    }
    status
}

/// Requests to a single provider until it is flagged, `behave` before each.
async fn until_flagged(
    seed: u8,
    most: usize,
    behave: impl Fn(&SimulatedProvider, usize),
) -> (SimulatedProvider, World, Pubkey) {
    let (provider, offer) = provider(seed, behaviour("cheat")).await;
    let address = offer.address;
    let (world, keys) = two_vaults(vec![offer]).await;
    for number in 0..most {
        behave(&provider, number);
        ask(&world, &keys[number / 2 % 2], number).await;
        world.settled_down().await;
        if world.node.board.is_flagged(&address) {
            return (provider, world, address);
        }
    }
    panic!("not flagged in {most} requests: {:?}", world.node.board.flags(&address));
}

#[tokio::test]
async fn a_provider_that_claims_five_per_cent_too_much_is_flagged_within_200_requests() {
    let inflated = Behaviour { inflation: 0.05, ..behaviour("cheat") };
    let (_provider, world, offer) = until_flagged(1, 200, |provider, _| provider.set(inflated.clone())).await;
    let flags = world.node.board.flags(&offer);
    assert_eq!(flags[0].reason, Suspicion::OutputTokens);
    assert!((0.02..0.08).contains(&flags[0].mean), "{}", flags[0].mean);
    assert_eq!(world.node.board.flag_changes(), 1, "lists that show flags are made anew");
    // The board says why, and the next decision shows what it costs.
    let (_, providers) = world.get("/v1/providers").await;
    let flag = &providers["data"][0]["board"]["flags"][0];
    assert_eq!(flag["reason"], "output_tokens");
    assert_eq!(flag["says"], "claims more output tokens than it delivers");
    assert!(flag["since_ms"].is_i64() && flag["requests"].as_u64() >= flag["against"].as_u64(), "{flag}");
    let answer = Streamed::read(world.chat(json!({"model": MODEL, "stream": true})).await).await;
    let decision = world.decision(&answer.id).await;
    assert_eq!(decision["routes"][0]["choice"]["measured"][0]["penalty"], crate::board::PENALTY);
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"steam_flags_raised_total{reason="output_tokens"} 1"#,
        r#"steam_flagged{provider="cheat",model="gpt-4o",reason="output_tokens"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn empty_canned_and_cut_answers_are_flagged_within_50_requests() {
    let canned = Behaviour { canned: true, ..behaviour("cheat") };
    let (_, world, offer) = until_flagged(2, 50, |provider, _| provider.set(canned.clone())).await;
    assert_eq!(world.node.board.flags(&offer)[0].reason, Suspicion::Canned);

    // Every second request: failures in a row are the breaker's business.
    let cheat_on = |number: usize, cheat: Behaviour| if number % 2 == 1 { cheat } else { behaviour("cheat") };
    let empty = Behaviour { empty_rate: 1.0, ..behaviour("cheat") };
    let (_, world, offer) = until_flagged(3, 50, |provider, n| provider.set(cheat_on(n, empty.clone()))).await;
    assert_eq!(world.node.board.flags(&offer)[0].reason, Suspicion::Empty);
    let cut = Behaviour { cut_rate: 1.0, ..behaviour("cheat") };
    let every_second_stream = |number: usize| if number % 4 == 1 { cut.clone() } else { behaviour("cheat") };
    let (provider, offer) = provider(4, behaviour("cheat")).await;
    let address = offer.address;
    let (world, keys) = two_vaults(vec![offer]).await;
    let mut streams = 0;
    for number in (1..100).step_by(2) {
        provider.set(every_second_stream(number));
        ask(&world, &keys[0], number).await;
        world.settled_down().await;
        streams += 1;
        if world.node.board.is_flagged(&address) {
            break;
        }
    }
    assert!(streams <= 50, "{streams}");
    assert_eq!(world.node.board.flags(&address)[0].reason, Suspicion::Cut);
}

#[tokio::test]
async fn an_honest_provider_is_not_flagged_and_what_a_client_steers_is_no_evidence() {
    let (honest, offer) = provider(5, behaviour("honest")).await;
    let address = offer.address;
    let (world, keys) = two_vaults(vec![offer]).await;
    for number in 0..120 {
        assert_eq!(ask(&world, &keys[number % 2], number).await, 200);
    }
    world.settled_down().await;
    assert!(world.node.board.flags(&address).is_empty());
    // A client that names the provider, or cuts its answers, cannot make it look bad.
    honest.set(Behaviour { canned: true, inflation: 0.5, ..behaviour("honest") });
    for number in 0..60 {
        let steer = match number % 5 {
            0 => json!({"provider": {"only": ["honest"]}}),
            1 => json!({"stop": ["never"]}),
            2 => json!({"provider": {"preferred_max_latency": 600}}),
            3 => json!({"provider": {"sort": "latency"}}),
            _ => json!({"guided_regex": "a+"}),
        };
        let mut members = json!({"model": MODEL, "messages": [{"role": "user", "content": format!("{number}")}]});
        members.as_object_mut().unwrap().extend(steer.as_object().unwrap().clone());
        let post = world.client.post(world.url("/v1/chat/completions")).bearer_auth(keys[number / 2 % 2].reveal());
        let response = post.body(request(members).to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let _: Value = response.json().await.unwrap();
    }
    world.settled_down().await;
    assert!(world.node.board.flags(&address).is_empty());
}

#[tokio::test]
async fn a_flagged_provider_loses_its_traffic_to_honest_ones() {
    let (_cheat, first) = provider(6, Behaviour { inflation: 0.1, ..behaviour("cheat") }).await;
    let (_one, second) = provider(7, behaviour("one")).await;
    let cheat = first.address;
    let (world, keys) = two_vaults(vec![first, second]).await;
    let mut number = 0;
    while !world.node.board.is_flagged(&cheat) {
        assert!(number < 400, "not flagged");
        ask(&world, &keys[0], number).await;
        number += 1;
    }
    let requests = || world.node.scorer.live_figures(&cheat, tokio::time::Instant::now()).samples;
    let flagged_at = requests();
    for number in number..number + 40 {
        ask(&world, &keys[0], number).await;
    }
    world.settled_down().await;
    let after = requests() - flagged_at;
    assert!(after <= 8, "{after} of 40 requests still went to it");
}

#[tokio::test]
async fn who_claims_more_tokens_than_came_is_no_faster() {
    let text = "four".repeat(100);
    let more =
        format!(r#"{{"id":"c","created":5,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    let speed = async |claim: u32| {
        let usage = format!(
            r#"{{"id":"c","created":5,"model":"m","choices":[],"usage":{{"prompt_tokens":9,"completion_tokens":{claim}}}}}"#
        );
        let mut steps = stream(&[ROLE, HELLO]);
        // Half of the silence after which a provider has failed here.
        steps.push(Step::Pause(150));
        steps.extend([&more, STOP, &usage, "[DONE]"].map(|event| Step::Say(format!("data: {event}\n\n"))));
        let provider = Mock::new("p", steps).await;
        let offer = provider.offer(1);
        let world = World::new(vec![offer.clone()]).await;
        let streamed = Streamed::read(world.chat(json!({"stream": true})).await).await;
        let billed = streamed.receipt.unwrap().receipt.usage.output;
        let live = world.node.scorer.live_figures(&offer.address, tokio::time::Instant::now());
        let board = world.node.board.figures_of(&offer.address, NOW * 1_000).minutes5;
        (billed, live.tokens_per_second.unwrap().p50, board.tokens_per_second.unwrap().p50)
    };
    // 405 bytes are about 102 tokens, and nobody knows this model's tokenizer.
    let ((honest, _, _), (billed, live, board)) = (speed(102).await, speed(400).await);
    assert_eq!((honest, billed), (102, 400));
    let most = 101.0 / 0.15;
    assert!(live <= most && board <= most * 1.02, "{live} and {board} tokens a second of at most {most}");
}

#[tokio::test]
async fn hidden_reasoning_beyond_what_can_have_been_written_is_not_charged_and_counts_against_its_provider() {
    let words: Vec<String> = (0..60).map(|n| format!("word{n}")).collect();
    let said = json!({"id": "c", "created": 5, "model": "m", "choices": [{"index": 0, "delta": {"content": words.join(" ")}}]});
    let details = json!({"reasoning_tokens": 3_700});
    let usage = json!({"prompt_tokens": 20, "completion_tokens": 3_900, "completion_tokens_details": details});
    let usage = json!({"id": "c", "created": 5, "model": "m", "choices": [], "usage": usage});
    let said = [said, usage].map(|event| event.to_string());
    let mock = Mock::new("thinker", stream(&[ROLE, &said[0], STOP, &said[1], "[DONE]"])).await;
    let mut offer = mock.offer(1);
    offer.model = MODEL.into();
    let address = offer.address;
    let (world, keys) = two_vaults(vec![offer]).await;
    let mut charged = 0;
    for number in 0..80 {
        let asked = json!({"model": MODEL, "stream": true, "max_tokens": 4_000});
        let began = Instant::now();
        let streamed = Streamed::read(world.chat_as(&keys[number % 2], asked).await).await;
        let output = streamed.receipt.unwrap().receipt.usage.output;
        // All of it comes at once, as fast as anybody is believed to write: 4,000 hidden tokens a second at most.
        let most = 300.0 + 4_000.0 * began.elapsed().as_secs_f64();
        assert!((60.0..most).contains(&f64::from(output)), "{output} tokens were charged, and {most} can be believed");
        charged += output;
    }
    assert!(charged < 80 * 2_600, "{charged} tokens were charged of 3,900 that each answer claimed within a moment");
    world.settled_down().await;
    let flags = world.node.board.flags(&address);
    assert!(flags.iter().any(|flag| flag.reason == Suspicion::OutputTokens), "{flags:?}");
}
