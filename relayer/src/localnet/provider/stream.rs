//! A streamed answer, each token in its time.

use super::Shared;
use super::answer::{Choice, Head, Usage};
use super::behaviour::{Pace, count};
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Pieces under way to a slow reader at most.
const QUEUE: usize = 16;

/// An answer about to be given.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Usage,
    pub(super) pace: Pace,
    pub(super) began: Instant,
}

/// Why a stream ended early.
enum Ended {
    Cut,
    Abandoned,
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

/// Streams an answer; with `cut` it breaks off half-way.
pub(super) fn respond(shared: Arc<Shared>, answer: Answer, include_usage: bool, cut: bool) -> Response {
    let (to, mut from) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        match answer.send(&to, include_usage, cut).await {
            Ok(()) => shared.counters.served(&answer.usage),
            Err(Ended::Abandoned) => count(&shared.counters.abandoned),
            Err(Ended::Cut) => {
                count(&shared.counters.cut);
                // An error in the body closes the connection in the middle of it. A reader that left sees neither.
                let _ = to.send(Err(io::ErrorKind::ConnectionReset.into())).await;
            }
        }
    });
    events(Body::from_stream(futures::stream::poll_fn(move |cx| from.poll_recv(cx))))
}

impl Answer {
    async fn send(&self, to: &Sender, include_usage: bool, cut: bool) -> Result<(), Ended> {
        let longest = self.choices.iter().map(|choice| choice.tokens.len()).max().unwrap_or(0);
        let end = if cut { longest / 2 } else { longest };
        for index in 0..end {
            tokio::time::sleep_until(self.began + self.pace.at(index)).await;
            // What falls due together goes out together.
            let mut bytes = Vec::new();
            for (choice, number) in self.choices.iter().zip(0..) {
                if index == 0 {
                    self.event(&mut bytes, number, first(choice), None);
                }
                if let Some(token) = choice.tokens.get(index) {
                    self.event(&mut bytes, number, piece(choice, token), None);
                }
            }
            send(to, bytes).await?;
        }
        if cut {
            return Err(Ended::Cut);
        }
        let mut bytes = Vec::new();
        for (choice, number) in self.choices.iter().zip(0..) {
            if longest == 0 {
                self.event(&mut bytes, number, first(choice), None);
            }
            self.event(&mut bytes, number, json!({}), Some(choice.finish));
        }
        if include_usage {
            let mut chunk = self.head.with("chat.completion.chunk", json!([]));
            chunk["usage"] = self.usage.json();
            write(&mut bytes, &chunk);
        }
        bytes.extend_from_slice(b"data: [DONE]\n\n");
        send(to, bytes).await
    }

    fn event(&self, bytes: &mut Vec<u8>, number: u32, delta: Value, finish: Option<&str>) {
        let choice = json!({ "index": number, "delta": delta, "logprobs": null, "finish_reason": finish });
        write(bytes, &self.head.with("chat.completion.chunk", json!([choice])));
    }
}

/// What opens a choice.
fn first(choice: &Choice) -> Value {
    match &choice.tool {
        None => json!({ "role": "assistant", "content": "" }),
        Some((id, name)) => {
            let function = json!({ "name": name, "arguments": "" });
            let call = json!({ "index": 0, "id": id, "type": "function", "function": function });
            json!({ "role": "assistant", "content": null, "tool_calls": [call] })
        }
    }
}

fn piece(choice: &Choice, token: &str) -> Value {
    match choice.tool {
        None => json!({ "content": token }),
        Some(_) => json!({ "tool_calls": [{ "index": 0, "function": { "arguments": token } }] }),
    }
}

fn write(bytes: &mut Vec<u8>, chunk: &Value) {
    bytes.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
}

async fn send(to: &Sender, bytes: Vec<u8>) -> Result<(), Ended> {
    to.send(Ok(bytes.into())).await.map_err(|_| Ended::Abandoned)
}

/// A response of server-sent events.
fn events(body: Body) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, body).into_response()
}
