//! A simulated vendor: an API on a real socket that answers at the length of a bill and reports the bill's tokens, in the words of
//! its own dialect.

use super::bills::Bill;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The bill that is next.
pub type Next = Arc<Mutex<Option<Bill>>>;

/// Starts it. Its base URL, `/v1` included.
pub async fn start(next: Next) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/responses", post(responses))
        .route("/v1/messages", post(messages))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(next);
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

/// A text of so many words, each of them a token of `o200k_base` and five bytes.
pub fn words(count: u64) -> String {
    " word".repeat(usize::try_from(count).unwrap())
}

/// The bill that this request is for.
fn bill(next: &Next, body: &Bytes, dialect: &str) -> Bill {
    let bill = next.lock().unwrap().take().expect("a request is served once");
    let request: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((request["model"].as_str(), dialect), (Some(bill.model.as_str()), bill.dialect.as_str()));
    assert_eq!(request["stream"].as_bool().unwrap_or(false), bill.stream, "{}", bill.what);
    bill
}

fn whole(answer: &Value) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

fn events(lines: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/event-stream")], lines).into_response()
}

async fn chat(State(next): State<Next>, body: Bytes) -> Response {
    let bill = bill(&next, &body, "chat");
    let usage = json!({
        "prompt_tokens": bill.prompt(),
        "completion_tokens": bill.output,
        "total_tokens": bill.prompt() + bill.output,
        "prompt_tokens_details": { "cached_tokens": bill.cached, "cache_write_tokens": bill.cache_write },
    });
    let choice = |object: &str, choices: Value| json!({ "id": "c", "object": object, "created": 1, "model": bill.model, "choices": choices });
    let text = words(bill.output);
    if !bill.stream {
        let message = json!({ "role": "assistant", "content": text });
        let mut answer =
            choice("chat.completion", json!([{ "index": 0, "message": message, "finish_reason": "stop" }]));
        answer["usage"] = usage;
        return whole(&answer);
    }
    let delta = |delta: Value, reason: Value| {
        choice("chat.completion.chunk", json!([{ "index": 0, "delta": delta, "finish_reason": reason }]))
    };
    let mut last = choice("chat.completion.chunk", json!([]));
    last["usage"] = usage;
    let chunks =
        [delta(json!({ "role": "assistant", "content": text }), Value::Null), delta(json!({}), "stop".into()), last];
    events(chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n")
}

async fn responses(State(next): State<Next>, body: Bytes) -> Response {
    let bill = bill(&next, &body, "responses");
    let text = words(bill.output);
    let part = json!({ "type": "output_text", "text": text, "annotations": [] });
    let item = |status: &str, content: Value| json!({ "id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content });
    let response = |status: &str, output: Value, usage: Value| {
        json!({
            "id": "resp_1", "object": "response", "created_at": 1, "model": bill.model, "status": status,
            "output": output, "usage": usage, "error": null, "incomplete_details": null,
        })
    };
    let usage = json!({
        "input_tokens": bill.prompt(),
        "input_tokens_details": { "cached_tokens": bill.cached, "cache_write_tokens": bill.cache_write },
        "output_tokens": bill.output,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": bill.prompt() + bill.output,
    });
    let done = item("completed", json!([part]));
    let end = response("completed", json!([done]), usage);
    if !bill.stream {
        return whole(&end);
    }
    let at = json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0 });
    let of_part = |kind: &str, member: &str, value: Value| {
        let mut event = at.clone();
        event["type"] = kind.into();
        event[member] = value;
        event
    };
    let all = [
        json!({ "type": "response.created", "response": response("in_progress", json!([]), Value::Null) }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item("in_progress", json!([])) }),
        of_part("response.content_part.added", "part", json!({ "type": "output_text", "text": "", "annotations": [] })),
        of_part("response.output_text.delta", "delta", text.clone().into()),
        of_part("response.output_text.done", "text", text.into()),
        of_part("response.content_part.done", "part", part),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": done }),
        json!({ "type": "response.completed", "response": end }),
    ];
    events(named(all))
}

async fn messages(State(next): State<Next>, body: Bytes) -> Response {
    let bill = bill(&next, &body, "messages");
    let text = words(bill.output);
    let usage = json!({
        "input_tokens": bill.input,
        "cache_read_input_tokens": bill.cached,
        "cache_creation_input_tokens": bill.cache_write + bill.cache_write_long,
        "cache_creation": {
            "ephemeral_5m_input_tokens": bill.cache_write,
            "ephemeral_1h_input_tokens": bill.cache_write_long,
        },
        "output_tokens": bill.output,
    });
    let message = |content: Value, reason: Value, usage: &Value| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": bill.model, "content": content,
            "stop_reason": reason, "stop_sequence": null, "usage": usage,
        })
    };
    if !bill.stream {
        return whole(&message(json!([{ "type": "text", "text": text }]), "end_turn".into(), &usage));
    }
    let mut first = usage;
    first["output_tokens"] = 1.into();
    let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    let all = [
        json!({ "type": "message_start", "message": message(json!([]), Value::Null, &first) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": bill.output } }),
        json!({ "type": "message_stop" }),
    ];
    events(named(all))
}

/// Events under the name of their type.
fn named<const N: usize>(all: [Value; N]) -> String {
    all.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}
