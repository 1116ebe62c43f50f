//! What tests of translated answers have in common.

use crate::relay::dialect::chat::Chat;
use crate::relay::dialect::{Piece, Request};
use crate::relay::sse;
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;
use bytes::Bytes;
use serde_json::{Value, json};

/// What a provider's stream of chat completions becomes for the client that sent `request`.
pub(super) fn from_chat(request: &Request, now_unix: i64, chunks: &[Value]) -> Vec<Value> {
    let mut transcript = Transcript::new(Counting::Bytes, 1, request.reader(&Chat, now_unix, 7));
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

/// A chunk of one choice.
pub(super) fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}
