//! The dialects of the load: what a client sends in each, and what the provider answers.

use serde_json::{Value, json};

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Chat completions.
    Chat,
    /// Messages.
    Messages,
    /// Responses.
    Responses,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Messages, Self::Responses];

    /// Where it is spoken.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
        }
    }

    /// The dialect that is spoken at `path`.
    pub fn at(path: &str) -> Self {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path).unwrap_or(Self::Chat)
    }

    /// A request's members but its model: a user's message, a limit, and whether the answer is streamed.
    pub fn asks(self, words: &str, streamed: bool) -> String {
        let message =
            format!(r#""messages":[{{"role":"user","content":"{words}"}}],"max_tokens":100,"stream":{streamed}"#);
        match self {
            Self::Chat if streamed => format!(r#"{message},"stream_options":{{"include_usage":true}}"#),
            Self::Chat | Self::Messages => message,
            Self::Responses => {
                format!(r#""input":"{words}","max_output_tokens":100,"store":false,"stream":{streamed}"#)
            }
        }
    }

    /// A whole answer of these words.
    pub fn whole(self, model: &str, words: &[String]) -> String {
        let (text, count) = (words.concat(), words.len());
        let answer = match self {
            Self::Chat => json!({
                "id": "c", "object": "chat.completion", "created": 5, "model": model,
                "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
                "usage": { "prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count },
            }),
            Self::Messages => json!({
                "id": "msg_c", "type": "message", "role": "assistant", "model": model,
                "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": { "input_tokens": count, "output_tokens": count },
            }),
            Self::Responses => response(model, "completed", &[item(&text, "completed")], Some(count)),
        };
        answer.to_string()
    }

    /// What comes before the words of a streamed answer.
    pub fn begin(self, model: &str) -> Vec<String> {
        let events = match self {
            Self::Chat => Vec::new(),
            Self::Messages => vec![
                json!({ "type": "message_start", "message": {
                    "id": "msg_c", "type": "message", "role": "assistant", "model": model, "content": [],
                    "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 20, "output_tokens": 1 },
                } }),
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            ],
            Self::Responses => vec![
                json!({ "type": "response.created", "sequence_number": 0, "response": response(model, "in_progress", &[], None) }),
                json!({ "type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {
                    "id": "msg_c", "type": "message", "status": "in_progress", "role": "assistant", "content": [],
                } }),
                json!({ "type": "response.content_part.added", "sequence_number": 2, "item_id": "msg_c", "output_index": 0,
                    "content_index": 0, "part": { "type": "output_text", "text": "", "annotations": [] } }),
            ],
        };
        events.iter().map(|event| self.event(event)).collect()
    }

    /// A word of a streamed answer.
    pub fn word(self, model: &str, place: usize, word: &str) -> String {
        let event = match self {
            Self::Chat => {
                let delta = if place == 0 {
                    json!({ "role": "assistant", "content": word })
                } else {
                    json!({ "content": word })
                };
                chunk(model, json!([{ "index": 0, "delta": delta, "finish_reason": null }]))
            }
            Self::Messages => json!({
                "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word },
            }),
            Self::Responses => json!({
                "type": "response.output_text.delta", "sequence_number": place + 3, "item_id": "msg_c", "output_index": 0,
                "content_index": 0, "delta": word, "logprobs": [],
            }),
        };
        self.event(&event)
    }

    /// What comes after the words of a streamed answer.
    pub fn end(self, model: &str, words: &[String]) -> Vec<String> {
        let (text, count) = (words.concat(), words.len());
        let events = match self {
            Self::Chat => {
                let mut usage = chunk(model, json!([]));
                usage["usage"] =
                    json!({ "prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count });
                vec![chunk(model, json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }])), usage]
            }
            Self::Messages => vec![
                json!({ "type": "content_block_stop", "index": 0 }),
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
                    "usage": { "output_tokens": count } }),
                json!({ "type": "message_stop" }),
            ],
            Self::Responses => vec![
                json!({ "type": "response.output_text.done", "sequence_number": count + 3, "item_id": "msg_c",
                    "output_index": 0, "content_index": 0, "text": text, "logprobs": [] }),
                json!({ "type": "response.output_item.done", "sequence_number": count + 4, "output_index": 0,
                    "item": item(&text, "completed") }),
                json!({ "type": "response.completed", "sequence_number": count + 5,
                    "response": response(model, "completed", &[item(&text, "completed")], Some(count)) }),
            ],
        };
        let done = (self == Self::Chat).then(|| "data: [DONE]\n\n".to_owned());
        events.iter().map(|event| self.event(event)).chain(done).collect()
    }

    fn event(self, data: &Value) -> String {
        match self {
            Self::Chat => format!("data: {data}\n\n"),
            Self::Messages | Self::Responses => {
                format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
            }
        }
    }
}

fn chunk(model: &str, choices: Value) -> Value {
    json!({ "id": "c", "object": "chat.completion.chunk", "created": 5, "model": model, "choices": choices })
}

fn item(text: &str, status: &str) -> Value {
    json!({
        "id": "msg_c", "type": "message", "status": status, "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
    })
}

fn response(model: &str, status: &str, output: &[Value], tokens: Option<usize>) -> Value {
    let usage = tokens.map(|count| {
        json!({
            "input_tokens": count, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": count,
            "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 2 * count,
        })
    });
    json!({
        "id": "resp_c", "object": "response", "created_at": 5, "status": status, "error": null, "incomplete_details": null,
        "model": model, "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "usage": usage,
    })
}
