//! Streams: what the client sees of usage, what happens when either side stops, and what is charged then.

use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, Step, USAGE, WHOLE, answer, good, stream};
use crate::relay::testing::world::{Streamed, World, request};
use futures::StreamExt;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use steam_protocol::receipt::{CountedBy, FinishReason};
use steam_protocol::units::Pico;

async fn one(steps: Vec<Step>) -> (Mock, World) {
    let mock = Mock::new("only", steps).await;
    let world = World::with(vec![mock.offer(1)], |config| config.upstream.max_answer_bytes = 50_000).await;
    (mock, world)
}

#[tokio::test]
async fn usage_is_shown_once_with_its_cost_and_only_if_asked_for() {
    let chatty = HELLO.replace(r#"}]}"#, r#"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#);
    for events in [vec![ROLE, HELLO, STOP, USAGE, "[DONE]"], vec![ROLE, &chatty, STOP, USAGE, "[DONE]"]] {
        let (_mock, world) = one(stream(&events)).await;
        let plain = Streamed::read(world.chat(json!({"stream": true})).await).await;
        assert!(plain.events.iter().all(|event| event.get("usage").is_none()));
        assert_eq!((plain.text().as_str(), plain.done), ("hello", true));

        let asked = json!({"stream": true, "stream_options": {"include_usage": true}});
        let asked = Streamed::read(world.chat(asked).await).await;
        let with_usage: Vec<_> = asked.events.iter().filter(|event| event.get("usage").is_some()).collect();
        assert_eq!(with_usage.len(), 1);
        let last = asked.events.last().unwrap();
        assert_eq!((last["choices"].clone(), last["id"].clone()), (json!([]), json!("c")));
        assert_eq!(last["usage"]["prompt_tokens"], 20);
        assert_eq!(last["usage"]["cost"], 0.00002626);
        let receipt = asked.receipt.unwrap().receipt;
        assert_eq!((receipt.usage.input, receipt.usage.output), (20, 3));
        assert_eq!((receipt.counted_by, receipt.finish_reason), (CountedBy::Provider, FinishReason::Stop));
    }
}

#[tokio::test]
async fn events_reach_the_client_to_the_byte() {
    let odd = r#"{ "choices" : [{"delta":{"content":"h\u00e9"},"index":0 }], "x":1.50 }"#;
    let (_mock, world) = one(stream(&[odd, STOP, "[DONE]"])).await;
    let text = world.chat(json!({"stream": true})).await.text().await.unwrap();
    assert!(text.starts_with(&format!("data: {odd}\n\ndata: {STOP}\n\n: steam-receipt ")), "{text}");
    assert!(text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn a_stream_without_its_mark_is_complete_if_it_said_why_it_ended() {
    let (_mock, world) = one(stream(&[HELLO, STOP])).await;
    let streamed = Streamed::read(world.chat(json!({"stream": true})).await).await;
    assert!(streamed.done);
    assert_eq!(streamed.receipt.unwrap().receipt.counted_by, CountedBy::Relayer);
}

#[tokio::test]
async fn a_claim_above_the_delivered_bytes_is_capped() {
    let greedy = USAGE.replace("\"completion_tokens\":3", "\"completion_tokens\":4000");
    let (_mock, world) = one(stream(&[HELLO, STOP, &greedy, "[DONE]"])).await;
    let streamed = Streamed::read(world.chat(json!({"stream": true})).await).await;
    let receipt = streamed.receipt.unwrap().receipt;
    assert_eq!((receipt.usage.output, receipt.counted_by), (5, CountedBy::Capped));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_aborts_it_and_pays_for_what_it_was_sent() {
    let (mock, world) = one([stream(&[ROLE, HELLO]), vec![Step::Pause(100), Step::Forever]].concat()).await;
    let response = world.chat(json!({"stream": true})).await;
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let mut body = response.bytes_stream();
    body.next().await.unwrap().unwrap();
    drop(body);
    let (held, unsettled) = world.settled_down().await;
    assert_eq!(held, Pico::ZERO);
    assert!(unsettled > Pico::ZERO);
    let (status, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
    assert_eq!((status, receipt["fields"]["finish_reason"].as_str()), (200, Some("client_gone")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(mock.hung_up.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_leaves_at_the_last_word_pays_as_much_as_who_stays() {
    let ended = r#"{"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":{"content":" 42."},"finish_reason":"stop"}]}"#;
    let usage = r#"{"id":"c","created":5,"model":"m","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":33,"completion_tokens_details":{"reasoning_tokens":30}}}"#;
    let late = |rest: &str| vec![Step::Pause(400), Step::Say(rest.to_owned())];
    let usage = format!("data: {usage}\n\n");
    let begun = stream(&[ROLE, HELLO, ended]);
    for (name, steps, output) in [
        ("usage and mark", [begun.clone(), late(&format!("{usage}data: [DONE]\n\n"))].concat(), 33),
        ("usage and no mark", [begun.clone(), late(&usage)].concat(), 33),
        // Nobody tells what was hidden: what was sent is billed.
        ("no usage", [begun.clone(), late("data: {{{\n\n")].concat(), 3),
    ] {
        let mock = Mock::new("only", steps).await;
        let world = World::with(vec![mock.offer(1)], |config| config.upstream.idle_timeout_ms = 5_000).await;
        let mut billed = Vec::new();
        for leaves in [false, true] {
            let response = world.chat(json!({"stream": true, "max_tokens": 4000})).await;
            let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
            let mut body = response.bytes_stream();
            let mut text = String::new();
            while let Some(Ok(piece)) = body.next().await {
                text += std::str::from_utf8(&piece).unwrap();
                if leaves && text.contains(r#""finish_reason":"stop""#) {
                    break;
                }
            }
            drop(body);
            assert!(text.contains(" 42.") && text.contains("stop"), "{name}: {text}");
            assert_eq!(world.settled_down().await.0, Pico::ZERO, "{name}");
            let (_, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
            billed.push(receipt["fields"]["usage"]["output"].as_u64().unwrap());
        }
        assert_eq!(billed, [output, output], "{name}");
    }
}

#[tokio::test]
async fn who_leaves_pays_for_the_prompt_as_the_provider_counted_it_where_it_said_so_early() {
    let early = r#"{"id":"c","created":5,"model":"m","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":18}}}"#;
    let steps = [stream(&[ROLE, early, HELLO]), vec![Step::Pause(100), Step::Forever]].concat();
    let mock = Mock::new("only", steps).await;
    let world = World::with(vec![mock.offer(1)], |config| config.upstream.idle_timeout_ms = 5_000).await;
    let response = world.chat(json!({"stream": true})).await;
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let mut body = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("hello") {
        text += std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap();
    }
    drop(body);
    world.settled_down().await;
    let (_, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
    let (usage, counted_by) = (&receipt["fields"]["usage"], &receipt["fields"]["counted_by"]);
    assert_eq!((&usage["input"], &usage["cached"], &usage["output"]), (&json!(2), &json!(18), &json!(2)), "{receipt}");
    assert_eq!(counted_by, "relayer", "two tokens of five bytes were sent, and one was told");
}

#[tokio::test]
async fn a_client_that_leaves_before_an_answer_aborts_it_and_pays_nothing() {
    for streamed in [false, true] {
        let mock = Mock::new("only", vec![Step::Forever]).await;
        let world = World::with(vec![mock.offer(1)], |config| config.upstream.first_token_timeout_ms = 60_000).await;
        let asking = world.chat(json!({"stream": streamed}));
        assert!(tokio::time::timeout(Duration::from_millis(200), asking).await.is_err());
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(mock.hung_up.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_request_under_way_is_held_for_and_its_signed_twin_refused() {
    let mock =
        Mock::new("only", vec![Step::Pause(200), answer("200 OK", WHOLE).remove(0), Step::Say(WHOLE.into())]).await;
    let world = World::new(vec![mock.offer(1)]).await;
    let body = request(json!({"max_tokens": 3})).to_string();
    let send = || {
        let headers = world.signer().headers("POST", "/v1/chat/completions", body.as_bytes());
        world.client.post(world.url("/v1/chat/completions")).headers(headers).body(body.clone()).send()
    };
    let (first, second) = tokio::join!(send(), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(world.node.vaults.sums().held > Pico::ZERO);
        send().await
    });
    let first = first.unwrap();
    assert_eq!((first.status().as_u16(), second.unwrap().status().as_u16()), (200, 409));
    let again = send().await.unwrap();
    assert_eq!(again.status(), 409);
    assert_eq!(mock.count(), 1);
}

#[tokio::test]
async fn answers_to_many_streams_at_once_are_each_charged_once() {
    let good = good(true).await;
    // Fifty at once on a busy machine are slow without being at fault.
    let patient = |c: &mut crate::config::Config| {
        (c.upstream.first_token_timeout_ms, c.upstream.idle_timeout_ms) = (10_000, 10_000);
    };
    let world = World::with(vec![good.offer(1)], patient).await;
    let streams = (0..50).map(|_| async { Streamed::read(world.chat(json!({"stream": true})).await).await });
    let mut numbers: Vec<u64> =
        futures::future::join_all(streams).await.into_iter().map(|s| s.receipt.unwrap().receipt.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 50);
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(50 * 26_260_000)));
}

#[tokio::test]
async fn comments_bridge_a_long_thought_before_and_between_contents() {
    let think = || Step::Pause(700);
    let steps = [
        stream(&[ROLE]),
        vec![think()],
        stream(&[HELLO])[1..].to_vec(),
        vec![think()],
        stream(&[STOP, USAGE, "[DONE]"])[1..].to_vec(),
    ]
    .concat();
    let mock = Mock::new("thinker", steps).await;
    let world = World::with(vec![mock.offer(1)], |config| {
        config.upstream.keep_alive_ms = 100;
        (config.upstream.first_token_timeout_ms, config.upstream.idle_timeout_ms) = (20_000, 20_000);
    })
    .await;
    let response = world.chat(json!({"stream": true, "max_tokens": 3})).await;
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let text = response.text().await.unwrap();
    let (before, after) = text.split_once(HELLO).unwrap();
    assert!(before.starts_with(": keep-alive\n\n") && before.contains(ROLE), "{text}");
    assert!(after.contains(": keep-alive\n\n"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let (_, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
    let said = text.split(": steam-receipt ").next().unwrap();
    let hash = hex::encode(steam_protocol::sha256(&[said.as_bytes()]));
    assert_eq!(receipt["fields"]["response_hash"], hash, "the comments are part of what was sent");
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)));
}

#[tokio::test]
async fn a_failure_after_comments_is_an_event_and_costs_nothing() {
    let slow = |more: Vec<Step>| [vec![Step::Pause(500)], more].concat();
    let refusal = answer("400 X", r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#);
    for (steps, code) in [(slow(vec![]), "providers_failed"), (slow(refusal), "context_length_exceeded")] {
        let mock = Mock::new("only", steps).await;
        let world = World::with(vec![mock.offer(1)], |config| {
            config.upstream.keep_alive_ms = 100;
            config.upstream.first_token_timeout_ms = 20_000;
        })
        .await;
        let streamed = Streamed::read(world.chat(json!({"stream": true})).await).await;
        assert_eq!((streamed.text().as_str(), streamed.done, streamed.receipt.is_none()), ("", false, true));
        assert_eq!(streamed.events.last().unwrap()["error"]["code"], code);
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_comments_aborts_the_provider_and_pays_nothing() {
    let mock = Mock::new("only", vec![Step::Forever]).await;
    let world = World::with(vec![mock.offer(1)], |config| {
        config.upstream.keep_alive_ms = 50;
        config.upstream.first_token_timeout_ms = 60_000;
    })
    .await;
    let mut body = world.chat(json!({"stream": true})).await.bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), ": keep-alive\n\n");
    drop(body);
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(mock.hung_up.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_answer_of_a_cut_stream_ends_in_an_error() {
    let (_mock, world) = one(stream(&[HELLO])).await;
    let streamed = Streamed::read(world.chat(json!({"stream": true, "n": 3})).await).await;
    let [.., chunk, _] = &streamed.events[..] else { panic!("{:?}", streamed.events) };
    let ended: Vec<(u64, &str)> = chunk["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| (choice["index"].as_u64().unwrap(), choice["finish_reason"].as_str().unwrap()))
        .collect();
    assert_eq!(ended, [(0, "error"), (1, "error"), (2, "error")]);
}
