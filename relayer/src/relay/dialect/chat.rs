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

pub use schema::{ChatCompletion, ChatCompletionRequest, ChatMessage, ChatUsage, MaxPrice, ProviderControls};

use crate::relay::dialect::openai::{self, ChunkWriter, Kind};
use crate::relay::dialect::translate::{Render, Translate};
use crate::relay::dialect::{Dialect, Outgoing, Prompt, Reader, Request, Writer};
use crate::relay::error::RelayError;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use steam_router::state::capability;

/// The dialect.
#[derive(Debug)]
pub struct Chat;

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

    fn reader(&self, _: &Request) -> Box<dyn Reader> {
        Box::<reader::ChatReader>::default()
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

    fn refusal(&self, status: StatusCode, stated: Option<&str>) -> String {
        openai::refusal(status, stated)
    }
}
