//! After the first content there is no second try: what was delivered stands, the end says that it is none, and it is
//! charged by the relayer's own count.

use super::{Case, ask_alone, case, each, learned, say, world};
use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, Step, USAGE, stream};
use crate::relay::testing::world::Streamed;
use steam_protocol::receipt::{CountedBy, FinishReason};
use steam_protocol::units::Pico;

fn cases() -> Vec<Case> {
    let half = |more: Vec<Step>| [stream(&[ROLE, HELLO]), more].concat();
    let chunked = |rest: &str| {
        let event = format!("data: {HELLO}\n\n");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        vec![say(&format!("{head}{:x}\r\n{event}\r\n{rest}", event.len()))]
    };
    vec![
        case("ends", half(vec![]), "cut_stream"),
        case("resets", half(vec![Step::Pause(50), Step::Reset]), "cut_stream"),
        case("ends within an event", half(vec![say("data: {\"choices\":[{\"delta\":{\"content\":\"lo")]), "malformed"),
        case("stalls", half(vec![Step::Forever]), "idle_timeout"),
        case("stalls within an event", half(vec![say("data: {\"cho"), Step::Forever]), "idle_timeout"),
        case("a comment without an end", half(vec![Step::Trickle(":".repeat(100), 50)]), "idle_timeout"),
        case("an error", half(vec![say("data: {\"error\":{\"message\":\"its words\"}}\n\n")]), "cut_stream"),
        case(
            "an end that is none",
            half(vec![say(&format!("data: {}\n\n", STOP.replace("\"stop\"", "\"\"")))]),
            "cut_stream",
        ),
        case("a named error", half(vec![say("event: error\ndata: {}\n\n")]), "cut_stream"),
        case(
            "finish error",
            half(vec![say("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n")]),
            "cut_stream",
        ),
        case("a rate limit", half(vec![say("data: {\"error\":{\"code\":429}}\n\n")]), "cut_stream"),
        case(
            "a second answer",
            half(vec![say("data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"more\"}}]}\n\n")]),
            "malformed",
        ),
        case("garbage", half(vec![say("data: {{{\n\n")]), "malformed"),
        case("html", half(vec![say("data: <html>502 Bad Gateway</html>\n\n")]), "malformed"),
        case(
            "text that is no UTF-8",
            half(vec![Step::Raw(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n")]),
            "malformed",
        ),
        case("an endless event", half(vec![say(&format!("data: {}", "x".repeat(60_000)))]), "malformed"),
        case("an endless line", half(vec![Step::Pause(50), Step::Flood("x".repeat(4_096))]), "malformed"),
        case("usage, then a cut", half(vec![say(&format!("data: {USAGE}\n\n"))]), "cut_stream"),
        case("cut within chunked coding", chunked("50\r\ndata:"), "cut_stream"),
        case("chunks of impossible length", chunked("zz\r\n"), "cut_stream"),
        case(
            "stop, then an error",
            half(vec![say(&format!("data: {STOP}\n\ndata: {{\"error\":{{}}}}\n\n"))]),
            "cut_stream",
        ),
    ]
}

async fn ends_honestly(case: Case, bad: Mock, good: Mock) {
    let (name, world) = (case.name, world(&case, &bad, &good).await);
    let streamed = Streamed::read(world.chat(ask_alone(true)).await).await;
    assert_eq!(streamed.text(), "hello", "{name}: nothing twice, nothing lost");
    assert!(!streamed.done, "{name}: an end that is none");
    let [.., chunk, error] = &streamed.events[..] else { panic!("{name}") };
    // An answer that ended ends once.
    let finish = if name.starts_with("stop,") { "stop" } else { "error" };
    assert_eq!(chunk["choices"][0]["finish_reason"], finish, "{name}");
    assert_eq!((chunk["id"].as_str(), error["error"]["code"].as_str()), (Some("c"), Some("provider_failed")), "{name}");
    let told = error["error"]["message"].as_str().unwrap();
    assert_eq!(told.ends_with("; the provider says: its words"), name == "an error", "{name}: {told}");
    let receipt = streamed.receipt.unwrap().receipt;
    assert_eq!((receipt.finish_reason, receipt.counted_by), (FinishReason::Error, CountedBy::Relayer), "{name}");
    assert_eq!(receipt.usage.output, 2, "{name}: five bytes, whatever the provider said before it failed");
    assert_eq!(world.decision(&streamed.id).await["outcome"], case.kind, "{name}");
    assert_eq!(world.settled_down().await, (Pico::ZERO, Pico(receipt.charge.0 + receipt.fee.0)), "{name}");
    assert_eq!((learned(&world, 3), good.count()), ((1, Some(0.0)), 0), "{name}");
}

#[tokio::test]
async fn a_stream_ends_honestly() {
    each(cases(), ends_honestly, true).await;
}

#[tokio::test]
async fn an_answer_beyond_all_bounds_is_cut_and_charged_within_the_hold() {
    let flood = [stream(&[ROLE]), vec![Step::Flood(format!("data: {HELLO}\n\n"))]].concat();
    each(
        vec![case("flood", flood, "malformed")],
        |case, bad, good| async move {
            let world = world(&case, &bad, &good).await;
            let streamed = Streamed::read(world.chat(ask_alone(true)).await).await;
            assert!(streamed.text().len() > 500 && !streamed.done);
            assert_eq!(streamed.text().replace("hello", ""), "");
            let receipt = streamed.receipt.unwrap().receipt;
            assert_eq!(
                (receipt.usage.output, receipt.finish_reason),
                (16, FinishReason::Error),
                "16 tokens were asked for"
            );
            assert_eq!(world.settled_down().await.0, Pico::ZERO);
        },
        true,
    )
    .await;
}
