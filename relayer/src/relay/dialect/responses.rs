//! Responses, as OpenAI's API has them: `POST /v1/responses`. The relayer keeps no answers, so that each request has the whole
//! history.

mod compose;
mod conversation;
mod read;
mod reader;
mod render;
pub mod schema;
#[cfg(test)]
mod tests;
mod writer;

use crate::relay::dialect::openai;
use crate::relay::dialect::read::common_edits;
use crate::relay::dialect::translate::{Render, Translate};
use crate::relay::dialect::{Dialect, Outgoing, Prompt, Reader, Request, Stated, Writer};
use crate::relay::error::RelayError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use steam_router::state::capability;

/// The header that names experimental features.
const BETA: HeaderName = HeaderName::from_static("openai-beta");

/// The dialect.
#[derive(Debug)]
pub struct Responses;

/// The answer to a request to count tokens.
pub fn counted(tokens: u64) -> String {
    format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#)
}

impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "responses"
    }

    fn capability(&self) -> u64 {
        capability::RESPONSES
    }

    fn path(&self) -> &'static str {
        "/v1/responses"
    }

    fn provider_path(&self) -> &'static str {
        "/responses"
    }

    fn read(&self, body: Bytes, headers: &HeaderMap) -> Result<Request, RelayError> {
        read::request(body, headers)
    }

    fn prompt(&self, request: &Request) -> Prompt {
        read::prompt(&request.body.object())
    }

    fn body(&self, request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
        let object = request.document.object();
        let mut edits = common_edits(&object, request.model);
        // Without a word a provider would keep the answer.
        edits.push(("store", Some("false".into())));
        if let Some(max_output) = request.max_output {
            edits.push(("max_output_tokens", Some(max_output.to_string())));
        }
        Ok(object.edited(&edits).into())
    }

    fn headers(&self, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
        request.headers.clone()
    }

    fn parameter_of(&self, bit: u64) -> Option<&'static str> {
        match bit {
            _ if bit & (capability::VISION | capability::FILE_INPUT | capability::AUDIO_INPUT) != 0 => Some("input"),
            _ if bit & (capability::JSON_MODE | capability::JSON_SCHEMA) != 0 => Some("text.format"),
            _ if bit & capability::REASONING != 0 => Some("reasoning"),
            _ => super::chat::parameter_of(bit),
        }
    }

    fn reader(&self, _: &Request) -> Box<dyn Reader> {
        Box::<reader::ResponseReader>::default()
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::<writer::ResponseWriter>::default()
    }

    fn render(&self) -> Option<Render> {
        Some(render::render)
    }

    fn translate(&self) -> Option<&'static (dyn Translate + Sync)> {
        Some(&Responses)
    }

    fn error(&self, error: &RelayError) -> String {
        openai::error(error)
    }

    fn refusal(&self, status: StatusCode, stated: &Stated) -> String {
        openai::refusal(status, stated)
    }
}
