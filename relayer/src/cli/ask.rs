//! One call to a relayer, with JSON both ways.

use super::chat::setup::cause;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The status, and the answer; nothing if that is no JSON.
///
/// # Errors
/// What went wrong on the way, for people.
pub async fn ask(method: Method, url: &str, body: Option<&Value>) -> Result<(StatusCode, Value), String> {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| cause(&error))?;
    let request = http.request(method, url);
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let mut answer = request.send().await.map_err(|error| cause(&error))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| cause(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err("its answer is too long".into());
        }
    }
    Ok((answer.status(), serde_json::from_slice(&bytes).unwrap_or_default()))
}
