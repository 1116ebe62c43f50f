//! A request for a response as a conversation in the neutral form.

use crate::relay::dialect::Request;
use crate::relay::dialect::conversation::{
    Conversation, Image, Names, Part, Place, Role, Source, Tool, ToolChoice, Turn, Unsayable, called_directly, only,
};
use crate::relay::dialect::openai::{self, schema, tool_choice};
use crate::relay::json;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Members that change nothing of what is asked, or that the relayer reads.
const LEFT_OUT: [&str; 17] = [
    "model",
    "models",
    "provider",
    "stream",
    "stream_options",
    "max_output_tokens",
    "metadata",
    "client_metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "store",
    "input",
    "instructions",
    "tools",
];
/// Stands between the name of a group of functions and that of a function, where another dialect has no groups.
const JOINT: &str = "__";
/// The longest name of a function that other dialects take.
const MAX_NAME: usize = 64;

/// Reads a request.
///
/// # Errors
/// A member that other dialects have no word for.
pub(super) fn parse(request: &Request) -> Result<Conversation, Unsayable> {
    let Ok(Value::Object(members)) = json::read_exact(request.body.text()) else {
        return Err(Unsayable::at("input"));
    };
    let names = Names {
        turns: "input",
        rules: "instructions",
        stop: "input",
        format: "text.format",
        effort: "reasoning.effort",
        verbosity: "text.verbosity",
    };
    let mut conversation = Conversation { names, ..Conversation::default() };
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        if !LEFT_OUT.contains(&name.as_str()) {
            member(&mut conversation, name, value)?;
        }
    }
    tools(&mut conversation, &members)?;
    let mut add = |role, parts, place| self::add(&mut conversation.turns, Turn::new(role, place, parts));
    if let Some(instructions) = members.get("instructions").and_then(Value::as_str) {
        add(Role::System, vec![Part::Text(instructions.to_owned())], Place::Rules);
    }
    match members.get("input") {
        Some(Value::String(text)) => add(Role::User, vec![Part::Text(text.clone())], Place::Only),
        Some(Value::Array(items)) => {
            for (place, item) in items.iter().enumerate() {
                let path = format!("input.{place}");
                let (role, parts) = self::item(item, &path).ok_or(Unsayable::at(path))?;
                add(role, parts, Place::At(place));
            }
        }
        _ => return Err(Unsayable::at("input")),
    }
    Ok(conversation)
}

/// Adds what was said: items that one side said one after the other are one turn.
fn add(turns: &mut Vec<Turn>, turn: Turn) {
    let result = |part: &Part| matches!(part, Part::Result { .. });
    match turns.last_mut() {
        Some(last)
            if last.role == turn.role
                && match turn.role {
                    Role::Assistant => true,
                    Role::User => last.is_results() && turn.parts().all(result),
                    Role::System => false,
                } =>
        {
            last.parts.extend(turn.parts);
        }
        _ => turns.push(turn),
    }
}

/// Takes a member.
fn member(conversation: &mut Conversation, name: &str, value: &Value) -> Result<(), Unsayable> {
    let unsayable = || Unsayable::at(name);
    // These values are the defaults: leaving them out changes nothing.
    let usual = match name {
        "temperature" => {
            conversation.temperature = Some(value.as_number().ok_or_else(unsayable)?.clone());
            true
        }
        "top_p" => {
            conversation.top_p = Some(value.as_number().ok_or_else(unsayable)?.clone());
            true
        }
        "parallel_tool_calls" => {
            conversation.one_call = !value.as_bool().ok_or_else(unsayable)?;
            true
        }
        "tool_choice" => {
            conversation.tool_choice = tool_choice(value, |value| value["name"].as_str()).ok_or_else(unsayable)?;
            true
        }
        "reasoning" => return reasoning(conversation, value),
        "text" => return text(conversation, value),
        // There is nothing encrypted to include.
        "include" => value.as_array().is_some_and(|all| all.iter().all(|one| one == "reasoning.encrypted_content")),
        "truncation" => value == "disabled",
        "background" => value == false,
        "top_logprobs" => value == 0,
        _ => false,
    };
    if usual { Ok(()) } else { Err(unsayable()) }
}

fn reasoning(conversation: &mut Conversation, value: &Value) -> Result<(), Unsayable> {
    for (name, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let unsayable = || Unsayable::at(format!("reasoning.{name}"));
        match name.as_str() {
            "effort" => conversation.effort = Some(value.as_str().ok_or_else(unsayable)?.to_owned()),
            // What a provider shows of its reasoning is shown.
            "summary" | "generate_summary" if value == "auto" => {}
            _ => return Err(unsayable()),
        }
    }
    Ok(())
}

fn text(conversation: &mut Conversation, value: &Value) -> Result<(), Unsayable> {
    for (name, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let unsayable = || Unsayable::at(format!("text.{name}"));
        match name.as_str() {
            "verbosity" if value == "medium" => {}
            "verbosity" => conversation.verbosity = Some(value.as_str().ok_or_else(unsayable)?.to_owned()),
            "format" => {
                let format = value["type"].as_str().and_then(|kind| schema(kind, value, &["type"]));
                conversation.format = format.ok_or_else(unsayable)?;
            }
            _ => return Err(unsayable()),
        }
    }
    Ok(())
}

/// The functions, those of groups too. A search that the model may do without is left out beside them, and the client told.
fn tools(conversation: &mut Conversation, members: &Map<String, Value>) -> Result<(), Unsayable> {
    let all = members.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut names = HashSet::new();
    for (place, value) in all.iter().enumerate() {
        let unsayable = || Unsayable::at(format!("tools.{place}"));
        let mut add = |function: &Value, group: Option<&Value>| {
            let tool = tool(function, group).ok_or_else(unsayable)?;
            // Two functions of one name could not be told apart.
            if !names.insert(tool.name.clone()) {
                return Err(unsayable());
            }
            conversation.tools.push(tool);
            Ok(())
        };
        match value["type"].as_str() {
            Some("function") => add(value, None)?,
            Some("namespace") => {
                let known = only(value, &["type", "name", "description", "tools"]);
                let functions = value["tools"].as_array().filter(|_| known).ok_or_else(unsayable)?;
                functions.iter().try_for_each(|function| add(function, Some(value)))?;
            }
            Some("web_search") => conversation.left_out.push(format!("tools.{place}")),
            _ => return Err(unsayable()),
        }
    }
    match conversation.left_out.first() {
        Some(search) if conversation.tools.is_empty() || conversation.tool_choice != ToolChoice::Auto => {
            Err(Unsayable::at(search))
        }
        _ => Ok(()),
    }
}

/// A function; in a group its name and its description have the group's before them.
fn tool(value: &Value, group: Option<&Value>) -> Option<Tool> {
    value["type"].as_str().filter(|kind| *kind == "function")?;
    let tool = openai::tool(value, &["type"])?;
    let Some(group) = group else { return Some(tool) };
    let name = joined(Some(group["name"].as_str()?), &tool.name);
    let described = [group["description"].as_str(), tool.description.as_deref()];
    let described: Vec<&str> = described.into_iter().flatten().collect();
    let description = (!described.is_empty()).then(|| described.join("\n\n"));
    (name.len() <= MAX_NAME).then_some(Tool { name, description, ..tool })
}

fn joined(group: Option<&str>, name: &str) -> String {
    group.map_or_else(|| name.to_owned(), |group| format!("{group}{JOINT}{name}"))
}

/// The groups of a request's functions: the joined name, the group's and the function's.
pub(super) fn groups(tools: &Value) -> Vec<(String, String, String)> {
    let groups = tools.as_array().into_iter().flatten().filter(|tool| tool["type"] == "namespace");
    let members = groups.flat_map(|group| {
        let functions = group["tools"].as_array().into_iter().flatten();
        functions.filter_map(|function| {
            let (group, name) = (group["name"].as_str()?, function["name"].as_str()?);
            Some((joined(Some(group), name), group.to_owned(), name.to_owned()))
        })
    });
    members.collect()
}

/// Members of every item that say nothing to the model.
const OF_ITEMS: [&str; 4] = ["type", "id", "status", "internal_chat_message_metadata_passthrough"];

/// An item of the history: who said it, and what.
fn item(item: &Value, path: &str) -> Option<(Role, Vec<Part>)> {
    let text = |name: &str| item[name].as_str().map(ToOwned::to_owned);
    let only = |known: &[&str]| only(item, &[&OF_ITEMS, known].concat());
    Some(match item["type"].as_str().unwrap_or("message") {
        "message" if only(&["role", "content", "phase"]) => {
            let role = match item["role"].as_str()? {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                _ => Role::System,
            };
            (role, content(&item["content"])?)
        }
        "function_call"
            if only(&["call_id", "namespace", "name", "arguments", "created_by", "caller"])
                && called_directly(item) =>
        {
            let name = joined(item["namespace"].as_str(), item["name"].as_str()?);
            (Role::Assistant, vec![Part::Call { id: text("call_id")?, name, arguments: text("arguments")? }])
        }
        "function_call_output" if only(&["call_id", "output"]) => {
            let (id, content) = (text("call_id")?, content(&item["output"])?);
            (Role::User, vec![Part::Result { id, content, failed: false }])
        }
        "reasoning" if item["encrypted_content"].as_str().is_none_or(str::is_empty) => {
            (Role::Assistant, thoughts(item))
        }
        "reasoning" => (Role::Assistant, vec![Part::Sealed { path: path.to_owned() }]),
        _ => return None,
    })
}

/// Reasoning without a seal: what it says, or else what is said of it.
fn thoughts(item: &Value) -> Vec<Part> {
    let of = |name: &str| -> Vec<Part> {
        let texts = item[name].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
        texts.filter(|text| !text.is_empty()).map(|text| Part::Thought(text.to_owned())).collect()
    };
    Some(of("content")).filter(|said| !said.is_empty()).unwrap_or_else(|| of("summary"))
}

fn content(content: &Value) -> Option<Vec<Part>> {
    match content {
        Value::String(text) => Some(vec![Part::Text(text.clone())]),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => None,
    }
}

fn part(part: &Value) -> Option<Part> {
    let text = |name: &str| part[name].as_str().map(ToOwned::to_owned);
    let only = |known: &[&str]| only(part, &[&["type"], known].concat());
    match part["type"].as_str()? {
        // What a text cites and how likely its tokens were is said of an answer, and not to the model.
        "input_text" | "output_text" | "text" if only(&["text", "annotations", "logprobs"]) => {
            Some(Part::Text(text("text")?))
        }
        "refusal" if only(&["refusal"]) => Some(Part::Refusal(text("refusal")?)),
        "input_image" if only(&["image_url", "detail"]) => {
            let detail = text("detail").filter(|detail| detail != "auto");
            Some(Part::Image(Image { source: Source::of_url(part["image_url"].as_str()?), detail }))
        }
        _ => None,
    }
}
