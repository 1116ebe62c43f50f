//! Embeddings, as OpenAI's API has them: `POST /v1/embeddings`. They have input alone, and are never streamed.

mod read;
mod reader;
pub mod schema;
#[cfg(test)]
mod tests;

use crate::relay::dialect::openai::{self, ChunkWriter, Kind};
use crate::relay::dialect::prompts::Prompts;
use crate::relay::dialect::read::common_edits;
use crate::relay::dialect::{Dialect, Outgoing, Prompt, Reader, Request, Stated, Writer};
use crate::relay::error::RelayError;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use steam_router::state::capability;

/// The dialect.
#[derive(Debug)]
pub struct Embeddings;

impl Dialect for Embeddings {
    fn name(&self) -> &'static str {
        "embeddings"
    }

    fn capability(&self) -> u64 {
        capability::EMBEDDINGS
    }

    fn path(&self) -> &'static str {
        "/v1/embeddings"
    }

    fn provider_path(&self) -> &'static str {
        "/embeddings"
    }

    fn read(&self, body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
        read::request(body, headers)
    }

    fn prompt(&self, request: &Request) -> Prompt {
        let object = request.body.object();
        let inputs = object.get("input").and_then(|text| Prompts::read(text, "input", u32::MAX).ok());
        inputs.map(Prompts::prompt).unwrap_or_default()
    }

    fn body(&self, request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
        let object = request.document.object();
        Ok(object.edited(&common_edits(&object, request.model)).into())
    }

    fn reader(&self, request: &Request) -> Box<dyn Reader> {
        Box::new(reader::VectorReader { inputs: request.choices })
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(ChunkWriter::new(Kind::Vectors))
    }

    fn error(&self, error: &RelayError) -> String {
        openai::error(error)
    }

    fn refusal(&self, status: StatusCode, stated: &Stated) -> String {
        openai::refusal(status, stated)
    }
}
