//! A conversation in the neutral form as a request for a response.

use crate::relay::dialect::conversation::{
    Conversation, Format, Image, Names, Part, Role, Tool, ToolChoice, Turn, Unsayable,
};
use serde_json::{Map, Value, json};

/// Writes a request, without model, stream and limit.
///
/// # Errors
/// A field that responses have no word for.
pub(super) fn render(mut conversation: Conversation) -> Result<Map<String, Value>, Unsayable> {
    if let Some(path) = conversation.unseal() {
        return Err(Unsayable::at(path));
    }
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
    let mut request = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            request.insert(name.into(), value);
        }
    };
    put("input", Some(items.into()));
    let some_tools = !tools.is_empty();
    put("tools", some_tools.then(|| tools.into_iter().map(tool).collect()));
    put("tool_choice", self::tool_choice(tool_choice));
    put("parallel_tool_calls", (one_call && some_tools).then_some(false.into()));
    put("temperature", temperature.map(Value::Number));
    put("top_p", top_p.map(Value::Number));
    put("reasoning", effort.map(|effort| json!({ "effort": effort })));
    let mut text = Map::new();
    text.extend(format.map(|format| ("format".into(), self::format(format))));
    text.extend(verbosity.map(|verbosity| ("verbosity".into(), verbosity.into())));
    put("text", (!text.is_empty()).then(|| text.into()));
    Ok(request)
}

/// A function. Without a word responses take a schema to be strict and want one, which the other dialects do not.
fn tool(tool: Tool) -> Value {
    let mut function = Map::new();
    function.insert("type".into(), "function".into());
    function.insert("name".into(), tool.name.into());
    function.extend(tool.description.map(|description| ("description".into(), description.into())));
    let nothing = || json!({ "type": "object", "properties": {} });
    function.insert("parameters".into(), tool.parameters.unwrap_or_else(nothing));
    function.insert("strict".into(), tool.strict.unwrap_or(false).into());
    function.into()
}

fn tool_choice(choice: ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Any => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({ "type": "function", "name": name })),
    }
}

fn format(format: Format) -> Value {
    match format {
        Format::Json => json!({ "type": "json_object" }),
        Format::Schema { name, description, schema, strict } => {
            let mut of =
                json!({ "type": "json_schema", "name": name.unwrap_or_else(|| "answer".into()), "schema": schema });
            if let Some(description) = description {
                of["description"] = description.into();
            }
            if let Some(strict) = strict {
                of["strict"] = strict.into();
            }
            of
        }
    }
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
