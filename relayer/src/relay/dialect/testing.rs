//! What tests of translated answers have in common.

use crate::relay::dialect::chat::Chat;
use crate::relay::dialect::{Billed, Piece, Request};
use crate::relay::sse;
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;
use bytes::Bytes;
use serde_json::{Value, json};

/// What a provider's stream of chat completions becomes for the client that sent `request`.
pub(super) fn from_chat(request: &Request, now_unix: i64, chunks: &[Value]) -> Vec<Value> {
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, now_unix, 7));
    let mut written = Vec::new();
    for chunk in chunks {
        let data = chunk.as_str().map_or_else(|| chunk.to_string(), ToOwned::to_owned);
        let event = sse::Event { name: sse::Name::Usual, data: Bytes::from(data) };
        match transcript.event(&event).unwrap().0 {
            Piece::Composed(data) | Piece::End(data) => {
                written.extend(data.iter().map(|data| serde_json::from_slice::<Value>(data).unwrap()));
            }
            piece => panic!("{piece:?}"),
        }
    }
    written
}

/// What was billed, without anything written to a cache.
pub(super) fn billed(input: u32, cached: u32, output: u32, cost_usd: &str) -> Billed {
    Billed { input, cached, cache_write: 0, cache_write_long: 0, output, cost_usd: cost_usd.to_owned() }
}

/// A chunk of one choice.
pub(super) fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}
