//! Chat completions, as OpenAI's API has them: `POST /v1/chat/completions`.

mod body;
pub mod client;
mod error;
mod messages;
mod parameters;
mod read;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{ErrorBody, ErrorDetail};
pub use schema::{ChatCompletion, ChatCompletionRequest, ChatMessage, ChatUsage, MaxPrice, ProviderControls};

use crate::relay::dialect::{Dialect, Fault, Piece, Prompt, Request, Say, Whole, Writer};
use crate::relay::error::RelayError;
use crate::relay::sse;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

/// The dialect.
#[derive(Debug)]
pub struct Chat;

impl Dialect for Chat {
    fn path(&self) -> &'static str {
        "/v1/chat/completions"
    }

    fn provider_path(&self) -> &'static str {
        "/chat/completions"
    }

    fn read(&self, body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
        read::request(body, headers)
    }

    fn prompt(&self, request: &Request) -> Prompt {
        messages::prompt(&request.body.object())
    }

    fn body(&self, request: &Request, model: &str, max_output: u32) -> Result<Bytes, RelayError> {
        body::for_provider(request, model, max_output)
    }

    fn read_event(&self, event: &sse::Event, say: &mut Say<'_>) -> Result<Piece, Fault> {
        reader::event(event, say)
    }

    fn read_whole(&self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        reader::whole(body, say)
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(writer::ChatWriter::default())
    }

    fn error(&self, error: &RelayError) -> String {
        ErrorBody::of(error).json()
    }

    fn refusal(&self, status: StatusCode) -> String {
        ErrorBody::of_refusal(status).json()
    }
}
