//! A chat request as a conversation in the neutral form.

use crate::relay::dialect::Request;
use crate::relay::dialect::conversation::{
    Conversation, Image, Names, Part, Place, Role, Source, Turn, Unsayable, only,
};
use crate::relay::dialect::openai::{self, schema, tool_choice};
use crate::relay::json;
use serde_json::{Map, Value};

/// Members that change nothing of what is asked, or that the relayer reads.
const LEFT_OUT: [&str; 16] = [
    "model",
    "models",
    "provider",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "user",
    "safety_identifier",
    "metadata",
    "service_tier",
    // What an answer cost is always told.
    "usage",
    "prompt_cache_key",
    "prompt_cache_retention",
    "messages",
    "tools",
];

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
        rules: "messages",
        stop: "stop",
        format: "response_format",
        effort: "reasoning_effort",
        verbosity: "verbosity",
    };
    let mut conversation = Conversation { names, ..Conversation::default() };
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        if !LEFT_OUT.contains(&name.as_str()) {
            member(&mut conversation, name, value).ok_or_else(|| Unsayable::at(name))?;
        }
    }
    for (place, tool) in array(&members, "tools").iter().enumerate() {
        let tool = Some(tool).filter(|tool| only(tool, &["type", "function"])).and_then(function);
        conversation
            .tools
            .push(tool.and_then(|of| openai::tool(of, &[])).ok_or_else(|| Unsayable::at(format!("tools.{place}")))?);
    }
    for (place, message) in array(&members, "messages").iter().enumerate() {
        let place = Place::At(place);
        let turn = turn(message, place).ok_or_else(|| names.unsayable(place))?;
        match conversation.turns.last_mut() {
            // Results of calls made at once belong together.
            Some(last)
                if turn.role == Role::User && last.role == Role::User && last.is_results() && turn.is_results() =>
            {
                last.parts.extend(turn.parts);
            }
            _ => conversation.turns.push(turn),
        }
    }
    Ok(conversation)
}

fn array<'a>(members: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    members.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Takes a member. `None` if there is no neutral word for it.
fn member(conversation: &mut Conversation, name: &str, value: &Value) -> Option<()> {
    match name {
        "temperature" => conversation.temperature = Some(value.as_number()?.clone()),
        "top_p" => conversation.top_p = Some(value.as_number()?.clone()),
        "stop" => conversation.stop = texts(value)?,
        "response_format" if only(value, &["type", "json_schema"]) => {
            conversation.format = schema(value["type"].as_str()?, &value["json_schema"], &[])?;
        }
        "reasoning_effort" => conversation.effort = Some(value.as_str()?.to_owned()),
        "verbosity" if value == "medium" => {}
        "verbosity" => conversation.verbosity = Some(value.as_str()?.to_owned()),
        "tool_choice" => conversation.tool_choice = tool_choice(value, |value| value["function"]["name"].as_str())?,
        "parallel_tool_calls" => conversation.one_call = !value.as_bool()?,
        // These values are the defaults: leaving them out changes nothing.
        "n" => return (value == 1).then_some(()),
        "presence_penalty" | "frequency_penalty" => return (value.as_f64()? == 0.0).then_some(()),
        "logprobs" | "store" => return (!value.as_bool()?).then_some(()),
        "top_logprobs" => return (value == 0).then_some(()),
        "logit_bias" => return value.as_object()?.is_empty().then_some(()),
        "modalities" => return (texts(value)? == ["text"]).then_some(()),
        _ => return None,
    }
    Some(())
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(ToOwned::to_owned)).collect(),
        _ => None,
    }
}

/// What an object of type `function` says of its function.
fn function(value: &Value) -> Option<&Value> {
    (value["type"] == "function").then(|| &value["function"])
}

fn turn(message: &Value, place: Place) -> Option<Turn> {
    let members = message.as_object()?;
    let mut parts = match members.get("content").unwrap_or(&Value::Null) {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::Text(text.clone())],
        Value::Array(parts) => parts.iter().map(part).collect::<Option<_>>()?,
        _ => return None,
    };
    let role = match members.get("role")?.as_str()? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => {
            let thought = ["reasoning_content", "reasoning"].into_iter().find_map(|name| message[name].as_str());
            if let Some(thought) = thought.filter(|thought| !thought.is_empty()) {
                parts.insert(0, Part::Thought(thought.to_owned()));
            }
            for call in array(members, "tool_calls") {
                parts.push(self::call(call)?);
            }
            if let Some(refusal) = members.get("refusal").and_then(Value::as_str) {
                parts.push(Part::Refusal(refusal.to_owned()));
            }
            Role::Assistant
        }
        "tool" => {
            let id = members.get("tool_call_id")?.as_str()?.to_owned();
            parts = vec![Part::Result { id, content: parts, failed: false }];
            Role::User
        }
        _ => return None,
    };
    // Other reasoning than its text only its provider can read; a result's call has the function's name.
    let known = [
        "role",
        "content",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "provider_specific_fields",
        "annotations",
    ];
    let of_results: &[&str] = if message["role"] == "tool" { &["name"] } else { &[] };
    only(message, &[&known, of_results].concat()).then(|| Turn::new(role, place, parts))
}

fn part(value: &Value) -> Option<Part> {
    match value["type"].as_str()? {
        "text" if only(value, &["type", "text"]) => Some(Part::Text(value["text"].as_str()?.to_owned())),
        "refusal" if only(value, &["type", "refusal"]) => Some(Part::Refusal(value["refusal"].as_str()?.to_owned())),
        "image_url" if only(value, &["type", "image_url"]) && only(&value["image_url"], &["url", "detail"]) => {
            let image = &value["image_url"];
            let detail = image["detail"].as_str().filter(|detail| *detail != "auto").map(ToOwned::to_owned);
            Some(Part::Image(Image { source: Source::of_url(image["url"].as_str()?), detail }))
        }
        _ => None,
    }
}

fn call(value: &Value) -> Option<Part> {
    let function = function(value)?;
    if !only(value, &["id", "type", "function", "index"]) || !only(function, &["name", "arguments"]) {
        return None;
    }
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    Some(Part::Call {
        id: text(&value["id"])?,
        name: text(&function["name"])?,
        arguments: text(&function["arguments"])?,
    })
}
