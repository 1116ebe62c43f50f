//! What looks odd and is right all the same: served, charged once, and no mark against the provider.

use super::{COST, Case, ask_alone, case, each, learned, say, world};
use crate::relay::testing::mock::{HELLO, Mock, ROLE, STOP, Step, USAGE, WHOLE, stream};
use crate::relay::testing::world::{Streamed, World};
use serde_json::{Value, json};
use steam_protocol::units::Pico;

/// The text, compressed. It lives as long as the tests.
fn gzipped(text: &str) -> &'static [u8] {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().leak()
}

fn streams() -> Vec<Case> {
    let all = [ROLE, HELLO, STOP, USAGE, "[DONE]"];
    let events = |separator: &str| all.map(|event| format!("data: {event}{separator}")).concat();
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream{more}\r\n\r\n");
    let plain = head("");
    let body = |text: String| vec![say(&plain), say(&text)];
    let chunks = |text: &str, size: usize| -> String {
        let pieces = text
            .as_bytes()
            .chunks(size)
            .map(|piece| format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap()));
        pieces.chain(["0\r\n\r\n".to_owned()]).collect()
    };
    vec![
        case("line ends of CRLF", body(events("\r\n\r\n")), ""),
        case("line ends of CR", body(events("\r\r")), ""),
        case("a byte order mark", body(format!("\u{feff}{}", events("\n\n"))), ""),
        case("no blank after data:", body(events("\n\n").replace("data: ", "data:")), ""),
        case("comments, ids and names between", body(events("\nid: 7\nevent: message\n\n: wait\n\nretry: 5\n\n")), ""),
        case("no empty line at the end", body(events("\n\n").trim_end().to_owned()), ""),
        case("no mark at the end", stream(&all[..4]), ""),
        case("more after the mark", body(format!("{}data: {HELLO}\n\n", events("\n\n"))), ""),
        case("byte by byte", vec![say(&plain), Step::Trickle(events("\n\n"), 0)], ""),
        case(
            "chunks of one byte",
            vec![say(&head("\r\ntransfer-encoding: chunked")), say(&chunks(&events("\n\n"), 1))],
            "",
        ),
        case(
            "chunks of seven bytes",
            vec![say(&head("\r\ntransfer-encoding: chunked")), say(&chunks(&events("\n\n"), 7))],
            "",
        ),
        case(
            "HTTP/1.0",
            body(events("\n\n"))
                .into_iter()
                .map(|step| match step {
                    Step::Say(text) => Step::Say(text.replace("HTTP/1.1", "HTTP/1.0")),
                    other => other,
                })
                .collect(),
            "",
        ),
        case("100 before 200", [vec![say("HTTP/1.1 100 Continue\r\n\r\n")], body(events("\n\n"))].concat(), ""),
        case(
            "a type in capitals with a charset",
            vec![say(&plain.replace("text/event-stream", "Text/Event-Stream;charset=UTF-8")), say(&events("\n\n"))],
            "",
        ),
        case("text/plain", vec![say(&plain.replace("text/event-stream", "text/plain")), say(&events("\n\n"))], ""),
        case("no type", vec![say("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"), say(&events("\n\n"))], ""),
        case("gzip", vec![say(&head("\r\ncontent-encoding: gzip")), Step::Raw(gzipped(&events("\n\n")))], ""),
        case(
            "events without data and with other names between",
            body(events(
                "\n\ndata: \n\nevent: ping\ndata: {\"type\":\"ping\"}\n\ndata: {\"choices\":null}\n\ndata: {\"x\":1}\n\n",
            )),
            "",
        ),
        case(
            "names twice and numbers that are none",
            stream(&[
                ROLE,
                &HELLO.replace(r#""delta""#, r#""index":0,"logprobs":{"a":-Infinity},"delta""#),
                STOP,
                USAGE,
                "[DONE]",
            ]),
            "",
        ),
        case(
            "a single answer numbered 1",
            stream(&all.map(|event| event.replace(r#""index":0"#, r#""index":1"#)).each_ref().map(String::as_str)),
            "",
        ),
        case(
            "empty reasons before the end, and the end twice",
            stream(&[&ROLE.replace("null", "\"\""), &HELLO.replace("null", "\"null\""), STOP, STOP, USAGE, "[DONE]"]),
            "",
        ),
        case("no reason at the end", stream(&[ROLE, HELLO, USAGE, "[DONE]"]), ""),
        case(
            "an event of 40 kB",
            stream(&[
                ROLE,
                HELLO,
                &STOP.replace(r#""delta""#, &format!(r#""x":"{}","delta""#, "y".repeat(40_000))),
                USAGE,
                "[DONE]",
            ]),
            "",
        ),
        case(
            "a first event of 40 kB",
            stream(&[
                &HELLO.replace(r#""delta""#, &format!(r#""x":"{}","delta""#, "y".repeat(40_000))),
                STOP,
                USAGE,
                "[DONE]",
            ]),
            "",
        ),
        case("no announcement", stream(&all[1..]), ""),
        case("the end beside the last words", stream(&[ROLE, &HELLO.replace("null", "\"stop\""), USAGE, "[DONE]"]), ""),
        case(
            "usage beside the end",
            stream(&[
                ROLE,
                HELLO,
                &STOP.replace("}]}", r#"}],"usage":{"prompt_tokens":20,"completion_tokens":3}}"#),
                "[DONE]",
            ]),
            "",
        ),
        case(
            "stalls before the mark, having said why it ended",
            [stream(&all[..4]), vec![Step::Pause(300)]].concat(),
            "",
        ),
    ]
}

#[tokio::test]
async fn an_odd_stream_is_served() {
    each(
        streams(),
        |case, odd, good| async move {
            let (name, world) = (case.name, world(&case, &odd, &good).await);
            let response = world.chat(ask_alone(true)).await;
            assert_eq!(response.status(), 200, "{name}");
            let streamed = Streamed::read(response).await;
            assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true), "{name}");
            let reasons = streamed.events.iter().filter(|event| event["choices"][0]["finish_reason"].is_string());
            assert_eq!(reasons.count(), 1, "{name}: {:?}", streamed.events);
            assert_eq!(world.settled_down().await, (Pico::ZERO, COST), "{name}");
            assert_eq!(learned(&world, 3), (1, Some(1.0)), "{name}");
        },
        true,
    )
    .await;
}

#[tokio::test]
async fn an_odd_answer_is_served() {
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
    let cases = vec![
        case("white space around", vec![say(&format!("{json}\r\n\r\n\n  {WHOLE}\n\n"))], ""),
        case("byte by byte", vec![say(&format!("{json}\r\n\r\n")), Step::Trickle(WHOLE.into(), 0)], ""),
        case(
            "chunked",
            vec![say(&format!(
                "{json}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{WHOLE}\r\n0\r\n\r\n",
                WHOLE.len()
            ))],
            "",
        ),
        case("a problem's type with a charset", vec![say(&format!("{json}; charset=utf-8\r\n\r\n{WHOLE}"))], ""),
        case("text/plain", vec![say(&format!("{json}\r\n\r\n{WHOLE}").replace("application/json", "text/plain"))], ""),
        case("gzip", vec![say(&format!("{json}\r\ncontent-encoding: gzip\r\n\r\n")), Step::Raw(gzipped(WHOLE))], ""),
        case(
            "names twice and numbers that are none",
            vec![
                say(&format!("{json}\r\n\r\n")),
                say(&WHOLE.replace(r#""message""#, r#""index":0,"logprobs":{"a":-Infinity},"message""#)),
            ],
            "",
        ),
        case(
            "a single answer numbered 1",
            vec![say(&format!("{json}\r\n\r\n")), say(&WHOLE.replace(r#""index":0"#, r#""index":1"#))],
            "",
        ),
        case(
            "an empty reason",
            vec![
                say(&format!("{json}\r\n\r\n")),
                say(&WHOLE.replace(r#""finish_reason":"stop""#, r#""finish_reason":"""#)),
            ],
            "",
        ),
        case("no type", vec![say(&format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{WHOLE}"))], ""),
        case(
            "an answer of 40 kB",
            vec![
                say(&format!("{json}\r\n\r\n")),
                say(&WHOLE.replace(r#""object""#, &format!(r#""x":"{}","object""#, "y".repeat(40_000)))),
            ],
            "",
        ),
        case("early hints", vec![say(&format!("HTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n{json}\r\n\r\n{WHOLE}"))], ""),
    ];
    each(
        cases,
        |case, odd: Mock, good| async move {
            let (name, world) = (case.name, world(&case, &odd, &good).await);
            let response = world.chat(ask_alone(false)).await;
            assert_eq!(response.status(), 200, "{name}");
            assert_eq!(response.json::<Value>().await.unwrap()["choices"][0]["message"]["content"], "hello", "{name}");
            assert_eq!(world.settled_down().await, (Pico::ZERO, COST), "{name}");
            assert_eq!(learned(&world, 3), (1, Some(1.0)), "{name}");
        },
        false,
    )
    .await;
}

#[tokio::test]
async fn a_provider_that_sends_comments_lives() {
    let thought = vec![Step::Trickle(": thinking\n\n".repeat(60), 5)];
    let rest = stream(&[STOP, USAGE, "[DONE]"])[1..].to_vec();
    let mock = Mock::new("thinker", [stream(&[ROLE, HELLO]), thought, rest].concat()).await;
    let world = World::with(vec![mock.offer(1)], |config| {
        (config.upstream.idle_timeout_ms, config.upstream.total_timeout_ms) = (2_500, 60_000);
    })
    .await;
    let streamed = Streamed::read(world.chat(json!({"stream": true, "max_tokens": 3})).await).await;
    assert_eq!((streamed.text().as_str(), streamed.done), ("hello", true));
}
