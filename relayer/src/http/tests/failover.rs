//! Who is asked after whom, who is believed, how often, and what is said once nobody is left. What counts as a failure is
//! in `misbehaviour`.

use crate::registry::Offer;
use crate::relay::testing::mock::{HELLO, Mock, STOP, Step, WHOLE, answer, good, stream};
use crate::relay::testing::world::{Streamed, World, decode, error, receipt_key};
use crate::relay::testing::{NOW, cheap};
use serde_json::{Value, json};
use steam_protocol::units::Pico;

fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

async fn world(bad: &Mock, good: &Mock) -> World {
    World::with(vec![cheap(bad.offer(1)), good.offer(2)], crate::relay::testing::cost_alone).await
}

/// A request that leaves the choice to the relayer, which asks the cheaper `bad` first.
fn ask(streamed: bool) -> Value {
    json!({"stream": streamed, "max_tokens": 16})
}

async fn failed_over(world: &World, id: &str, name: &str, expected: &str) {
    let decision = world.decision(id).await;
    assert_eq!(decision["attempts"][0]["outcome"], expected, "{name}: {}", decision["attempts"]);
    assert_eq!(decision["attempts"][1]["outcome"], "opened", "{name}");
    // 20 of input at 1 pico-USDC·10^6, 3 of output at 2, and 1 %
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)), "{name}");
}

#[tokio::test]
async fn a_provider_nobody_listens_for_is_passed_over() {
    let (gone, good) = (Mock::gone("bad").await, good(true).await);
    let world = world(&gone, &good).await;
    let streamed = Streamed::read(world.chat(ask(true)).await).await;
    failed_over(&world, &streamed.id, "gone", "connect").await;
}

const TOO_LONG: &str = r#"{"error":{"message":"context too long","code":"context_length_exceeded"}}"#;
const POLICY: &str = r#"{"error":{"message":"no","code":"content_policy_violation"}}"#;

#[tokio::test]
async fn what_two_providers_refuse_goes_back_as_it_is_and_costs_nothing() {
    for status in ["400", "413", "422"] {
        for (body, code) in [(TOO_LONG, "context_length_exceeded"), (POLICY, "content_policy_violation")] {
            let refusal = answer(&format!("{status} X"), body);
            let (bad, also) = (Mock::new("bad", refusal.clone()).await, Mock::new("also", refusal).await);
            let world = world(&bad, &also).await;
            let response = world.chat(ask(true)).await;
            assert_eq!(response.status().as_str(), status);
            assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], code);
            assert_eq!((bad.count(), also.count()), (1, 1));
            assert_eq!((learned(&world, 1).0, learned(&world, 2).0), (0, 0), "nobody is blamed");
            assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
        }
    }
}

#[tokio::test]
async fn a_refusal_is_a_failure_under_whatever_name_if_a_peer_serves() {
    for body in [TOO_LONG, POLICY] {
        let (bad, good) = (Mock::new("bad", answer("400 X", body)).await, good(true).await);
        let world = world(&bad, &good).await;
        for _ in 0..4 {
            assert_eq!(Streamed::read(world.chat(ask(true)).await).await.text(), "hello", "{body}");
        }
        assert_eq!(learned(&world, 1), (2, Some(0.0)), "{body}");
    }
}

/// What was learned of an offer: requests that counted, and the share of them that did not fail.
fn learned(world: &World, seed: u8) -> (u64, Option<f64>) {
    let figures = world.node.board.figures_of(&crate::chain::Pubkey::new_from_array([seed; 32]), NOW * 1_000).minutes5;
    (figures.requests, figures.uptime)
}

#[tokio::test]
async fn a_provider_that_calls_everything_wrong_is_found_out_by_its_peers() {
    let (liar, good) = (Mock::new("bad", answer("400 X", r#"{"error":{"message":"no"}}"#)).await, good(true).await);
    let world = world(&liar, &good).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let response = world.chat(ask(true)).await;
        statuses.push(response.status().as_u16());
        let streamed = Streamed::read(response).await;
        assert_eq!(streamed.text(), "hello");
        if statuses.len() <= 2 {
            let decision = world.decision(&streamed.id).await;
            let contradicted = &decision["attempts"][0];
            assert_eq!(
                (contradicted["name"].as_str(), contradicted["outcome"].as_str()),
                (Some("bad"), Some("contradicted"))
            );
        }
    }
    assert_eq!(statuses, [200; 8]);
    assert_eq!(learned(&world, 1), (2, Some(0.0)), "each contradiction is a failure, and two open its breaker");
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(8 * 26_260_000)));
}

#[tokio::test]
async fn a_refusal_of_what_another_takes_is_no_failure_where_it_may_be_right() {
    let strict = Mock::new("bad", answer("400 X", r#"{"error":{"message":"temperature must be at most 2"}}"#)).await;
    let lenient = good(false).await;
    let world = world(&strict, &lenient).await;
    for _ in 0..4 {
        assert_eq!(world.chat(json!({"max_tokens": 16, "temperature": 99})).await.status(), 200);
    }
    assert_eq!((strict.count(), learned(&world, 1).0), (4, 0), "nobody is shut out for his rules");
}

#[tokio::test]
async fn a_wrong_request_that_two_refuse_goes_back_in_the_firsts_words_and_nobody_is_blamed() {
    let first = Mock::new("bad", answer("422 X", r#"{"error":{"message":"first"}}"#)).await;
    let second = Mock::new("good", answer("400 X", r#"{"error":{"message":"second"}}"#)).await;
    let world = world(&first, &second).await;
    for round in 0..6 {
        let response = world.chat(ask(false)).await;
        assert_eq!(response.status(), 422, "{round}");
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["message"], "first");
    }
    assert_eq!((first.count(), second.count()), (6, 6), "what is done does not depend on what was before");
    assert_eq!((learned(&world, 1).0, learned(&world, 2).0), (0, 0));
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
}

#[tokio::test]
async fn a_refusal_nobody_else_can_judge_goes_back() {
    let (refusing, failing) =
        (Mock::new("bad", answer("400 X", r#"{"error":{"message":"no"}}"#)).await, Mock::new("good", vec![]).await);
    let world = world(&refusing, &failing).await;
    for _ in 0..4 {
        assert_eq!(world.chat(ask(false)).await.status(), 400);
    }
    assert_eq!(learned(&world, 1).0, 0);
    assert_eq!(learned(&world, 2), (4, Some(0.0)));
}

#[tokio::test]
async fn once_all_have_failed_the_error_says_how_and_when_to_come_back() {
    let date = "HTTP/1.1 503 X\r\nretry-after: Mon, 12 Jan 1970 13:46:50 GMT\r\ncontent-length: 0\r\n\r\n";
    let later = "HTTP/1.1 429 X\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n";
    let silent = "HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n";
    for (name, steps, status, code, retry) in [
        ("seconds", vec![say(later)], 429, "providers_busy", Some("17")),
        // The test's time is 1,000,000: ten seconds before.
        ("a date", vec![say(date)], 503, "providers_busy", Some("10")),
        (
            "a date that has passed",
            vec![say("HTTP/1.1 429 X\r\nretry-after: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n")],
            429,
            "providers_busy",
            Some("1"),
        ),
        ("no time", vec![say(silent)], 429, "providers_busy", Some("5")),
        (
            "not allowed, whenever",
            vec![say("HTTP/1.1 401 X\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n")],
            502,
            "providers_failed",
            None,
        ),
        ("no answer", vec![Step::Forever], 504, "providers_timed_out", None),
        ("no connection", vec![], 502, "providers_failed", None),
    ] {
        let (bad, worse) = (Mock::new("bad", steps.clone()).await, Mock::new("worse", steps).await);
        let world = world(&bad, &worse).await;
        let response = world.chat(json!({"stream": true})).await;
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry, "{name}");
        let (got, error) = error(response).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{name}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("bad (") && message.contains("worse ("), "{message}");
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
    }
}

#[tokio::test]
async fn who_asked_to_be_left_alone_is() {
    let steps = vec![say("HTTP/1.1 429 X\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n")];
    let resting = Mock::new("bad", steps).await;
    let world = World::new(vec![resting.offer(1)]).await;
    assert_eq!(error(world.chat(json!({})).await).await.0, 429);
    let response = world.chat(json!({})).await;
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((20..=30).contains(&wait), "{wait}");
    let (status, error) = error(response).await;
    assert_eq!((status, error["code"].as_str()), (429, Some("providers_busy")));
    assert_eq!(resting.count(), 1, "it was not asked again");
}

#[tokio::test]
async fn who_merely_failed_is_asked_when_nobody_else_is_left() {
    let failing = Mock::new("bad", answer("500 X", "")).await;
    let world = World::with(vec![failing.offer(1)], |config| {
        (config.upstream.retry_percent, config.upstream.retries_per_second) = (0.0, 0.0);
    })
    .await;
    for _ in 0..6 {
        assert_eq!(error(world.chat(json!({})).await).await.0, 502);
    }
    assert_eq!(failing.count(), 6, "its breaker is open, and it may be back at any time");
}

#[tokio::test]
async fn a_general_outage_does_not_multiply_the_traffic() {
    let mut mocks = Vec::new();
    for name in ["a", "b", "c", "d"] {
        mocks.push(Mock::new(name, answer("500 X", "")).await);
    }
    let offers = mocks.iter().zip(1..).map(|(mock, seed)| mock.offer(seed)).collect();
    let world = World::with(offers, |config| {
        (config.upstream.retry_percent, config.upstream.retries_per_second) = (20.0, 0.0);
    })
    .await;
    let mut messages = String::new();
    for _ in 0..50 {
        let (status, error) = error(world.chat(json!({})).await).await;
        assert_eq!(status, 502);
        messages.push_str(error["message"].as_str().unwrap());
    }
    // A fifth more, the one permit there was at first, and those asked while they were not known to fail.
    let calls = mocks.iter().map(Mock::count).sum::<usize>();
    assert!((55..=68).contains(&calls), "{calls}");
    assert!(messages.contains("no more while so many of your requests fail"), "{messages}");
}

#[tokio::test]
async fn failing_over_to_one_that_serves_is_never_rationed() {
    let (bad, good) = (Mock::new("bad", vec![]).await, good(false).await);
    let world = World::with(vec![bad.offer(1), good.offer(2)], |config| {
        (config.upstream.retry_percent, config.upstream.retries_per_second) = (1.0, 0.0);
    })
    .await;
    for _ in 0..30 {
        assert_eq!(world.chat(ask(false)).await.status(), 200);
    }
    assert!(bad.count() >= 1, "until its breaker opens");
}

#[tokio::test]
async fn a_model_may_be_given_more_time_to_think() {
    let steps = [vec![Step::Pause(700)], stream(&[HELLO, STOP, "[DONE]"])].concat();
    let thinker = Mock::new("thinker", steps).await;
    for (ms, status) in [(100, 504), (20_000, 200)] {
        let world = World::with(vec![thinker.offer(1)], |config| {
            config.upstream.first_token_timeout_ms_of.insert("m".into(), ms);
        })
        .await;
        assert_eq!(world.chat(json!({"stream": true})).await.status(), status, "{ms}");
    }
}

#[tokio::test]
async fn a_model_may_be_given_more_time_between_words_and_in_all() {
    let steps = [stream(&[HELLO]), vec![Step::Pause(700)], stream(&[STOP, "[DONE]"])[1..].to_vec()].concat();
    let halting = Mock::new("halting", steps).await;
    for (idle, total, done) in [(100, 20_000, false), (20_000, 100, false), (20_000, 20_000, true)] {
        let world = World::with(vec![halting.offer(1)], |config| {
            (config.upstream.idle_timeout_ms, config.upstream.total_timeout_ms) = (60_000, 60_000);
            config.upstream.first_token_timeout_ms = 60_000;
            config.upstream.idle_timeout_ms_of.insert("m".into(), idle);
            config.upstream.total_timeout_ms_of.insert("m".into(), total);
        })
        .await;
        let response = world.chat(json!({"stream": true})).await;
        let ended = if response.status() == 200 { Streamed::read(response).await.done } else { false };
        assert_eq!(ended, done, "{idle} {total}");
        assert_eq!(world.settled_down().await.0, Pico::ZERO);
    }
}

#[tokio::test]
async fn a_model_may_be_given_another_time_to_connect() {
    let full = Mock::full("full").await;
    let other = Offer { model: "n".into(), ..full.offer(2) };
    for (usual, own, kind) in [(20_000, 100, "connect"), (100, 20_000, "first_token_timeout")] {
        let world = World::with(vec![full.offer(1), other.clone()], |config| {
            config.upstream.first_token_timeout_ms = 1_500;
            config.upstream.connect_timeout_ms = usual;
            config.upstream.connect_timeout_ms_of.insert("m".into(), own);
        })
        .await;
        let failed = error(world.chat(json!({"stream": true})).await).await.1;
        assert!(failed["message"].as_str().unwrap().contains(kind), "{usual} {own}: {failed}");
        let failed = error(world.chat(json!({"model": "n", "stream": true})).await).await.1;
        assert!(!failed["message"].as_str().unwrap().contains(kind), "the other model has the usual time: {failed}");
    }
}

#[tokio::test]
async fn a_failover_is_a_failed_attempt_after_which_another_served() {
    let (bad, good, picky) = (
        Mock::new("bad", vec![]).await,
        good(false).await,
        Mock::new("bad", answer("400 Bad", r#"{"error":{"message":"no"}}"#)).await,
    );
    let refused = Offer { model: "n".into(), ..picky.offer(3) };
    let world = World::with(vec![cheap(bad.offer(1)), good.offer(2), refused], |config| {
        crate::relay::testing::cost_alone(config);
    })
    .await;
    assert_eq!(world.chat(ask(false)).await.status(), 200);
    assert_eq!(world.chat(json!({"model": "n"})).await.status(), 400);
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in ["steam_failovers_total 1", "steam_first_content_seconds_count{model=\"m\"} 1"] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(!metrics.contains("first_content_seconds_count{model=\"n\"}"), "a refusal is no content: {metrics}");
}

#[tokio::test]
async fn who_is_asked_too_late_is_not_blamed_for_it() {
    let (first, second) = (Mock::new("bad", vec![Step::Forever]).await, Mock::new("good", vec![Step::Forever]).await);
    let world = World::with(vec![cheap(first.offer(1)), second.offer(2)], |config| {
        crate::relay::testing::cost_alone(config);
        (config.upstream.first_token_timeout_ms, config.upstream.total_timeout_ms) = (1_000, 1_700);
    })
    .await;
    assert_eq!(error(world.chat(ask(true)).await).await.0, 504);
    let learned = |seed| {
        let offer = crate::chain::Pubkey::new_from_array([seed; 32]);
        world.node.board.figures_of(&offer, NOW * 1_000).minutes5.uptime
    };
    assert_eq!((learned(1), learned(2)), (Some(0.0), None));
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
}

#[tokio::test]
async fn attempts_are_bounded() {
    let mut mocks = Vec::new();
    for name in ["a", "b", "c", "d"] {
        mocks.push(Mock::new(name, answer("500 X", "")).await);
    }
    let offers = mocks.iter().zip(1..).map(|(mock, seed)| mock.offer(seed)).collect();
    let world = World::with(offers, |config| config.upstream.max_attempts = 2).await;
    assert_eq!(error(world.chat(json!({})).await).await.0, 502);
    assert_eq!(mocks.iter().map(Mock::count).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_provider_gets_the_body_the_relayers_signature_and_nothing_of_the_clients() {
    let good = good(true).await;
    let world = World::new(vec![good.offer(1)]).await;
    let request = world.client.post(world.url("/v1/chat/completions")).bearer_auth(world.key().reveal());
    let body =
        json!({"model": "m:floor", "messages": [{"role": "user", "content": "hi"}], "stream": true, "provider": {}});
    let response = request.header("cookie", "a=b").header("x-custom", "1").body(body.to_string()).send().await.unwrap();
    Streamed::read(response).await;
    let (head, body) = good.requests.lock().unwrap()[0].clone();
    for absent in ["authorization", "cookie", "x-custom", "sk-steam", "steam-vault"] {
        assert!(!head.contains(absent), "{head}");
    }
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.contains("user-agent: steam-router/"), "{head}");
    let sent: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&sent["model"], &sent["max_completion_tokens"]), (&json!("m"), &json!(4096)));
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    assert!(sent.get("provider").is_none());
    let value = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(value("steam-relayer"), world.node.registry.borrow().relayer.address.to_string());
    assert_eq!(value("steam-timestamp"), NOW.to_string());
    let offer = world.node.registry.borrow().offers[0].clone();
    assert_eq!(
        (value("steam-provider"), value("steam-offer")),
        (offer.provider.to_string(), offer.address.to_string())
    );
    let hash = |bytes: &[u8]| steam_protocol::sha256(&[bytes]);
    let url = format!("{}/chat/completions", offer.url);
    let message = [
        &b"steam-upstream:v2"[..],
        &offer.provider.to_bytes(),
        &offer.address.to_bytes(),
        &NOW.to_le_bytes(),
        &hash(url.as_bytes()),
        &hash(body.as_bytes()),
    ]
    .concat();
    let signature = decode(&value("steam-signature")).try_into().unwrap();
    assert!(steam_protocol::voucher::verify_strict(&receipt_key(), &message, &signature));
}

#[tokio::test]
async fn a_prompt_that_is_too_long_goes_to_a_model_with_more_room_if_one_is_named() {
    let refusal = answer("400 X", r#"{"error":{"message":"prompt is too long"}}"#);
    let (small, same) = (Mock::new("bad", refusal.clone()).await, Mock::new("same", refusal).await);
    let large = good(false).await;
    let of = |model: &str, context_limit: u32, offer: Offer| Offer { model: model.into(), context_limit, ..offer };
    let offers = vec![
        of("m", 8_192, cheap(small.offer(1))),
        of("m", 8_192, same.offer(2)),
        of("large", 128_000, large.offer(3)),
    ];
    let world = World::with(offers, crate::relay::testing::cost_alone).await;
    for _ in 0..3 {
        let response = world.chat(json!({"max_tokens": 16, "models": ["large"]})).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        let attempts = world.decision(&id).await["attempts"].clone();
        let outcome = |place: usize| attempts[place]["outcome"].as_str().unwrap();
        assert_eq!([outcome(0), outcome(1), outcome(2)], ["context_too_long", "context_too_long", "opened"]);
        assert_eq!(attempts[2]["model"], "large");
    }
    assert_eq!(world.chat(json!({"max_tokens": 16})).await.status(), 400, "nobody with more room is named");
    assert_eq!((same.count(), large.count(), learned(&world, 1).0, learned(&world, 2).0), (4, 3, 0, 0));
}

#[tokio::test]
async fn a_prompt_is_too_long_if_either_of_two_says_so() {
    let no = r#"{"error":{"message":"no"}}"#;
    for (first, second) in [(TOO_LONG, no), (no, TOO_LONG)] {
        let (small, peer) =
            (Mock::new("bad", answer("400 X", first)).await, Mock::new("peer", answer("400 X", second)).await);
        let large = good(false).await;
        let large = Offer { model: "large".into(), context_limit: 128_000, ..large.offer(3) };
        let world =
            World::with(vec![cheap(small.offer(1)), peer.offer(2), large], crate::relay::testing::cost_alone).await;
        let response = world.chat(json!({"max_tokens": 16, "models": ["large"]})).await;
        assert_eq!(response.status(), 200, "{first} {second}");
    }
}

#[tokio::test]
async fn a_peer_that_cannot_judge_keeps_no_prompt_from_a_model_with_more_room() {
    let small = Mock::new("bad", answer("400 X", TOO_LONG)).await;
    let (gone, large) = (Mock::gone("gone").await, good(false).await);
    let large = Offer { model: "large".into(), context_limit: 128_000, ..large.offer(3) };
    let world = World::with(vec![cheap(small.offer(1)), gone.offer(2), large], crate::relay::testing::cost_alone).await;
    let response = world.chat(json!({"max_tokens": 16, "models": ["large"]})).await;
    assert_eq!((response.status().as_u16(), learned(&world, 1).0), (200, 0));
}

#[tokio::test]
async fn another_models_success_convicts_nobody() {
    let picky = Mock::new("bad", answer("400 X", r#"{"error":{"message":"this model takes no images"}}"#)).await;
    let other = good(false).await;
    let world = World::new(vec![picky.offer(1), Offer { model: "n".into(), ..other.offer(2) }]).await;
    for _ in 0..6 {
        let response = world.chat(json!({"max_tokens": 16, "models": ["n"]})).await;
        assert_eq!(response.status(), 400, "the refusal goes back, the first time and the last");
    }
    assert_eq!((other.count(), learned(&world, 1).0), (0, 0));
}

#[tokio::test]
async fn a_provider_that_does_not_know_the_model_it_offers_or_cannot_pay_is_passed_over() {
    let poor = r#"{"error":{"message":"Your credit balance is too low","type":"invalid_request_error"}}"#;
    let missing = r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#;
    for (line, body) in [("404 X", "{}"), ("404 X", missing), ("400 X", poor), ("400 X", missing)] {
        let (bad, good) = (Mock::new("bad", answer(line, body)).await, good(true).await);
        let world = world(&bad, &good).await;
        let streamed = Streamed::read(world.chat(ask(true)).await).await;
        failed_over(&world, &streamed.id, body, "status").await;
        assert_eq!(learned(&world, 1), (1, Some(0.0)), "{body}");
    }
}

#[tokio::test]
async fn a_lone_provider_is_asked_once_more_after_the_pause_it_asks_for() {
    for (name, first, least_ms) in [
        ("a 500", "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", 150),
        ("a 429", "HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n", 150),
        ("seconds with a fraction", "HTTP/1.1 503 X\r\nretry-after: 0.6\r\ncontent-length: 0\r\n\r\n", 600),
        ("milliseconds", "HTTP/1.1 429 X\r\nretry-after-ms: 700\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n", 700),
    ] {
        let mock = Mock::in_turn("flaky", vec![vec![say(first)], answer("200 OK", WHOLE)]).await;
        let world = World::new(vec![mock.offer(1)]).await;
        let began = tokio::time::Instant::now();
        let response = world.chat(json!({"max_tokens": 16})).await;
        assert_eq!(response.status(), 200, "{name}");
        let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        assert_eq!(world.decision(&id).await["attempts"].as_array().unwrap().len(), 2, "{name}");
        assert!(began.elapsed().as_millis() >= least_ms, "{name}: {:?}", began.elapsed());
        assert_eq!(mock.count(), 2, "{name}");
    }
    let late = Mock::new("late", vec![say("HTTP/1.1 429 X\r\nretry-after: 7.5\r\ncontent-length: 0\r\n\r\n")]).await;
    let world = World::new(vec![late.offer(1)]).await;
    let response = world.chat(json!({})).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"8".parse().unwrap()));
    assert_eq!(late.count(), 1, "nobody waits that long");
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_nothing() {
    // Each connection answers once, says that it stays open, and is gone when the next request comes.
    let length = WHOLE.len();
    let kept = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{WHOLE}");
    let mock = Mock::new("closing", vec![Step::Say(kept), Step::DropAtNext]).await;
    let world = World::with(vec![mock.offer(1)], |config| config.upstream.max_attempts = 1).await;
    for _ in 0..12 {
        assert_eq!(world.chat(json!({"max_tokens": 16})).await.status(), 200);
    }
    assert_eq!(learned(&world, 1), (12, Some(1.0)), "no mark against it");
}

#[tokio::test]
async fn an_error_in_json_where_a_stream_was_asked_for_has_its_own_status() {
    let limited = r#"{"error":{"code":429,"message":"slow down"}}"#;
    let wrong = r#"{"error":{"message":"bad field","status_code":400}}"#;
    let broken = r#"{"error":{"message":"broken","code":503}}"#;
    for (body, status, code, says) in [
        (limited, 429, "providers_busy", "rate_limited: status 429 in an answer: slow down"),
        (broken, 502, "providers_failed", "status: status 503 in an answer: broken"),
        (wrong, 400, "", "bad field"),
    ] {
        let mock = Mock::new("groq", answer("200 OK", body)).await;
        let world = World::with(vec![mock.offer(1)], |config| config.upstream.max_attempts = 1).await;
        let response = world.chat(json!({"stream": true})).await;
        assert_eq!(response.status(), status, "{body}");
        let text = response.text().await.unwrap();
        assert!(text.contains(says) && text.contains(code), "{text}");
    }
}

#[tokio::test]
async fn an_error_names_provider_status_and_cause() {
    let wall = Mock::new("wall", answer("502 X", r#"{"error":{"message":"upstream\nis down"}}"#)).await;
    let world = World::with(vec![wall.offer(1)], |config| config.upstream.max_attempts = 1).await;
    for streamed in [false, true] {
        let (_, error) = error(world.chat(json!({"stream": streamed})).await).await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("wall (status: status 502: upstream is down)"), "{message}");
    }
}

#[tokio::test]
async fn a_silent_provider_is_waited_for_only_until_its_breaker_opens() {
    let (silent, good) = (Mock::new("bad", vec![Step::Forever]).await, good(true).await);
    let world = World::new(vec![silent.offer(1), Offer { model: "n".into(), ..good.offer(2) }]).await;
    for _ in 0..5 {
        let response = world.chat(json!({"stream": true, "models": ["n"]})).await;
        assert!(Streamed::read(response).await.done);
    }
    assert!((1..=2).contains(&silent.count()), "{}: then the other model comes first", silent.count());
}
