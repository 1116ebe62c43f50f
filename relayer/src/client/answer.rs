//! An answer as it arrives: its chunks, and at the end the receipt, verified and counted.

use super::stream::{Piece, Splitter};
use super::{ClientError, Expected, Ledger};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::{Hash, sha256};

/// Largest whole answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// Part of an answer.
#[derive(Clone, Debug)]
pub enum Event {
    /// A chunk of a stream, or the whole answer.
    Chunk(Value),
    /// The end: the receipt, verified and counted as spent.
    Receipt(Box<SignedReceipt>),
}

/// An answer under way. Dropping it before the receipt leaves the request's ceiling unresolved.
#[derive(Debug)]
pub struct Answer {
    /// The relayer's id for this answer.
    pub generation_id: Option<String>,
    response: Option<reqwest::Response>,
    receipt: Option<String>,
    splitter: Option<Splitter>,
    ready: VecDeque<Piece>,
    expected: Expected,
    ledger: Arc<Ledger>,
    counted: bool,
}

/// A whole answer with its receipt.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The text of the first choice.
    pub text: String,
    /// Every chunk; one if the answer was not streamed.
    pub chunks: Vec<Value>,
    /// Verified.
    pub receipt: SignedReceipt,
    /// The relayer's id for this answer.
    pub generation_id: Option<String>,
}

impl Answer {
    pub(super) fn new(response: reqwest::Response, expected: Expected, ledger: Arc<Ledger>) -> Self {
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let streamed = header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        Self {
            generation_id: header("steam-generation-id"),
            receipt: header("steam-receipt"),
            splitter: streamed.then(Splitter::default),
            response: Some(response),
            ready: VecDeque::new(),
            expected,
            ledger,
            counted: false,
        }
    }

    /// The next part; nothing after the receipt.
    ///
    /// # Errors
    /// [`ClientError::NoReceipt`] if the answer ends without one, what is wrong with it, or the connection's error.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            match self.ready.pop_front() {
                Some(Piece::Data(data)) if data == "[DONE]" => continue,
                Some(Piece::Data(data)) => {
                    return serde_json::from_str(&data)
                        .map(|chunk| Some(Event::Chunk(chunk)))
                        .map_err(|_| ClientError::Malformed);
                }
                Some(Piece::Receipt(receipt, hash)) => return self.count(receipt, hash).await.map(Some),
                None => {}
            }
            if !self.read().await? {
                return if self.counted { Ok(None) } else { Err(ClientError::NoReceipt) };
            }
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn collect(mut self) -> Result<Whole, ClientError> {
        let (mut text, mut chunks, mut receipt) = (String::new(), Vec::new(), None);
        while let Some(event) = self.next().await? {
            match event {
                Event::Chunk(chunk) => {
                    text.push_str(text_of(&chunk).unwrap_or_default());
                    chunks.push(chunk);
                }
                Event::Receipt(signed) => receipt = Some(*signed),
            }
        }
        let receipt = receipt.ok_or(ClientError::NoReceipt)?;
        Ok(Whole { text, chunks, receipt, generation_id: self.generation_id })
    }

    /// Reads more; false at the end.
    async fn read(&mut self) -> Result<bool, ClientError> {
        let Some(splitter) = &mut self.splitter else { return self.read_whole().await };
        let Some(response) = &mut self.response else { return Ok(false) };
        match response.chunk().await.map_err(|error| ClientError::Transport(error.without_url()))? {
            Some(bytes) => self.ready.extend(splitter.push(&bytes)?),
            None => self.response = None,
        }
        Ok(self.response.is_some())
    }

    async fn read_whole(&mut self) -> Result<bool, ClientError> {
        let Some(response) = self.response.take() else { return Ok(false) };
        let body = read_whole(response, MAX_ANSWER).await?;
        let text = String::from_utf8(body).map_err(|_| ClientError::Malformed)?;
        let hash = sha256(&[text.as_bytes()]);
        self.ready.push_back(Piece::Data(text));
        if let Some(encoded) = &self.receipt {
            let bytes = BASE64.decode(encoded).map_err(|_| ClientError::Malformed)?;
            self.ready.push_back(Piece::Receipt(Box::new(SignedReceipt::from_bytes(&bytes)?), hash));
        }
        Ok(true)
    }

    async fn count(&mut self, receipt: Box<SignedReceipt>, response_hash: Hash) -> Result<Event, ClientError> {
        self.expected.check(&receipt, response_hash)?;
        self.ledger.resolve(receipt.receipt.request_hash, receipt.receipt.charge, receipt.receipt.fee).await?;
        self.counted = true;
        Ok(Event::Receipt(receipt))
    }
}

/// The text a chunk, or a whole answer, adds to the first choice.
pub fn text_of(chunk: &Value) -> Option<&str> {
    let choice = &chunk["choices"][0];
    choice["delta"]["content"].as_str().or_else(|| choice["message"]["content"].as_str())
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read_whole(mut response: reqwest::Response, most: usize) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| ClientError::Transport(error.without_url()))? {
        if body.len() + bytes.len() > most {
            return Err(ClientError::TooLarge(most));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}
