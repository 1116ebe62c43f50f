//! Chat completions, as OpenAI's API has them: `POST /v1/chat/completions`.

mod body;
mod calls;
pub mod client;
mod compose;
mod conversation;
mod messages;
mod parameters;
pub mod question;
mod read;
mod reader;
mod render;
mod schema;
#[cfg(test)]
mod tests;

pub use parameters::supported_parameters;
pub use schema::{ChatCompletion, ChatCompletionRequest, ChatMessage, ChatUsage, MaxPrice, ProviderControls};

use crate::relay::dialect::openai::{self, ChunkWriter, Kind};
use crate::relay::dialect::translate::{Render, Translate};
use crate::relay::dialect::{Dialect, Outgoing, Prompt, Reader, Request, Stated, Writer};
use crate::relay::error::RelayError;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use steam_router::state::capability;

/// The dialect.
#[derive(Debug)]
pub struct Chat;

/// The parameter by which a request needs this capability.
pub(super) fn parameter_of(bit: u64) -> Option<&'static str> {
    let known = [
        (capability::STREAMING, "stream"),
        (capability::VISION, "messages"),
        (capability::FILE_INPUT, "messages"),
        (capability::AUDIO_INPUT, "messages"),
        (capability::TOOLS, "tools"),
        (capability::JSON_MODE, "response_format"),
        (capability::JSON_SCHEMA, "response_format"),
        (capability::LOGPROBS, "logprobs"),
        (capability::SEED, "seed"),
        (capability::REASONING, "reasoning_effort"),
    ];
    known.into_iter().find(|(known, _)| known & bit != 0).map(|(_, name)| name)
}

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn capability(&self) -> u64 {
        capability::CHAT
    }

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

    fn body(&self, request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
        body::for_provider(request)
    }

    fn reader(&self, request: &Request) -> Box<dyn Reader> {
        Box::new(reader::ChatReader::new(request.choices))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(ChunkWriter::new(Kind::Chat))
    }

    fn translate(&self) -> Option<&'static (dyn Translate + Sync)> {
        Some(&Chat)
    }

    fn render(&self) -> Option<Render> {
        Some(render::render)
    }

    fn error(&self, error: &RelayError) -> String {
        openai::error(error)
    }

    fn refusal(&self, status: StatusCode, stated: &Stated) -> String {
        openai::refusal(status, stated)
    }
}
