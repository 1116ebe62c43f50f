//! Chat completions as a client asks for them: JSON goes out over the signed client, chunks of JSON and a verified receipt
//! come back.

use serde_json::Value;
use std::collections::VecDeque;
use steam_client::{Answer, ApiError, Client, ClientError, Part, Request};
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::MicroUsdc;

/// Longest event and longest whole answer that are held, in bytes.
const MOST: usize = 64 << 20;

/// Part of an answer.
#[derive(Debug)]
pub enum Event {
    /// A chunk of a stream, or the whole answer.
    Chunk(Value),
    /// The end: the receipt, verified and counted as spent.
    Receipt(Box<SignedReceipt>),
}

/// An answer under way.
pub struct Completion {
    answer: Answer,
    /// Bytes that are not read yet: of a line, or of a whole answer.
    held: Vec<u8>,
    /// The data of the event that is not whole yet.
    data: Option<String>,
    ready: VecDeque<Event>,
}

/// Asks for a completion that costs at most `max_cost`, with a signed request.
pub async fn signed(client: &Client, body: &Value, max_cost: MicroUsdc) -> Result<Completion, ClientError> {
    client.send(request(body), max_cost).await.map(Completion::new)
}

/// Asks for a completion with the key as a bearer token.
pub async fn bearer(client: &Client, body: &Value) -> Result<Completion, ClientError> {
    client.send_bearer(request(body)).await.map(Completion::new)
}

fn request(body: &Value) -> Request {
    Request::json("chat/completions", body.to_string())
}

impl Completion {
    fn new(answer: Answer) -> Self {
        Self { answer, held: Vec::new(), data: None, ready: VecDeque::new() }
    }

    /// The relayer's id for this answer.
    pub fn id(&self) -> Option<&str> {
        self.answer.completion_id.as_deref()
    }

    /// The next part; nothing after the end.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.answer.next().await? {
                None => return Ok(None),
                Some(Part::Bytes(bytes)) => self.take(&bytes)?,
                Some(Part::Receipt(receipt)) => {
                    if !self.answer.is_stream() {
                        let whole = std::mem::take(&mut self.held);
                        self.ready.push_back(Event::Chunk(chunk(&whole)?));
                    }
                    self.ready.push_back(Event::Receipt(receipt));
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if self.held.len() + bytes.len() + self.data.as_ref().map_or(0, String::len) > MOST {
            return Err(ApiError::TooLarge(MOST).into());
        }
        self.held.extend_from_slice(bytes);
        while self.answer.is_stream()
            && let Some(end) = self.held.iter().position(|&byte| byte == b'\n')
        {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            self.line(&line)?;
        }
        Ok(())
    }

    /// Takes a line of a stream, its end included.
    fn line(&mut self, line: &[u8]) -> Result<(), ClientError> {
        let line = std::str::from_utf8(line).map_err(|error| ApiError::Malformed(error.to_string()))?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            match self.data.take() {
                Some(data) if data != "[DONE]" => self.ready.push_back(Event::Chunk(chunk(data.as_bytes())?)),
                _ => {}
            }
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(())
    }
}

fn chunk(json: &[u8]) -> Result<Value, ClientError> {
    serde_json::from_slice(json).map_err(|error| ApiError::Malformed(error.to_string()).into())
}

/// The text a chunk, or a whole answer, adds to the first choice.
pub fn text_of(chunk: &Value) -> Option<&str> {
    let choice = &chunk["choices"][0];
    choice["delta"]["content"].as_str().or_else(|| choice["message"]["content"].as_str())
}

/// What the answer cost in USD, if a chunk says so.
pub fn cost_of(chunk: &Value) -> Option<f64> {
    chunk["usage"]["cost"].as_f64()
}

/// Why the provider failed, if a chunk says that it did.
pub fn failure_of(chunk: &Value) -> Option<&str> {
    chunk["error"]["message"].as_str()
}
