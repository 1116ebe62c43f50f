//! What a provider says of its errors and of its usage reaches the client.

use crate::registry::Offer;
use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, Step, answer, head, stream};
use crate::relay::testing::world::{Streamed, World};
use serde_json::{Value, json};
use steam_protocol::units::Pico;
use steam_router::state::capability;

const LONG: &str =
    r#"{"error":{"message":"maximum context length is 8192","type":"x","code":"context_length_exceeded"}}"#;

async fn asked(mock: &Mock, path: &str, streamed: bool, capabilities: u64) -> (u16, Value) {
    let world = World::new(vec![Offer { capabilities, ..mock.offer(1) }]).await;
    let hello = json!([{"role": "user", "content": "say hello"}]);
    let body = match path {
        "/v1/responses" => json!({"model": "m", "input": hello, "stream": streamed}),
        _ => json!({"model": "m", "messages": hello, "max_tokens": 5, "stream": streamed}),
    };
    let response = world.post_to(path, body.to_string()).await;
    let answered = (response.status().as_u16(), response.json().await.unwrap());
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
    answered
}

#[tokio::test]
async fn an_error_that_refuses_the_request_is_a_refusal_whatever_the_status_of_the_answer() {
    let coded = LONG.replace(r#""type":"x""#, r#""status_code":400"#);
    let ways = [
        ("first event", true, stream(&[&LONG.replace("\"x\"", "\"invalid_request_error\"")])),
        ("after the role", true, stream(&[ROLE, LONG])),
        (
            "a named event",
            true,
            vec![head("200 OK", "text/event-stream"), Step::Say(format!("event: error\ndata: {LONG}\n\n"))],
        ),
        ("JSON in place of events", true, answer("200 OK", &coded)),
        ("a whole answer", false, answer("200 OK", LONG)),
    ];
    for (way, streamed, steps) in ways {
        let mock = Mock::new("p", steps).await;
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
            // In the client's dialect, and translated.
            for capabilities in [u64::MAX, capability::CHAT | capability::STREAMING] {
                let (status, body) = asked(&mock, path, streamed, capabilities).await;
                assert_eq!(status, 400, "{way} {path}: {body}");
                assert_eq!(body["error"]["message"], "maximum context length is 8192", "{way} {path}");
                assert_eq!(body["error"]["code"], "context_length_exceeded", "{way} {path}");
                assert_eq!(body["type"] == "error", path == "/v1/messages", "{way} {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_text_of_a_compressed_refusal_is_not_lost() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(LONG.as_bytes()).unwrap();
    let head =
        "HTTP/1.1 400 Long\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    let mock = Mock::new("p", vec![Step::Say(head.into()), Step::Raw(encoder.finish().unwrap().leak())]).await;
    let (status, body) = asked(&mock, "/v1/messages", false, capability::CHAT).await;
    assert_eq!((status, &body["error"]["message"]), (400, &json!("maximum context length is 8192")));
    let sent = mock.requests.lock().unwrap()[0].0.clone();
    assert!(sent.contains("accept-encoding: identity"), "{sent}");
}

#[tokio::test]
async fn usage_comes_in_the_providers_own_chunk_with_the_billed_counts() {
    let usage = r#"{"id":"c","created":5,"model":"m","system_fingerprint":"fp","service_tier":"default","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":99,"total_tokens":119,"x":7}}"#;
    let nameless = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
    let mock = Mock::new("p", stream(&[nameless, HELLO, STOP, usage, "[DONE]"])).await;
    let world = World::new(vec![mock.offer(1)]).await;
    let asking = json!({"stream": true, "stream_options": {"include_usage": true}});
    let streamed = Streamed::read(world.chat(asking.clone()).await).await;
    let last = streamed.events.last().unwrap();
    assert_eq!((&last["system_fingerprint"], &last["service_tier"]), (&json!("fp"), &json!("default")));
    let shown = (&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"], &last["usage"]["x"]);
    assert_eq!(shown, (&json!(20), &json!(5), &json!(7)), "five bytes are five tokens at most");
    assert!(streamed.events.iter().filter(|event| event.get("usage").is_some()).count() == 1);

    // Usage beside the end is told in a chunk of its own, which has the answer's name though the first chunk had none.
    let beside = STOP.replace("}]}", r#"}],"usage":{"prompt_tokens":20,"completion_tokens":3}}"#);
    let mock = Mock::new("p", stream(&[nameless, HELLO, &beside, "[DONE]"])).await;
    let world = World::new(vec![mock.offer(1)]).await;
    let streamed = Streamed::read(world.chat(asking).await).await;
    let last = streamed.events.last().unwrap();
    assert_eq!(
        (&last["id"], &last["model"], &last["usage"]["completion_tokens"]),
        (&json!("c"), &json!("m"), &json!(3))
    );
    assert_eq!(streamed.events.iter().filter(|event| event.get("usage").is_some()).count(), 1);
}

#[tokio::test]
async fn an_answer_that_says_nothing_and_stops_is_one() {
    let empty = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":1}}"#;
    for (streamed, steps) in [(false, answer("200 OK", empty)), (true, stream(&[ROLE, STOP, "[DONE]"]))] {
        let mock = Mock::new("p", steps).await;
        let world = World::new(vec![mock.offer(1)]).await;
        let response = world.chat(json!({"stream": streamed})).await;
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        assert!(world.settled_down().await.1 > Pico::ZERO, "its prompt was read");
    }
}
