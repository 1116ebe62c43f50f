//! A whole answer, as the tour looks at it.

use crate::relay::dialect::chat::client::{Completion, Event, cost_of, text_of};
use serde_json::Value;
use std::time::Instant;
use steam_client::ClientError;
use steam_protocol::receipt::SignedReceipt;

/// An answer with its receipt.
pub(super) struct Whole {
    /// The text of the first choice.
    pub text: String,
    /// Every chunk; one if the answer was not streamed.
    pub chunks: Vec<Value>,
    /// When its first text came.
    pub first_text: Option<Instant>,
    /// Verified.
    pub receipt: SignedReceipt,
    /// The relayer's id for this answer.
    pub completion_id: Option<String>,
}

impl Whole {
    /// Reads `completion` to its end.
    pub(super) async fn read(mut completion: Completion) -> Result<Self, ClientError> {
        let completion_id = completion.id().map(ToOwned::to_owned);
        let (mut text, mut first_text, mut chunks, mut receipt) = (String::new(), None, Vec::new(), None);
        while let Some(event) = completion.next().await? {
            match event {
                Event::Chunk(chunk) => {
                    let piece = text_of(&chunk).unwrap_or_default();
                    if !piece.is_empty() {
                        first_text.get_or_insert_with(Instant::now);
                        text.push_str(piece);
                    }
                    chunks.push(chunk);
                }
                Event::Receipt(signed) => receipt = Some(*signed),
            }
        }
        let receipt = receipt.ok_or(ClientError::NoReceipt)?;
        Ok(Self { text, chunks, first_text, receipt, completion_id })
    }

    /// What it cost in USD, as the usage says.
    pub(super) fn cost(&self) -> Option<f64> {
        self.chunks.iter().rev().find_map(cost_of)
    }
}
