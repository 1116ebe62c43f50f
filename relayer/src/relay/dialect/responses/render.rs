//! A conversation in the neutral form as a request for a response.

use crate::relay::dialect::conversation::{
    Conversation, Format, Image, Names, Part, Role, Tool, Turn, Unsayable, members,
};
use crate::relay::dialect::openai::{chosen, described, shaped};
use serde_json::{Map, Value, json};

/// Writes a request, without model, stream and limit.
///
/// # Errors
/// A field that responses have no word for.
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
    // Only the model itself ends a response.
    if !stop.is_empty() {
        return Err(Unsayable::at(names.stop));
    }
    let mut items = Vec::with_capacity(turns.len());
    for turn in turns {
        items_of(turn, &names, &mut items)?;
    }
    let some_tools = !tools.is_empty();
    let text = members([("format", format.map(self::format)), ("verbosity", verbosity.map(Value::from))]);
    Ok(members([
        ("input", Some(items.into())),
        ("tools", some_tools.then(|| tools.into_iter().map(tool).collect())),
        ("tool_choice", chosen(tool_choice, |name| json!({ "name": name }))),
        ("parallel_tool_calls", (one_call && some_tools).then_some(false.into())),
        ("temperature", temperature.map(Value::Number)),
        ("top_p", top_p.map(Value::Number)),
        ("reasoning", effort.map(|effort| json!({ "effort": effort }))),
        ("text", (!text.is_empty()).then(|| text.into())),
    ]))
}

/// A function. Without a word responses take a schema to be strict and want one, which the other dialects do not.
fn tool(mut tool: Tool) -> Value {
    tool.parameters.get_or_insert_with(|| json!({ "type": "object", "properties": {} }));
    tool.strict.get_or_insert(false);
    of_type("function", described(tool))
}

fn format(format: Format) -> Value {
    match shaped(format) {
        None => json!({ "type": "json_object" }),
        Some(schema) => of_type("json_schema", schema),
    }
}

/// An object of this type, with these members.
fn of_type(kind: &str, members: Map<String, Value>) -> Value {
    let mut object = json!({ "type": kind });
    if let Some(object) = object.as_object_mut() {
        object.extend(members);
    }
    object
}

/// The items of a turn: calls and what they returned are items of their own.
fn items_of(turn: Turn, names: &Names, items: &mut Vec<Value>) -> Result<(), Unsayable> {
    let role = turn.role;
    let mut content = Vec::new();
    for (place, part) in turn.parts {
        let unsayable = || names.unsayable(place);
        let item = match part {
            Part::Call { id, name, arguments } if role == Role::Assistant => {
                json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments })
            }
            Part::Result { id, content, failed } if role == Role::User => {
                let output = returned(content, failed).ok_or_else(unsayable)?;
                json!({ "type": "function_call_output", "call_id": id, "output": output })
            }
            Part::Sealed { path } => return Err(Unsayable::at(path)),
            // It is taken back sealed, or by the id of an answer that was kept.
            Part::Thought(_) => continue,
            part => {
                content.push(self::part(part, role).ok_or_else(unsayable)?);
                continue;
            }
        };
        message(role, &mut content, items);
        items.push(item);
    }
    message(role, &mut content, items);
    Ok(())
}

/// Adds a message of these parts, if there are any.
fn message(role: Role, content: &mut Vec<Value>, items: &mut Vec<Value>) {
    if content.is_empty() {
        return;
    }
    let role = match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    items.push(json!({ "type": "message", "role": role, "content": std::mem::take(content) }));
}

/// A part of a message. `None` if there is no word for it.
fn part(part: Part, role: Role) -> Option<Value> {
    Some(match part {
        Part::Text(text) if role == Role::Assistant => {
            json!({ "type": "output_text", "text": text, "annotations": [] })
        }
        Part::Text(text) => json!({ "type": "input_text", "text": text }),
        Part::Refusal(refusal) if role == Role::Assistant => json!({ "type": "refusal", "refusal": refusal }),
        Part::Image(Image { source, detail }) if role == Role::User => {
            let detail = detail.unwrap_or_else(|| "auto".into());
            json!({ "type": "input_image", "image_url": source.url(), "detail": detail })
        }
        Part::Refusal(_)
        | Part::Image(_)
        | Part::Call { .. }
        | Part::Result { .. }
        | Part::Thought(_)
        | Part::Sealed { .. } => {
            return None;
        }
    })
}

/// What a call returned: a text alone as a string, which every provider takes. Responses mark no failure, so that the text
/// says it. `None` if there is more than texts and images.
fn returned(content: Vec<Part>, failed: bool) -> Option<Value> {
    let failure = failed.then(|| Part::Text("Error: ".into()));
    let parts: Vec<Value> =
        failure.into_iter().chain(content).map(|one| part(one, Role::User)).collect::<Option<_>>()?;
    if parts.iter().any(|part| part["type"] != "input_text") {
        return Some(parts.into());
    }
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let (failure, texts) = texts.split_at(usize::from(failed));
    Some(format!("{}{}", failure.concat(), texts.join("\n")).into())
}
