//! A request for messages as a conversation in the neutral form.

use crate::relay::dialect::Request;
use crate::relay::dialect::conversation::{
    Conversation, Format, Image, Names, Part, Place, Role, Source, Tool, ToolChoice, Turn, Unsayable, called_directly,
    only,
};
use crate::relay::json;
use serde_json::{Map, Value};

/// Members that change nothing of what is asked, or that the relayer reads.
const LEFT_OUT: [&str; 11] = [
    "model",
    "models",
    "provider",
    "stream",
    "max_tokens",
    "metadata",
    "service_tier",
    "cache_control",
    "messages",
    "system",
    "tools",
];
/// The effort of a request that names none.
const USUAL_EFFORT: &str = "high";

/// Reads a request.
///
/// # Errors
/// A member that other dialects have no word for.
pub(super) fn parse(request: &Request) -> Result<Conversation, Unsayable> {
    let Ok(Value::Object(members)) = json::read_exact(request.body.text()) else {
        return Err(Unsayable::at("messages"));
    };
    let names = Names {
        turns: "messages",
        rules: "system",
        stop: "stop_sequences",
        format: "output_config.format",
        effort: "output_config.effort",
        verbosity: "output_config",
    };
    let mut conversation = Conversation { names, ..Conversation::default() };
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        if !LEFT_OUT.contains(&name.as_str()) {
            member(&mut conversation, name, value)?;
        }
    }
    for (place, tool) in array(&members, "tools").iter().enumerate() {
        conversation.tools.push(self::tool(tool).ok_or_else(|| Unsayable::at(format!("tools.{place}")))?);
    }
    if let Some(system) = members.get("system").filter(|system| !system.is_null()) {
        conversation.turns.push(Turn::new(Role::System, Place::Rules, blocks(system, "system")?));
    }
    let mut called = false;
    for (place, message) in array(&members, "messages").iter().enumerate() {
        let role = match message["role"].as_str() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system") => Role::System,
            _ => return Err(Unsayable::at(format!("messages.{place}.role"))),
        };
        let parts = blocks(&message["content"], &format!("messages.{place}.content"))?;
        add(&mut conversation.turns, &mut called, Turn::new(role, Place::At(place), parts));
    }
    // A turn of the assistant at the end is to be continued, which only this dialect can ask for.
    if conversation.turns.last().is_some_and(|turn| turn.role == Role::Assistant) {
        let place = array(&members, "messages").len() - 1;
        return Err(Unsayable::at(format!("messages.{place}")));
    }
    Ok(conversation)
}

/// Adds what a message says. Messages of one role in a row are one turn: its calls, and their results, belong together. `called`
/// tells whether the last turn has calls.
fn add(turns: &mut Vec<Turn>, called: &mut bool, turn: Turn) {
    let calls = turn.parts().any(|part| matches!(part, Part::Call { .. }));
    let results = turn.parts().any(|part| matches!(part, Part::Result { .. }));
    let goes_on = *called && turn.role == Role::Assistant;
    *called = calls || goes_on;
    match turns.last_mut() {
        Some(last)
            if last.role == turn.role
                && match turn.role {
                    Role::Assistant => goes_on,
                    Role::User => results && last.is_results(),
                    Role::System => false,
                } =>
        {
            last.parts.extend(turn.parts);
        }
        _ => turns.push(turn),
    }
}

fn array<'a>(members: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    members.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Takes a member.
fn member(conversation: &mut Conversation, name: &str, value: &Value) -> Result<(), Unsayable> {
    let unsayable = || Unsayable::at(name);
    match name {
        "temperature" => conversation.temperature = Some(value.as_number().ok_or_else(unsayable)?.clone()),
        "top_p" => conversation.top_p = Some(value.as_number().ok_or_else(unsayable)?.clone()),
        // Other dialects do not tell which text ended the answer, or that one did.
        "stop_sequences" if value.as_array().is_some_and(Vec::is_empty) => {}
        "tool_choice" => tool_choice(conversation, value).ok_or_else(unsayable)?,
        "thinking" => return thinking(value),
        "output_config" => return output_config(conversation, value),
        "mcp_servers" if value.as_array().is_some_and(Vec::is_empty) => {}
        "speed" if value == "standard" => {}
        "context_management" => return context_management(value).ok_or_else(unsayable),
        _ => return Err(unsayable()),
    }
    Ok(())
}

/// Models of other dialects think as they see fit: only that can be asked of them.
fn thinking(value: &Value) -> Result<(), Unsayable> {
    match value["type"].as_str() {
        Some("disabled" | "adaptive") => Ok(()),
        Some("enabled") => Err(Unsayable::at("thinking.budget_tokens")),
        _ => Err(Unsayable::at("thinking")),
    }
}

fn output_config(conversation: &mut Conversation, value: &Value) -> Result<(), Unsayable> {
    let members = value.as_object().ok_or_else(|| Unsayable::at("output_config"))?;
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let unsayable = || Unsayable::at(format!("output_config.{name}"));
        match name.as_str() {
            "effort" => match value.as_str().ok_or_else(unsayable)? {
                USUAL_EFFORT => {}
                effort @ ("low" | "medium") => conversation.effort = Some(effort.to_owned()),
                _ => return Err(unsayable()),
            },
            "format"
                if value["type"] == "json_schema"
                    && value["schema"].is_object()
                    && only(value, &["type", "schema"]) =>
            {
                let schema = value["schema"].clone();
                conversation.format =
                    Some(Format::Schema { name: None, description: None, schema, strict: Some(true) });
            }
            _ => return Err(unsayable()),
        }
    }
    Ok(())
}

/// Edits that keep everything edit nothing.
fn context_management(value: &Value) -> Option<()> {
    let keeps = |edit: &Value| edit["type"] == "clear_thinking_20251015" && edit["keep"] == "all";
    value["edits"].as_array()?.iter().all(keeps).then_some(())
}

fn tool_choice(conversation: &mut Conversation, value: &Value) -> Option<()> {
    conversation.tool_choice = match value["type"].as_str()? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(value["name"].as_str()?.to_owned()),
        _ => return None,
    };
    conversation.one_call = value["disable_parallel_tool_use"] == true;
    Some(())
}

/// A function of the client's; the others run at the provider.
fn tool(value: &Value) -> Option<Tool> {
    let known = ["name", "type", "description", "input_schema", "strict", "eager_input_streaming", "allowed_callers"];
    let callers = &value["allowed_callers"];
    if value["type"].as_str().is_some_and(|kind| kind != "custom")
        || !(callers.is_null() || *callers == serde_json::json!(["direct"]))
        || !only(value, &known)
    {
        return None;
    }
    Some(Tool {
        name: value["name"].as_str()?.to_owned(),
        description: value["description"].as_str().map(ToOwned::to_owned),
        parameters: Some(value["input_schema"].as_object()?.clone().into()),
        strict: value["strict"].as_bool(),
    })
}

/// Content as parts; `path` is where it stands.
fn blocks(content: &Value, path: &str) -> Result<Vec<Part>, Unsayable> {
    match content {
        Value::String(text) => Ok(vec![Part::Text(text.clone())]),
        Value::Array(blocks) => {
            let blocks = blocks.iter().enumerate().map(|(place, one)| {
                let path = format!("{path}.{place}");
                block(one, &path).ok_or(Unsayable::at(path))
            });
            blocks.collect()
        }
        _ => Err(Unsayable::at(path)),
    }
}

/// A block as a part. `None` if there is no word for it.
fn block(block: &Value, path: &str) -> Option<Part> {
    let text = |name: &str| block[name].as_str().map(ToOwned::to_owned);
    let only = |known: &[&str]| only(block, &[&["type"], known].concat());
    Some(match block["type"].as_str()? {
        "text" if only(&["text", "citations"]) && no_citations(block) => Part::Text(text("text")?),
        "image" if only(&["source"]) => image(&block["source"])?,
        "tool_use" if only(&["id", "name", "input", "caller"]) && called_directly(block) => {
            Part::Call { id: text("id")?, name: text("name")?, arguments: json::write_exact(&block["input"]) }
        }
        "tool_result" if only(&["tool_use_id", "content", "is_error"]) => Part::Result {
            id: text("tool_use_id")?,
            content: match &block["content"] {
                Value::Null => Vec::new(),
                content => blocks(content, path).ok()?,
            },
            failed: block["is_error"] == true,
        },
        // Without a signature it came from another dialect.
        "thinking" if text("signature").is_none_or(|signature| signature.is_empty()) => {
            Part::Thought(text("thinking")?)
        }
        "thinking" | "redacted_thinking" => Part::Sealed { path: path.to_owned() },
        _ => return None,
    })
}

fn no_citations(block: &Value) -> bool {
    block["citations"].as_array().is_none_or(Vec::is_empty)
}

fn image(source: &Value) -> Option<Part> {
    if !only(source, &["type", "media_type", "data", "url"]) {
        return None;
    }
    let text = |name: &str| source[name].as_str().map(ToOwned::to_owned);
    let source = match source["type"].as_str()? {
        "base64" => Source::Base64 { media_type: text("media_type")?, data: text("data")? },
        "url" => Source::Url(text("url")?),
        _ => return None,
    };
    Some(Part::Image(Image { source, detail: None }))
}
