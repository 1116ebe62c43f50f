//! A streamed answer, each token in its time.

use super::Shared;
use super::behaviour::count;
use super::reply::Answer;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces under way to a slow reader at most.
const QUEUE: usize = 16;

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
            if index == 0 {
                self.form.open(self, &mut bytes);
            }
            for (choice, number) in self.choices.iter().zip(0..) {
                if let Some(token) = choice.tokens.get(index) {
                    self.form.piece(self, (number, choice), (index, token), &mut bytes);
                }
            }
            send(to, bytes).await?;
        }
        if cut {
            return Err(Ended::Cut);
        }
        let mut bytes = Vec::new();
        if longest == 0 {
            self.form.open(self, &mut bytes);
        }
        self.form.close(self, include_usage, &mut bytes);
        send(to, bytes).await
    }
}

async fn send(to: &Sender, bytes: Vec<u8>) -> Result<(), Ended> {
    to.send(Ok(bytes.into())).await.map_err(|_| Ended::Abandoned)
}

/// A response of server-sent events.
fn events(body: Body) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, body).into_response()
}
