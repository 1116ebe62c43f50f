//! A request for text completions as OpenAI's API takes it.

use super::request::{Problem, Request, Want, flag, invalid, read as read_body, stop, whole};
use serde_json::Value;

/// Tokens of an answer without a limit.
const DEFAULT_TOKENS: usize = 16;

/// Reads a body, or says what is wrong as OpenAI does.
pub(super) fn read(body: &[u8], models: &[String]) -> Result<Request, Problem> {
    let (body, model) = read_body(body, models)?;
    let prompts = match &body["prompt"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(prompts) if !prompts.is_empty() => prompts.iter().map(text).collect::<Result<_, _>>()?,
        _ => return Err(invalid("prompt", "Invalid type for 'prompt': expected a string or an array.")),
    };
    // An array of numbers is one prompt.
    let of_numbers = body["prompt"].as_array().is_some_and(|prompts| prompts.iter().all(Value::is_u64));
    let count = if of_numbers { 1 } else { prompts.len() };
    Ok(Request {
        model,
        prompt: prompts.concat(),
        messages: 0,
        stream: flag(&body, "stream")?,
        include_usage: body["stream_options"]["include_usage"] == true,
        n: count * whole(&body, "n", 128)?.unwrap_or(1),
        max_tokens: whole(&body, "max_tokens", u64::from(u32::MAX))?.or(Some(DEFAULT_TOKENS)),
        stop: stop(&body["stop"])?,
        want: Want::Text,
        thinks: false,
    })
}

/// The text of a prompt; one of tokens is written as a letter for each.
fn text(prompt: &Value) -> Result<String, Problem> {
    match prompt {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) => Ok("x ".into()),
        Value::Array(tokens) if tokens.iter().all(Value::is_u64) => Ok("x ".repeat(tokens.len())),
        _ => Err(invalid("prompt", "Invalid type for 'prompt': expected strings or arrays of tokens.")),
    }
}
