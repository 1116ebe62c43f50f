//! Messages as Anthropic's API has them: a request, what is wrong with one, and the form of the answer.

use super::answer::Choice;
use super::reply::Answer;
use super::request::{Problem, Request, Want, flag, invalid, read as read_body, whole as whole_number};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What is shown of thoughts, and its signature.
const THOUGHTS: &str = "Simulated thoughts.";
const SIGNATURE: &str = "c2ltdWxhdGVk";

/// Reads a body, or says what is wrong as Anthropic does.
pub(super) fn read(body: &[u8], models: &[String]) -> Result<Request, Problem> {
    let (body, model) = read_body(body, models)?;
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| invalid("messages", "messages: at least one message is required"))?;
    let max_tokens = whole_number(&body, "max_tokens", u64::from(u32::MAX))?;
    if max_tokens.is_none() {
        return Err(invalid("max_tokens", "max_tokens: Field required"));
    }
    let mut prompt = String::new();
    texts(&body["system"], &mut prompt);
    for (index, message) in messages.iter().enumerate() {
        if !message["role"].as_str().is_some_and(|role| ["user", "assistant", "system"].contains(&role)) {
            return Err(invalid("messages", format!("messages.{index}.role: Input should be 'user' or 'assistant'")));
        }
        texts(&message["content"], &mut prompt);
    }
    let stops = body["stop_sequences"].as_array().into_iter().flatten();
    Ok(Request {
        model,
        prompt,
        messages: messages.len() as u32,
        stream: flag(&body, "stream")?,
        include_usage: true,
        n: 1,
        max_tokens,
        stop: stops.filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        want: want(&body, messages)?,
        thinks: ["enabled", "adaptive"].iter().any(|kind| body["thinking"]["type"] == *kind),
    })
}

fn texts(content: &Value, prompt: &mut String) {
    match content {
        Value::String(text) => prompt.push_str(text),
        Value::Array(blocks) => {
            for block in blocks {
                prompt.push_str(block["text"].as_str().unwrap_or_default());
                texts(&block["content"], prompt);
            }
        }
        _ => {}
    }
    prompt.push('\n');
}

fn want(body: &Value, messages: &[Value]) -> Result<Want, Problem> {
    let tools = body["tools"].as_array().map_or(&[][..], Vec::as_slice);
    if tools.iter().any(|tool| tool["name"].as_str().is_none_or(str::is_empty)) {
        return Err(invalid("tools", "tools.0.name: Field required"));
    }
    let answered = messages.last().and_then(|last| last["content"].as_array());
    let answered = answered.is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"));
    let choice = &body["tool_choice"];
    let tool = match choice["type"].as_str() {
        Some("none") => None,
        Some("tool") => tools.iter().find(|tool| tool["name"] == choice["name"]),
        Some("any") => tools.first(),
        // A tool's result is answered in words.
        _ => tools.first().filter(|_| !answered),
    };
    if let Some(tool) = tool {
        let name = tool["name"].as_str().unwrap_or_default().to_owned();
        return Ok(Want::Tool { name, parameters: tool["input_schema"].clone() });
    }
    match &body["output_config"]["format"] {
        Value::Null => Ok(Want::Text),
        format => Ok(Want::Json(Some(format["schema"].clone()))),
    }
}

/// A problem in Anthropic's form.
pub(super) fn refuse(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = match problem.status {
        404 => "not_found_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    };
    let error = json!({ "type": kind, "message": problem.message });
    (status, Json(json!({ "type": "error", "error": error }))).into_response()
}

fn head(answer: &Answer) -> Value {
    json!({
        "id": answer.head.id, "type": "message", "role": "assistant", "model": answer.head.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
    })
}

fn usage(answer: &Answer) -> Value {
    let usage = answer.usage;
    json!({
        "input_tokens": usage.prompt - usage.cached, "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0, "output_tokens": usage.completion,
    })
}

fn stop_reason(choice: &Choice) -> &'static str {
    match choice.finish {
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        _ => "end_turn",
    }
}

/// A whole answer.
pub(super) fn whole(answer: &Answer) -> Value {
    let mut message = head(answer);
    let mut content = Vec::new();
    if answer.thinks {
        content.push(json!({ "type": "thinking", "thinking": THOUGHTS, "signature": SIGNATURE }));
    }
    for choice in &answer.choices {
        content.push(match &choice.tool {
            None => json!({ "type": "text", "text": choice.text() }),
            Some((id, name)) => {
                let input = serde_json::from_str(&choice.text()).unwrap_or_else(|_| json!({}));
                json!({ "type": "tool_use", "id": id, "name": name, "input": input })
            }
        });
        message["stop_reason"] = stop_reason(choice).into();
    }
    message["content"] = content.into();
    message["usage"] = usage(answer);
    message
}

/// What comes before the first token.
pub(super) fn open(answer: &Answer, bytes: &mut Vec<u8>) {
    let mut message = head(answer);
    message["usage"] = usage(answer);
    message["usage"]["output_tokens"] = 1.into();
    write(bytes, &json!({ "type": "message_start", "message": message }));
    write(bytes, &json!({ "type": "ping" }));
    if answer.thinks {
        let block = json!({ "type": "thinking", "thinking": "", "signature": "" });
        write(bytes, &json!({ "type": "content_block_start", "index": 0, "content_block": block }));
        for delta in [
            json!({ "type": "thinking_delta", "thinking": THOUGHTS }),
            json!({ "type": "signature_delta", "signature": SIGNATURE }),
        ] {
            write(bytes, &json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
        }
        write(bytes, &json!({ "type": "content_block_stop", "index": 0 }));
    }
    for choice in &answer.choices {
        let block = match &choice.tool {
            None => json!({ "type": "text", "text": "" }),
            Some((id, name)) => json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
        };
        write(bytes, &json!({ "type": "content_block_start", "index": index(answer), "content_block": block }));
    }
}

/// A token.
pub(super) fn piece(answer: &Answer, choice: &Choice, token: &str, bytes: &mut Vec<u8>) {
    let delta = match choice.tool {
        None => json!({ "type": "text_delta", "text": token }),
        Some(_) => json!({ "type": "input_json_delta", "partial_json": token }),
    };
    write(bytes, &json!({ "type": "content_block_delta", "index": index(answer), "delta": delta }));
}

/// What comes after the last token.
pub(super) fn close(answer: &Answer, bytes: &mut Vec<u8>) {
    write(bytes, &json!({ "type": "content_block_stop", "index": index(answer) }));
    for choice in &answer.choices {
        let delta = json!({ "stop_reason": stop_reason(choice), "stop_sequence": null });
        let usage = json!({ "output_tokens": answer.usage.completion });
        write(bytes, &json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    }
    write(bytes, &json!({ "type": "message_stop" }));
}

/// The block of the answer itself.
fn index(answer: &Answer) -> u32 {
    u32::from(answer.thinks)
}

fn write(bytes: &mut Vec<u8>, event: &Value) {
    let kind = event["type"].as_str().unwrap_or_default();
    bytes.extend_from_slice(format!("event: {kind}\ndata: {event}\n\n").as_bytes());
}
