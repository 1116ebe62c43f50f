//! Text completions, as OpenAI's API has them: `POST /v1/completions`.

mod read;
mod reader;
pub mod schema;
#[cfg(test)]
mod tests;

use crate::relay::dialect::openai::{self, ChunkWriter, Kind};
use crate::relay::dialect::prompts::Prompts;
use crate::relay::dialect::read::{common_edits, with_usage};
use crate::relay::dialect::{Dialect, Outgoing, Prompt, Reader, Request, Stated, Writer};
use crate::relay::error::RelayError;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use steam_router::state::capability;

/// The dialect.
#[derive(Debug)]
pub struct Completions;

impl Dialect for Completions {
    fn name(&self) -> &'static str {
        "completions"
    }

    fn capability(&self) -> u64 {
        capability::COMPLETIONS
    }

    fn path(&self) -> &'static str {
        "/v1/completions"
    }

    fn provider_path(&self) -> &'static str {
        "/completions"
    }

    fn read(&self, body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
        read::request(body, headers)
    }

    fn prompt(&self, request: &Request) -> Prompt {
        let object = request.body.object();
        let prompts = object.get("prompt").and_then(|text| Prompts::read(text, "prompt", u32::MAX).ok());
        let mut prompt = prompts.map(Prompts::prompt).unwrap_or_default();
        prompt.texts.extend(object.get("suffix").map(str::to_owned));
        prompt
    }

    fn body(&self, request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
        let object = request.document.object();
        let mut edits = common_edits(&object, request.model);
        let unstated = object.get("max_tokens").is_none().then_some(read::DEFAULT_MAX_TOKENS);
        if let Some(max_output) = request.max_output.or(unstated) {
            edits.push(("max_tokens", Some(max_output.to_string())));
        }
        if request.stream {
            edits.push(("stream_options", Some(with_usage(&object)?)));
        }
        Ok(object.edited(&edits).into())
    }

    fn reader(&self, request: &Request) -> Box<dyn Reader> {
        Box::new(reader::TextReader::new(request.choices))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(ChunkWriter::new(Kind::Text))
    }

    fn error(&self, error: &RelayError) -> String {
        openai::error(error)
    }

    fn refusal(&self, status: StatusCode, stated: &Stated) -> String {
        openai::refusal(status, stated)
    }
}
