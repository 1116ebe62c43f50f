//! The forms in which an answer is written: one for each API that a simulated provider speaks.

use super::answer::Choice;
use super::messages;
use super::reply::{Answer, Form};
use serde_json::{Value, json};

impl Form {
    /// How the ids of answers begin.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Text => "cmpl-",
            Self::Messages => "msg_",
        }
    }

    /// A whole answer.
    pub(super) fn whole(self, answer: &Answer) -> Value {
        let choices = answer.choices.iter().enumerate();
        let mut whole = match self {
            Self::Chat => answer.head.with("chat.completion", choices.map(message).collect()),
            Self::Text => answer.head.with("text_completion", choices.map(text).collect()),
            Self::Messages => return messages::whole(answer),
        };
        whole["usage"] = answer.usage.json();
        whole
    }

    /// What comes before the first token of a stream.
    pub(super) fn open(self, answer: &Answer, bytes: &mut Vec<u8>) {
        match self {
            Self::Chat => {
                for (choice, number) in answer.choices.iter().zip(0..) {
                    chunk(answer, number, first(choice), None, bytes);
                }
            }
            Self::Text => {}
            Self::Messages => messages::open(answer, bytes),
        }
    }

    /// A token of a stream.
    pub(super) fn piece(
        self,
        answer: &Answer,
        (number, choice): (u32, &Choice),
        (_, token): (usize, &str),
        bytes: &mut Vec<u8>,
    ) {
        match self {
            Self::Chat => chunk(answer, number, piece(choice, token), None, bytes),
            Self::Text => text_chunk(answer, number, token, None, bytes),
            Self::Messages => messages::piece(answer, choice, token, bytes),
        }
    }

    /// What comes after the last token of a stream.
    pub(super) fn close(self, answer: &Answer, include_usage: bool, bytes: &mut Vec<u8>) {
        let object = match self {
            Self::Chat => "chat.completion.chunk",
            Self::Text => "text_completion",
            Self::Messages => return messages::close(answer, bytes),
        };
        for (choice, number) in answer.choices.iter().zip(0..) {
            match self {
                Self::Chat => chunk(answer, number, json!({}), Some(choice.finish), bytes),
                Self::Text => text_chunk(answer, number, "", Some(choice.finish), bytes),
                Self::Messages => {}
            }
        }
        if include_usage {
            let mut chunk = answer.head.with(object, json!([]));
            chunk["usage"] = answer.usage.json();
            write(bytes, &chunk);
        }
        bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn message((index, choice): (usize, &Choice)) -> Value {
    let message = match &choice.tool {
        None => json!({ "role": "assistant", "content": choice.text(), "refusal": null }),
        Some((id, name)) => {
            let function = json!({ "name": name, "arguments": choice.text() });
            let call = json!({ "id": id, "type": "function", "function": function });
            json!({ "role": "assistant", "content": null, "tool_calls": [call] })
        }
    };
    json!({ "index": index, "message": message, "logprobs": null, "finish_reason": choice.finish })
}

fn text((index, choice): (usize, &Choice)) -> Value {
    json!({ "text": choice.text(), "index": index, "logprobs": null, "finish_reason": choice.finish })
}

fn chunk(answer: &Answer, number: u32, delta: Value, finish: Option<&str>, bytes: &mut Vec<u8>) {
    let choice = json!({ "index": number, "delta": delta, "logprobs": null, "finish_reason": finish });
    write(bytes, &answer.head.with("chat.completion.chunk", json!([choice])));
}

fn text_chunk(answer: &Answer, number: u32, text: &str, finish: Option<&str>, bytes: &mut Vec<u8>) {
    let choice = json!({ "text": text, "index": number, "logprobs": null, "finish_reason": finish });
    write(bytes, &answer.head.with("text_completion", json!([choice])));
}

/// What opens a choice.
fn first(choice: &Choice) -> Value {
    match &choice.tool {
        None => json!({ "role": "assistant", "content": "" }),
        Some((id, name)) => {
            let function = json!({ "name": name, "arguments": "" });
            let call = json!({ "index": 0, "id": id, "type": "function", "function": function });
            json!({ "role": "assistant", "content": null, "tool_calls": [call] })
        }
    }
}

fn piece(choice: &Choice, token: &str) -> Value {
    match choice.tool {
        None => json!({ "content": token }),
        Some(_) => json!({ "tool_calls": [{ "index": 0, "function": { "arguments": token } }] }),
    }
}

fn write(bytes: &mut Vec<u8>, chunk: &Value) {
    bytes.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
}
