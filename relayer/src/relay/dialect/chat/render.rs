//! A conversation in the neutral form as a chat request.

use crate::relay::dialect::conversation::{
    Conversation, Format, Image, Names, Part, Role, Tool, Turn, Unsayable, members,
};
use crate::relay::dialect::openai::{chosen, described, shaped};
use serde_json::{Map, Value, json};

/// Most texts that end an answer.
const MAX_STOPS: usize = 4;

/// Writes a request, without model, stream and limit.
///
/// # Errors
/// A field that chat completions have no word for.
pub(super) fn render(conversation: Conversation) -> Result<Map<String, Value>, Unsayable> {
    let Conversation {
        turns,
        tools,
        tool_choice,
        one_call,
        temperature,
        top_p,
        stop,
        format,
        effort,
        verbosity,
        names,
        left_out: _,
    } = conversation;
    if stop.len() > MAX_STOPS {
        return Err(Unsayable::at(names.stop));
    }
    let mut messages = Vec::with_capacity(turns.len());
    for turn in turns {
        messages_of(turn, &names, &mut messages)?;
    }
    let some_tools = !tools.is_empty();
    Ok(members([
        ("messages", Some(messages.into())),
        ("tools", some_tools.then(|| tools.into_iter().map(tool).collect())),
        ("tool_choice", chosen(tool_choice, |name| json!({ "function": { "name": name } }))),
        ("parallel_tool_calls", (one_call && some_tools).then_some(false.into())),
        ("temperature", temperature.map(Value::Number)),
        ("top_p", top_p.map(Value::Number)),
        ("stop", (!stop.is_empty()).then(|| stop.into())),
        ("response_format", format.map(self::format)),
        ("reasoning_effort", effort.map(Value::from)),
        ("verbosity", verbosity.map(Value::from)),
    ]))
}

fn tool(tool: Tool) -> Value {
    json!({ "type": "function", "function": described(tool) })
}

fn format(format: Format) -> Value {
    match shaped(format) {
        None => json!({ "type": "json_object" }),
        Some(schema) => json!({ "type": "json_schema", "json_schema": schema }),
    }
}

/// The messages of a turn: results of calls are messages of their own.
fn messages_of(turn: Turn, names: &Names, messages: &mut Vec<Value>) -> Result<(), Unsayable> {
    let (mut content, mut calls, mut refusal, mut thought) = (Vec::new(), Vec::new(), None, String::new());
    for (place, part) in turn.parts {
        let unsayable = || names.unsayable(place);
        match part {
            // A message has no order of what was said and what was called: some providers write a line's end after their calls.
            Part::Text(text) => content.push(json!({ "type": "text", "text": text })),
            Part::Image(Image { source, detail }) if turn.role == Role::User => {
                let mut image = json!({ "url": source.url() });
                if let Some(detail) = detail {
                    image["detail"] = detail.into();
                }
                content.push(json!({ "type": "image_url", "image_url": image }));
            }
            Part::Call { id, name, arguments } if turn.role == Role::Assistant => {
                let function = json!({ "name": name, "arguments": arguments });
                calls.push(json!({ "id": id, "type": "function", "function": function }));
            }
            Part::Refusal(text) if turn.role == Role::Assistant => {
                refusal.get_or_insert_with(String::new).push_str(&text);
            }
            // Results come before anything else that the user says.
            Part::Result { id, content: returned, failed } if turn.role == Role::User && content.is_empty() => {
                let text = returned_text(returned, failed).ok_or_else(unsayable)?;
                messages.push(json!({ "role": "tool", "tool_call_id": id, "content": text }));
            }
            Part::Thought(text) => thought.push_str(&text),
            Part::Image(_) | Part::Call { .. } | Part::Refusal(_) | Part::Result { .. } => {
                return Err(unsayable());
            }
            Part::Sealed { path } => return Err(Unsayable::at(path)),
        }
    }
    let role = match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    if content.is_empty() && calls.is_empty() && refusal.is_none() {
        return Ok(());
    }
    let mut message = json!({ "role": role, "content": one_text(content) });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if let Some(refusal) = refusal {
        message["refusal"] = refusal.into();
    }
    if !thought.is_empty() {
        message["reasoning_content"] = thought.into();
    }
    messages.push(message);
    Ok(())
}

/// A single text as a string, which every provider takes.
fn one_text(mut parts: Vec<Value>) -> Value {
    match parts.len() {
        0 => Value::Null,
        1 if parts[0]["type"] == "text" => parts[0]["text"].take(),
        _ => parts.into(),
    }
}

/// What a call returned, as a text; chat marks no failure, so that the text says it. `None` if there is more than text.
fn returned_text(content: Vec<Part>, failed: bool) -> Option<String> {
    let mut text = if failed { "Error: ".to_owned() } else { String::new() };
    for (place, part) in content.into_iter().enumerate() {
        let Part::Text(part) = part else { return None };
        if place > 0 {
            text.push('\n');
        }
        text.push_str(&part);
    }
    Some(text)
}
