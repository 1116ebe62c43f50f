//! Whatever a provider does wrong before its first content, the client gets the next one's answer and pays for that.

use crate::relay::testing::NOW;
use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, Step, USAGE, WHOLE, answer, good, head, stream};
use crate::relay::testing::world::{Streamed, World, decode, error, receipt_key};
use serde_json::{Value, json};
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::Pico;

fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

/// Misbehaviours on any request.
fn anywhere() -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let status = |status: &str| vec![say(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"))];
    vec![
        ("closes at once", vec![], "cut_stream"),
        ("speaks no HTTP", vec![say("220 smtp ready\r\n")], "cut_stream"),
        ("half a head", vec![say("HTTP/1.1 200 OK\r\ncontent-ty")], "cut_stream"),
        ("500", status("500 Oops"), "status"),
        ("502", status("502 Bad"), "status"),
        ("503", status("503 Busy"), "status"),
        ("401", status("401 Who"), "status"),
        ("402", status("402 Pay"), "status"),
        ("403", status("403 No"), "status"),
        ("408", status("408 Slow"), "status"),
        ("204", status("204 Nothing"), "status"),
        (
            "redirect",
            vec![say("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")],
            "status",
        ),
        ("429", status("429 Later"), "rate_limited"),
        ("html", vec![head("200 OK", "text/html"), say("<h1>hi</h1>")], "malformed"),
        ("no type", status("200 OK"), "malformed"),
        (
            "an encoding",
            vec![say("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/event-stream\r\n\r\n")],
            "malformed",
        ),
    ]
}

fn streaming() -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let open = |more: &[Step]| [&stream(&[])[..], more].concat();
    vec![
        ("never answers", vec![Step::Forever], "first_token_timeout"),
        ("never streams", open(&[Step::Forever]), "first_token_timeout"),
        ("role, then nothing", [stream(&[ROLE]), vec![Step::Forever]].concat(), "first_token_timeout"),
        (
            "only comments",
            open(&[say(": wait\n\n"), Step::Pause(200), say(": wait\n\n"), Step::Forever]),
            "first_token_timeout",
        ),
        ("whole answer to a stream", answer("200 OK", WHOLE), "malformed"),
        ("empty stream", open(&[]), "empty"),
        ("only the end", stream(&["[DONE]"]), "empty"),
        ("role and stop", stream(&[ROLE, STOP, USAGE, "[DONE]"]), "empty"),
        ("role, then cut", stream(&[ROLE]), "empty"),
        ("no JSON", stream(&["hello"]), "malformed"),
        ("half a JSON", open(&[say("data: {\"choices\":[{")]), "malformed"),
        ("no chunk", stream(&[r#"{"hello":1}"#]), "malformed"),
        ("error first", stream(&[r#"{"error":{"message":"overloaded","code":529}}"#]), "status"),
        ("role, then error", stream(&[ROLE, r#"{"error":{"message":"x"}}"#]), "cut_stream"),
        ("rate limit in the stream", stream(&[r#"{"error":{"code":"429"}}"#]), "rate_limited"),
        ("named error", open(&[say("event: error\ndata: oops\n\n")]), "cut_stream"),
        ("finish error", stream(&[r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#]), "cut_stream"),
        (
            "cut within chunked coding",
            vec![say(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:",
            )],
            "cut_stream",
        ),
        ("endless line", open(&[say(&"x".repeat(300 << 10)), Step::Forever]), "malformed"),
    ]
}

fn whole() -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let empty = r#"{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
    vec![
        ("never answers", vec![Step::Forever], "first_token_timeout"),
        (
            "half a body",
            vec![say("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{}")],
            "cut_stream",
        ),
        ("stream to a whole request", stream(&[HELLO]), "malformed"),
        ("no body", answer("200 OK", ""), "empty"),
        ("no JSON", answer("200 OK", "hello"), "malformed"),
        ("no choices", answer("200 OK", r#"{"choices":[]}"#), "malformed"),
        ("no message", answer("200 OK", r#"{"choices":[{"index":0}]}"#), "malformed"),
        ("an error with status 200", answer("200 OK", r#"{"error":{"message":"x","code":500}}"#), "status"),
        ("empty answer", answer("200 OK", empty), "empty"),
        ("too large", answer("200 OK", &"x".repeat(100_000)), "malformed"),
        (
            "announces too much",
            vec![say("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999999999\r\n\r\n")],
            "malformed",
        ),
    ]
}

async fn world(bad: &Mock, good: &Mock) -> World {
    World::with(vec![bad.offer(1), good.offer(2)], |config| config.upstream.max_answer_bytes = 50_000).await
}

fn ask(streamed: bool) -> Value {
    json!({"stream": streamed, "max_tokens": 3, "provider": {"order": ["bad", "good"]}})
}

async fn failed_over(world: &World, id: &str, name: &str, expected: &str) {
    let decision = world.decision(id).await;
    assert_eq!(decision["attempts"][0]["outcome"], expected, "{name}: {}", decision["attempts"]);
    assert_eq!(decision["attempts"][1]["outcome"], "opened", "{name}");
    // 20 of input at 1 pico-USDC·10^6, 3 of output at 2, and 1 %
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(26_260_000)), "{name}");
}

#[tokio::test]
async fn a_stream_fails_over_before_its_first_content() {
    for (name, steps, expected) in anywhere().into_iter().chain(streaming()) {
        let (bad, good) = (Mock::new("bad", steps).await, good(true).await);
        let world = world(&bad, &good).await;
        let streamed = Streamed::read(world.chat(ask(true)).await).await;
        assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true), "{name}");
        let receipt = streamed.receipt.unwrap().receipt;
        assert_eq!(receipt.offer, [2; 32], "{name}");
        failed_over(&world, &streamed.id, name, expected).await;
        assert_eq!((bad.count(), good.count()), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_whole_answer_fails_over() {
    for (name, steps, expected) in anywhere().into_iter().chain(whole()) {
        if name == "an encoding" {
            continue;
        }
        let (bad, good) = (Mock::new("bad", steps).await, good(false).await);
        let world = world(&bad, &good).await;
        let response = world.chat(ask(false)).await;
        assert_eq!(response.status(), 200, "{name}");
        let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
        let signed = SignedReceipt::from_bytes(&decode(response.headers()["steam-receipt"].to_str().unwrap())).unwrap();
        signed.verify(&receipt_key()).unwrap();
        let body = response.bytes().await.unwrap();
        assert_eq!(signed.receipt.response_hash, steam_protocol::sha256(&[&body]), "{name}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], "hello", "{name}");
        assert_eq!(body["usage"]["cost"], 0.00002626, "{name}");
        failed_over(&world, &id, name, expected).await;
    }
}

#[tokio::test]
async fn a_provider_nobody_listens_for_is_passed_over() {
    let (gone, good) = (Mock::gone("bad").await, good(true).await);
    let world = world(&gone, &good).await;
    let streamed = Streamed::read(world.chat(ask(true)).await).await;
    failed_over(&world, &streamed.id, "gone", "connect").await;
}

#[tokio::test]
async fn a_request_the_provider_calls_wrong_goes_back_as_it_is_and_costs_nothing() {
    let stated = r#"{"error":{"message":"context too long","code":"context_length_exceeded"}}"#;
    for status in ["400", "404", "413", "422"] {
        for (body, code) in
            [(stated, "context_length_exceeded"), ("<html>", "provider_refused"), ("[1]", "provider_refused")]
        {
            let (bad, good) = (Mock::new("bad", answer(&format!("{status} X"), body)).await, good(true).await);
            let world = world(&bad, &good).await;
            let response = world.chat(ask(true)).await;
            assert_eq!(response.status().as_str(), status);
            assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], code);
            assert_eq!(good.count(), 0, "it would be wrong anywhere");
            assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
        }
    }
}

#[tokio::test]
async fn once_all_have_failed_the_error_says_how_and_nothing_is_held() {
    let later = "HTTP/1.1 429 X\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n";
    for (steps, status, code, retry) in [
        (vec![say(later)], 503, "providers_busy", Some("17")),
        (vec![Step::Forever], 504, "providers_timed_out", None),
        (vec![], 502, "providers_failed", None),
    ] {
        let (bad, worse) = (Mock::new("bad", steps.clone()).await, Mock::new("worse", steps).await);
        let world = world(&bad, &worse).await;
        let response = world.chat(json!({"stream": true})).await;
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), retry);
        let (got, error) = error(response).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("bad (") && message.contains("worse ("), "{message}");
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO));
    }
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
    assert_eq!((&sent["model"], &sent["max_tokens"]), (&json!("m"), &json!(4096)));
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    assert!(sent.get("provider").is_none());
    let value = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(value("steam-relayer"), world.app.registry.borrow().relayer.address.to_string());
    assert_eq!(value("steam-timestamp"), NOW.to_string());
    let message = [&b"steam-upstream:v1"[..], &NOW.to_le_bytes(), &steam_protocol::sha256(&[body.as_bytes()])].concat();
    let signature = decode(&value("steam-signature")).try_into().unwrap();
    assert!(steam_protocol::voucher::verify_strict(&receipt_key(), &message, &signature));
}
