//! Messages, as Anthropic's API has them: `POST /v1/messages`, and `POST /v1/messages/count_tokens`.

mod block;
mod compose;
mod conversation;
mod read;
mod reader;
mod render;
pub mod schema;
#[cfg(test)]
mod tests;
mod writer;

use crate::relay::dialect::read::common_edits;
use crate::relay::dialect::translate::{Render, Translate};
use crate::relay::dialect::{Dialect, Outgoing, Prompt, Reader, Request, Stated, Writer};
use crate::relay::error::RelayError;
use crate::upstream::KeyHeader;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use steam_router::state::capability;

/// The header that names the version of the API.
pub const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The header that names experimental features.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// The version that providers are asked in where the client names none.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The dialect.
#[derive(Debug)]
pub struct Messages;

/// Reads a request to count tokens: one for an answer, without a limit of its output.
///
/// # Errors
/// [`RelayError::Invalid`], naming the field.
pub fn read_to_count(body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
    read::request(body, headers, read::Limit::None)
}

/// The answer to a request to count tokens.
pub fn counted(tokens: u64) -> String {
    format!(r#"{{"input_tokens":{tokens}}}"#)
}

impl Dialect for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn capability(&self) -> u64 {
        capability::MESSAGES
    }

    fn path(&self) -> &'static str {
        "/v1/messages"
    }

    fn provider_path(&self) -> &'static str {
        "/messages"
    }

    fn read(&self, body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
        read::request(body, headers, read::Limit::Required)
    }

    fn prompt(&self, request: &Request) -> Prompt {
        read::prompt(&request.body.object())
    }

    fn body(&self, request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
        let object = request.document.object();
        let mut edits = common_edits(&object, request.model);
        if let Some(max_output) = request.max_output {
            edits.push(("max_tokens", Some(max_output.to_string())));
            edits.extend(read::thinking_within(&object, max_output).map(|thinking| ("thinking", Some(thinking))));
        }
        Ok(object.edited(&edits).into())
    }

    fn headers(&self, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = request.headers.clone();
        if !headers.iter().any(|(name, _)| *name == VERSION) {
            headers.push((VERSION, DEFAULT_VERSION));
        }
        headers
    }

    fn parameter_of(&self, bit: u64) -> Option<&'static str> {
        match bit {
            _ if bit & (capability::JSON_MODE | capability::JSON_SCHEMA) != 0 => Some("output_config.format"),
            _ if bit & capability::REASONING != 0 => Some("thinking"),
            _ => super::chat::parameter_of(bit),
        }
    }

    /// Thinking is asked for.
    fn reasons_unasked(&self) -> bool {
        false
    }

    /// What is cached is marked.
    fn caches_unasked(&self) -> bool {
        false
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::ApiKey
    }

    fn reader(&self, _: &Request) -> Box<dyn Reader> {
        Box::<reader::MessageReader>::default()
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::<writer::MessageWriter>::default()
    }

    fn translate(&self) -> Option<&'static (dyn Translate + Sync)> {
        Some(&Messages)
    }

    fn render(&self) -> Option<Render> {
        Some(render::render)
    }

    fn error(&self, error: &RelayError) -> String {
        writer::error(error).to_string()
    }

    fn refusal(&self, status: StatusCode, stated: &Stated) -> String {
        writer::refusal(status, stated)
    }
}
