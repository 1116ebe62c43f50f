//! A conversation in the neutral form as a chat request.

use crate::relay::dialect::conversation::{
    Conversation, Format, Image, Names, Part, Role, Tool, ToolChoice, Turn, Unsayable,
};
use serde_json::{Map, Value, json};

/// Most texts that end an answer.
const MAX_STOPS: usize = 4;

/// Writes a request, without model, stream and limit.
///
/// # Errors
/// A field that chat completions have no word for.
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
    if stop.len() > MAX_STOPS {
        return Err(Unsayable::at(names.stop));
    }
    let mut messages = Vec::with_capacity(turns.len());
    for turn in turns {
        messages_of(turn, &names, &mut messages)?;
    }
    let mut request = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            request.insert(name.into(), value);
        }
    };
    put("messages", Some(messages.into()));
    let some_tools = !tools.is_empty();
    put("tools", some_tools.then(|| tools.into_iter().map(tool).collect()));
    put("tool_choice", self::tool_choice(tool_choice));
    put("parallel_tool_calls", (one_call && some_tools).then_some(false.into()));
    put("temperature", temperature.map(Value::Number));
    put("top_p", top_p.map(Value::Number));
    put("stop", (!stop.is_empty()).then(|| stop.into()));
    put("response_format", format.map(self::format));
    put("reasoning_effort", effort.map(Value::from));
    put("verbosity", verbosity.map(Value::from));
    Ok(request)
}

fn tool(tool: Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".into(), tool.name.into());
    function.extend(tool.description.map(|description| ("description".into(), description.into())));
    function.extend(tool.parameters.map(|parameters| ("parameters".into(), parameters)));
    function.extend(tool.strict.map(|strict| ("strict".into(), strict.into())));
    json!({ "type": "function", "function": function })
}

fn tool_choice(choice: ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Any => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({ "type": "function", "function": { "name": name } })),
    }
}

fn format(format: Format) -> Value {
    match format {
        Format::Json => json!({ "type": "json_object" }),
        Format::Schema { name, description, schema, strict } => {
            let mut of = Map::new();
            of.insert("name".into(), name.unwrap_or_else(|| "answer".into()).into());
            of.extend(description.map(|description| ("description".into(), description.into())));
            of.insert("schema".into(), schema);
            of.extend(strict.map(|strict| ("strict".into(), strict.into())));
            json!({ "type": "json_schema", "json_schema": of })
        }
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
