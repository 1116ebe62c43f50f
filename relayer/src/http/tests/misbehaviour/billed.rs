//! What providers say of what they did, in every form that is published, streamed and whole: the same is billed either way,
//! and nobody is blamed.

use super::{case, each, learned, say, world};
use crate::relay::testing::mock::{Step, answer, stream};
use serde_json::{Value, json};

/// An answer, what its provider says of it, and what is billed: input, input from the cache, output, and by whose count.
struct Stated {
    name: &'static str,
    message: Value,
    usage: Value,
    billed: (u64, u64, u64, &'static str),
}

fn stated(name: &'static str, message: &Value, usage: Value, (input, cached, output): (u64, u64, u64)) -> Stated {
    Stated { name, message: message.clone(), usage, billed: (input, cached, output, "provider") }
}

fn table() -> Vec<Stated> {
    let hello = json!({"role": "assistant", "content": "hello"});
    let usage = |more: Value| {
        let mut usage = json!({"prompt_tokens": 20, "completion_tokens": 3});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        usage
    };
    let call = |n: u32| {
        let function = json!({"name": "get_weather", "arguments": format!(r#"{{"city":"Paris {n}"}}"#)});
        json!({"index": n, "id": format!("call_{n}"), "type": "function", "function": function})
    };
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call(0), call(1), call(2)]});
    let custom =
        json!({"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "patch", "input": "*** Begin Patch"}});
    let custom = json!({"role": "assistant", "content": null, "tool_calls": [custom]});
    let details = json!({"role": "assistant", "content": "", "reasoning_details": [{"type": "reasoning.summary", "summary": "abc"}]});
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}});
    let images = json!({"role": "assistant", "content": "", "images": [picture]});
    let empty = json!({"role": "assistant", "content": ""});
    let outside =
        json!({"completion_tokens": 2, "total_tokens": 39, "completion_tokens_details": {"reasoning_tokens": 17}});
    let hits = json!({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 18});
    let reasoning = json!({"completion_tokens": 30, "completion_tokens_details": {"reasoning_tokens": 27}});
    vec![
        stated("numbers with a point", &hello, json!({"prompt_tokens": 20.0, "completion_tokens": 3.0}), (20, 0, 3)),
        stated("other names", &hello, json!({"input_tokens": 20, "output_tokens": 3}), (20, 0, 3)),
        stated("a total alone", &hello, json!({"prompt_tokens": 20, "total_tokens": 23}), (20, 0, 3)),
        stated("cached_tokens", &hello, usage(json!({"cached_tokens": 18})), (2, 18, 3)),
        stated("cache_read_input_tokens", &hello, usage(json!({"cache_read_input_tokens": 18})), (2, 18, 3)),
        stated("details", &hello, usage(json!({"prompt_tokens_details": {"cached_tokens": 18}})), (2, 18, 3)),
        stated("hits beside details of none", &hello, usage(hits), (2, 18, 3)),
        stated("reasoning beside the completion", &hello, usage(outside), (20, 0, 19)),
        stated("reasoning in the completion", &hello, usage(reasoning), (20, 0, 30)),
        stated("parallel calls", &calls, usage(json!({"completion_tokens": 77})), (20, 0, 77)),
        stated("a custom call", &custom, usage(json!({"completion_tokens": 30})), (20, 0, 30)),
        stated("reasoning details alone", &details, usage(json!({})), (20, 0, 3)),
        stated("images alone", &images, usage(json!({})), (20, 0, 3)),
        stated("nothing", &empty, usage(json!({"completion_tokens": 0})), (20, 0, 0)),
        Stated {
            billed: (20, 0, 5, "capped"),
            ..stated("too many", &hello, usage(json!({"completion_tokens": 9})), (0, 0, 0))
        },
        // 8 tokens around the message and the answer, and 9 bytes of text.
        Stated { billed: (11, 0, 2, "relayer"), ..stated("no usage", &hello, Value::Null, (0, 0, 0)) },
    ]
}

/// Whoever thinks takes the time for it.
fn thinks(stated: &Stated) -> Vec<Step> {
    if stated.usage["completion_tokens_details"].is_object() { vec![Step::Pause(300)] } else { Vec::new() }
}

fn whole(stated: &Stated) -> Vec<Step> {
    let reason = if stated.message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let choice = json!({"index": 0, "message": stated.message, "finish_reason": reason});
    let body = json!({"id": "c", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice], "usage": stated.usage});
    [thinks(stated), answer("200 OK", &body.to_string())].concat()
}

fn streamed(stated: &Stated) -> Vec<Step> {
    let reason = if stated.message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let event = |delta: &Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        json!({"id": "c", "created": 5, "model": "m", "choices": [choice]}).to_string()
    };
    let (said, end) = (event(&stated.message, Value::Null), event(&json!({}), reason.into()));
    let usage = json!({"id": "c", "created": 5, "model": "m", "choices": [], "usage": stated.usage}).to_string();
    [thinks(stated), stream(&[&said, &end, &usage]), vec![say("data: [DONE]\n\n")]].concat()
}

#[tokio::test]
async fn every_form_of_usage_is_billed_the_same_streamed_and_whole() {
    for streams in [false, true] {
        let table = table();
        let cases = table.iter().map(|stated| {
            let steps = if streams { streamed(stated) } else { whole(stated) };
            case(stated.name, steps, "")
        });
        let expected = |name: &str| table.iter().find(|stated| stated.name == name).unwrap().billed;
        each(
            cases.collect(),
            |case, mock, good| async move {
                let (name, world) = (case.name, world(&case, &mock, &good).await);
                let ask = json!({"model": "alone", "stream": streams, "max_tokens": 1_000});
                let response = world.chat(ask).await;
                assert_eq!(response.status(), 200, "{name}, streamed {streams}");
                let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
                let text = response.text().await.unwrap();
                assert!(!text.contains("\"error\""), "{name}, streamed {streams}: {text}");
                world.settled_down().await;
                let (_, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
                let (usage, counted_by) = (&receipt["fields"]["usage"], receipt["fields"]["counted_by"].as_str());
                let of = |name: &str| usage[name].as_u64().unwrap();
                let billed = (of("input"), of("cached"), of("output"), counted_by.unwrap());
                assert_eq!(billed, expected(name), "{name}, streamed {streams}");
                assert_eq!(learned(&world, 3), (1, Some(1.0)), "{name}, streamed {streams}");
            },
            streams,
        )
        .await;
    }
}
