//! Before the first content nobody has seen anything: with another provider at hand the client gets that one's answer and
//! pays for it alone, and without one an error that costs nothing.

use super::{COST, Case, ask, ask_alone, case, each, learned, say, world};
use crate::relay::testing::mock::{HELLO, Mock, ROLE, Step, USAGE, WHOLE, answer, good, head, stream};
use crate::relay::testing::world::{Streamed, World, decode, error, receipt_key};
use serde_json::Value;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::Pico;

fn status(line: &str) -> Vec<Step> {
    vec![say(&format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n"))]
}

fn with_headers(headers: &str, body: &str) -> Vec<Step> {
    vec![say(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}"))]
}

/// On any request.
pub(super) fn anywhere() -> Vec<Case> {
    vec![
        case("closes at once", vec![], "cut_stream"),
        case("resets at once", vec![Step::Reset], "cut_stream"),
        case("speaks no HTTP", vec![say("220 smtp ready\r\n")], "cut_stream"),
        case(
            "speaks TLS where none is expected",
            vec![Step::Raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")],
            "cut_stream",
        ),
        case("sends binary noise", vec![Step::Raw(b"\x00\xff\xfe\x80\x81\r\n\r\n")], "cut_stream"),
        case("speaks HTTP/2 unasked", vec![Step::Raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")], "cut_stream"),
        case("half a head", vec![say("HTTP/1.1 200 OK\r\ncontent-ty")], "cut_stream"),
        case("half a head, then a reset", vec![say("HTTP/1.1 200 OK\r\n"), Step::Pause(20), Step::Reset], "cut_stream"),
        case("a head that never ends", vec![Step::Flood(format!("x-a: {}\r\n", "b".repeat(1_000)))], "cut_stream"),
        case(
            "a head byte by byte",
            vec![Step::Trickle("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n".into(), 100), Step::Forever],
            "first_token_timeout",
        ),
        case(
            "lines without end in the head",
            vec![say("HTTP/1.1 200 OK\r\nx: "), Step::Flood("y".repeat(4_096))],
            "cut_stream",
        ),
        case("an impossible status", vec![say("HTTP/1.1 99 X\r\n\r\n")], "cut_stream"),
        case("a status that is no number", vec![say("HTTP/1.1 OK\r\n\r\n")], "cut_stream"),
        case(
            "two lengths",
            with_headers("content-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3", "{}"),
            "cut_stream",
        ),
        case(
            "a negative length",
            with_headers("content-type: application/json\r\ncontent-length: -1", "{}"),
            "cut_stream",
        ),
        case("a name with a blank in the head", vec![say("HTTP/1.1 200 OK\r\nconte nt: x\r\n\r\n")], "cut_stream"),
        case("never a word", vec![Step::Forever], "first_token_timeout"),
        case("continues for ever", vec![say("HTTP/1.1 100 Continue\r\n\r\n"), Step::Forever], "first_token_timeout"),
        case("500", status("500 Oops"), "status"),
        case(
            "500 with a body that never comes",
            vec![say("HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\n"), Step::Forever],
            "status",
        ),
        case("502", status("502 Bad"), "status"),
        case("503", status("503 Busy"), "status"),
        case("504", status("504 Late"), "status"),
        case("529", status("529 Overloaded"), "status"),
        case("401 of the relayer's account", status("401 Who"), "status"),
        case("402 of the relayer's account", status("402 Pay"), "status"),
        case("403 of the relayer's account", status("403 No"), "status"),
        case("405", status("405 Not so"), "status"),
        case("408", status("408 Slow"), "status"),
        case("409", status("409 Conflict"), "status"),
        case("418", status("418 Tea"), "status"),
        case("204", vec![say("HTTP/1.1 204 Nothing\r\n\r\n")], "status"),
        case("206", status("206 Part"), "status"),
        case("304", vec![say("HTTP/1.1 304 Same\r\n\r\n")], "status"),
        case(
            "301",
            vec![say("HTTP/1.1 301 X\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n")],
            "status",
        ),
        case(
            "307 into the relayer's own network",
            vec![say("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")],
            "status",
        ),
        case("429", status("429 Later"), "rate_limited"),
        case(
            "429 with nonsense in Retry-After",
            vec![say("HTTP/1.1 429 X\r\nretry-after: soon\r\ncontent-length: 0\r\n\r\n")],
            "rate_limited",
        ),
        case("html", vec![head("200 OK", "text/html"), say("<h1>hi</h1>")], "malformed"),
        case("no type and no body", status("200 OK"), "empty"),
        case(
            "a type of binary noise",
            vec![Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-type: \xff\xfe\r\nconnection: close\r\n\r\n")],
            "empty",
        ),
        case("an unknown coding", with_headers("content-encoding: br\r\ncontent-type: text/plain", ""), "malformed"),
    ]
}

/// On a request for a stream.
pub(super) fn streaming() -> Vec<Case> {
    let open = |more: &[Step]| [&stream(&[])[..], more].concat();
    let chunked = "transfer-encoding: chunked\r\ncontent-type: text/event-stream";
    vec![
        case("never streams", open(&[Step::Forever]), "first_token_timeout"),
        case("role, then nothing", [stream(&[ROLE]), vec![Step::Forever]].concat(), "first_token_timeout"),
        case(
            "only comments",
            open(&[say(": wait\n\n"), Step::Pause(200), say(": wait\n\n"), Step::Forever]),
            "first_token_timeout",
        ),
        case("comments for ever", open(&[Step::Trickle(": wait\n\n".repeat(100), 20)]), "first_token_timeout"),
        case(
            "an event byte by byte, too slowly",
            open(&[Step::Trickle(format!("data: {HELLO}\n\n"), 50)]),
            "first_token_timeout",
        ),
        case("a whole answer to a stream", answer("200 OK", WHOLE), "malformed"),
        case(
            "a stream that is no gzip",
            with_headers("content-encoding: gzip\r\ncontent-type: text/event-stream", "data: x\n\n"),
            "malformed",
        ),
        case("text in place of events", vec![head("200 OK", "text/plain"), say("hello")], "empty"),
        case(
            "an error of JSON in place of events",
            answer("200 OK", r#"{"error":{"message":"x","code":503}}"#),
            "status",
        ),
        case("a limit of JSON in place of events", answer("200 OK", r#"{"error":{"code":429}}"#), "rate_limited"),
        case("an empty stream", open(&[]), "empty"),
        case(
            "an empty stream of length 0",
            with_headers("content-type: text/event-stream\r\ncontent-length: 0", ""),
            "empty",
        ),
        case("only the end", stream(&["[DONE]"]), "empty"),
        case("a role and an empty reason", stream(&[&ROLE.replace("null", "\"\"")]), "empty"),
        case("a role and an odd reason", stream(&[&ROLE.replace("null", "\"odd\"")]), "empty"),
        case("usage without an answer", stream(&[USAGE, "[DONE]"]), "empty"),
        case("role, then cut", stream(&[ROLE]), "empty"),
        case("role, then a reset", [stream(&[ROLE]), vec![Step::Pause(20), Step::Reset]].concat(), "cut_stream"),
        case("no JSON", stream(&["hello"]), "malformed"),
        case("half a JSON", open(&[say("data: {\"choices\":[{")]), "malformed"),
        case("JSON that is no chunk", stream(&[r#"{"hello":1}"#]), "empty"),
        case("an array", stream(&["[1]"]), "malformed"),
        case(
            "an answer nobody asked for",
            stream(&[ROLE, r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#]),
            "malformed",
        ),
        case(
            "text that is no UTF-8",
            open(&[Step::Raw(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n")]),
            "malformed",
        ),
        case("html within a stream", open(&[say("data: <html><body>502</body></html>\n\n")]), "malformed"),
        case("error first", stream(&[r#"{"error":{"message":"overloaded","code":529}}"#]), "status"),
        case("error as text first", stream(&[r#"{"error":"overloaded"}"#]), "cut_stream"),
        case("role, then error", stream(&[ROLE, r#"{"error":{"message":"x"}}"#]), "cut_stream"),
        case("rate limit in the stream", stream(&[r#"{"error":{"code":"429"}}"#]), "rate_limited"),
        case("a named error", open(&[say("event: error\ndata: oops\n\n")]), "cut_stream"),
        case("finish error", stream(&[r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#]), "cut_stream"),
        case("cut within chunked coding", with_headers(chunked, "5\r\ndata:"), "cut_stream"),
        case("chunks of impossible length", with_headers(chunked, "zz\r\ndata: x\r\n"), "cut_stream"),
        case(
            "shorter than its length",
            with_headers("content-length: 500\r\ncontent-type: text/event-stream", ": hi\n\n"),
            "cut_stream",
        ),
        case("an endless line", open(&[Step::Flood("x".repeat(64 << 10))]), "malformed"),
        case("an endless event", open(&[Step::Flood("data: xxxxxxxxxxxxxxxx\n".repeat(1_000))]), "malformed"),
        case("roles without end", open(&[Step::Flood(format!("data: {ROLE}\n\n").repeat(100))]), "malformed"),
    ]
}

/// On a request for a whole answer.
pub(super) fn whole() -> Vec<Case> {
    let json = "content-type: application/json";
    let empty = r#"{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
    vec![
        case("half a body", with_headers(&format!("{json}\r\ncontent-length: 999"), "{}"), "cut_stream"),
        case(
            "half a body, then a reset",
            [with_headers(&format!("{json}\r\ncontent-length: 999"), "{}"), vec![Step::Pause(20), Step::Reset]]
                .concat(),
            "cut_stream",
        ),
        case(
            "cut within chunked coding",
            with_headers(&format!("{json}\r\ntransfer-encoding: chunked"), "50\r\n{"),
            "cut_stream",
        ),
        case(
            "a body byte by byte, too slowly",
            [vec![head("200 OK", "application/json")], vec![Step::Trickle(WHOLE.into(), 20)]].concat(),
            "first_token_timeout",
        ),
        case("a stream to a whole request", stream(&[HELLO]), "malformed"),
        case(
            "an answer that is no gzip",
            with_headers(&format!("{json}\r\ncontent-encoding: gzip"), "{}"),
            "malformed",
        ),
        case("text that is no answer", vec![head("200 OK", "text/plain"), say("hello")], "malformed"),
        case("no body", answer("200 OK", ""), "empty"),
        case("no JSON", answer("200 OK", "hello"), "malformed"),
        case("half a JSON", answer("200 OK", &WHOLE[..40]), "malformed"),
        case("two JSONs", answer("200 OK", &WHOLE.repeat(2)), "malformed"),
        case("html that says it is JSON", answer("200 OK", "<html></html>"), "malformed"),
        case(
            "text that is no UTF-8",
            vec![
                head("200 OK", "application/json"),
                Step::Raw(b"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}"),
            ],
            "malformed",
        ),
        case(
            "two answers to one question",
            answer(
                "200 OK",
                r#"{"choices":[{"index":0,"message":{"content":"x"}},{"index":1,"message":{"content":"y"}}]}"#,
            ),
            "malformed",
        ),
        case("no choices", answer("200 OK", r#"{"choices":[]}"#), "malformed"),
        case("no message", answer("200 OK", r#"{"choices":[{"index":0}]}"#), "malformed"),
        case("an error with status 200", answer("200 OK", r#"{"error":{"message":"x","code":500}}"#), "status"),
        case("an error without a status", answer("200 OK", r#"{"error":{"message":"x"}}"#), "status"),
        case("an error that is a text", answer("200 OK", r#"{"error":"overloaded"}"#), "status"),
        case("an error without words", answer("200 OK", r#"{"error":{}}"#), "status"),
        case("a rate limit with status 200", answer("200 OK", r#"{"error":{"code":429}}"#), "rate_limited"),
        case(
            "finish error",
            answer("200 OK", r#"{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}"#),
            "cut_stream",
        ),
        case("an empty answer without an end", answer("200 OK", &empty.replace("stop", "")), "empty"),
        case("too large", answer("200 OK", &"x".repeat(100_000)), "malformed"),
        case("endless", vec![head("200 OK", "application/json"), Step::Flood(" ".repeat(4_096))], "malformed"),
        case("announces too much", with_headers(&format!("{json}\r\ncontent-length: 9999999999"), ""), "malformed"),
    ]
}

/// The client got the healthy provider's answer, paid for it alone, and the other one's failure is known.
async fn passed_over(world: &World, id: &str, case: &Case) {
    let name = case.name;
    let decision = world.decision(id).await;
    assert_eq!(decision["attempts"][0]["outcome"], case.kind, "{name}: {}", decision["attempts"]);
    assert_eq!(decision["attempts"][1]["outcome"], "opened", "{name}");
    assert_eq!(world.settled_down().await, (Pico::ZERO, COST), "{name}");
    assert_eq!((learned(world, 1), learned(world, 2)), ((1, Some(0.0)), (1, Some(1.0))), "{name}");
    let metrics = world.client.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let counted = format!(r#"steam_upstream_failures_total{{provider="bad",kind="{}"}} 1"#, case.kind);
    assert!(metrics.contains(&counted), "{name}: {counted}");
}

/// Without another provider: an error that says what failed, no receipt, nothing held and nothing charged.
async fn fails_alone(world: &World, streamed: bool, case: &Case) {
    let name = case.name;
    let response = world.chat(ask_alone(streamed)).await;
    assert!(response.headers().get("steam-receipt").is_none(), "{name}");
    let (status, error) = error(response).await;
    let expected = match case.kind {
        "first_token_timeout" => (504, "providers_timed_out"),
        "rate_limited" => (429, "providers_busy"),
        _ => (502, "providers_failed"),
    };
    assert_eq!((status, error["code"].as_str().unwrap()), expected, "{name}");
    assert!(error["message"].as_str().unwrap().contains(&format!("bad ({}: ", case.kind)), "{name}: {error}");
    assert_eq!(world.settled_down().await, (Pico::ZERO, COST), "{name}: what was charged before, and no more");
    let (failures, rate) = learned(world, 3);
    assert!((1..=2).contains(&failures) && rate == Some(0.0), "{name}: {failures}, once more at most");
}

async fn streams(case: Case, bad: Mock, good: Mock) {
    let (name, world) = (case.name, world(&case, &bad, &good).await);
    let streamed = Streamed::read(world.chat(ask(true)).await).await;
    assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true), "{name}");
    assert_eq!(streamed.receipt.as_ref().unwrap().receipt.offer, [2; 32], "{name}");
    passed_over(&world, &streamed.id, &case).await;
    fails_alone(&world, true, &case).await;
}

async fn answers(case: Case, bad: Mock, good: Mock) {
    let (name, world) = (case.name, world(&case, &bad, &good).await);
    let response = world.chat(ask(false)).await;
    assert_eq!(response.status(), 200, "{name}");
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let signed = SignedReceipt::from_bytes(&decode(response.headers()["steam-receipt"].to_str().unwrap())).unwrap();
    signed.verify(&receipt_key()).unwrap();
    let body = response.bytes().await.unwrap();
    assert_eq!(signed.receipt.response_hash, steam_protocol::sha256(&[&body]), "{name}");
    assert_eq!(signed.receipt.offer, [2; 32], "{name}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "hello", "{name}");
    assert_eq!(body["usage"]["cost"], 0.00002626, "{name}");
    passed_over(&world, &id, &case).await;
    fails_alone(&world, false, &case).await;
}

#[tokio::test]
async fn a_stream_fails_over() {
    each([anywhere(), streaming()].concat(), streams, true).await;
}

#[tokio::test]
async fn a_whole_answer_fails_over() {
    each([anywhere(), whole()].concat(), answers, false).await;
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_passed_over() {
    for (name, bad) in [("refuses", Mock::gone("bad").await), ("does not answer", Mock::full("bad").await)] {
        streams(case(name, Vec::new(), "connect"), bad.clone(), good(true).await).await;
        answers(case(name, Vec::new(), "connect"), bad, good(false).await).await;
    }
}

#[tokio::test]
async fn one_that_has_no_tls_where_its_url_says_so_is_passed_over() {
    let (bad, good) = (Mock::eager("bad", vec![say("HTTP/1.1 400 Plain\r\n\r\n")]).await, good(true).await);
    let mut tls = crate::relay::testing::cheap(bad.offer(1));
    tls.url = tls.url.replace("http://", "https://");
    let world = World::with(vec![tls, good.offer(2)], crate::relay::testing::cost_alone).await;
    let streamed = Streamed::read(world.chat(ask(true)).await).await;
    assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true));
    assert_eq!(world.decision(&streamed.id).await["attempts"][0]["outcome"], "connect");
    assert_eq!(learned(&world, 1), (1, Some(0.0)));
}
