//! A conversation in the neutral form as a request for messages.

use crate::relay::dialect::conversation::{
    Conversation, Format, Image, Names, Part, Place, Role, Source, Tool, ToolChoice, Turn, Unsayable, members,
};
use crate::relay::json as document;
use serde_json::{Map, Number, Value, json};

/// Writes a request, without model, stream and limit.
///
/// # Errors
/// A field that messages have no word for.
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
    if verbosity.is_some() {
        return Err(Unsayable::at(names.verbosity));
    }
    // `none` is what is so without a word.
    if effort.is_some_and(|effort| effort != "none") {
        return Err(Unsayable::at(names.effort));
    }
    let above_one = |number: &Number| number.as_f64().is_none_or(|number| number > 1.0);
    if temperature.as_ref().is_some_and(above_one) {
        return Err(Unsayable::at("temperature"));
    }
    let (system, messages) = messages(turns, &names)?;
    let some_tools = !tools.is_empty();
    Ok(members([
        ("system", (!system.is_empty()).then(|| system.into())),
        ("messages", Some(messages.into())),
        ("tools", some_tools.then(|| tools.into_iter().map(tool).collect())),
        ("tool_choice", self::tool_choice(tool_choice, one_call, some_tools)),
        ("temperature", temperature.map(Value::Number)),
        ("top_p", top_p.map(Value::Number)),
        ("stop_sequences", (!stop.is_empty()).then(|| stop.into())),
        ("output_config", format.map(|format| self::format(format, &names)).transpose()?),
    ]))
}

fn tool(tool: Tool) -> Value {
    let mut said = Map::new();
    said.insert("name".into(), tool.name.into());
    said.extend(tool.description.map(|description| ("description".into(), description.into())));
    let nothing = || json!({ "type": "object", "properties": {} });
    said.insert("input_schema".into(), tool.parameters.unwrap_or_else(nothing));
    said.extend(tool.strict.filter(|strict| *strict).map(|strict| ("strict".into(), strict.into())));
    said.into()
}

fn tool_choice(choice: ToolChoice, one_call: bool, some_tools: bool) -> Option<Value> {
    let mut said = match choice {
        ToolChoice::Auto if one_call && some_tools => json!({ "type": "auto" }),
        ToolChoice::Auto => return None,
        ToolChoice::None => return Some(json!({ "type": "none" })),
        ToolChoice::Any => json!({ "type": "any" }),
        ToolChoice::Named(name) => json!({ "type": "tool", "name": name }),
    };
    if one_call {
        said["disable_parallel_tool_use"] = true.into();
    }
    Some(said)
}

fn format(format: Format, names: &Names) -> Result<Value, Unsayable> {
    match format {
        // The name is the client's own; a description is read by the model.
        Format::Schema { description: None, schema, .. } => {
            Ok(json!({ "format": { "type": "json_schema", "schema": schema } }))
        }
        Format::Schema { .. } | Format::Json => Err(Unsayable::at(names.format)),
    }
}

/// The system's rules at the beginning, and the messages after them.
fn messages(turns: Vec<Turn>, names: &Names) -> Result<(Vec<Value>, Vec<Value>), Unsayable> {
    let (mut system, mut messages): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for turn in turns {
        let first = turn.parts.first().map_or(Place::Rules, |(place, _)| *place);
        let mut parts = turn.parts;
        // Calls come last: their results are what follows.
        parts.sort_by_key(|(_, part)| matches!(part, Part::Call { .. }));
        let parts = parts.into_iter().filter(|(_, part)| !says_nothing(part));
        let blocks = parts.map(|(place, part)| block(part, turn.role).ok_or_else(|| names.unsayable(place)));
        let blocks: Vec<Value> = blocks.collect::<Result<_, _>>()?;
        let role = match turn.role {
            Role::System if messages.is_empty() => {
                system.extend(blocks);
                continue;
            }
            Role::System => return Err(names.unsayable(first)),
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        if !blocks.is_empty() {
            messages.push(json!({ "role": role, "content": blocks }));
        }
    }
    // An answer that is begun would be continued, which was not asked for.
    if messages.last().is_none_or(|last| last["role"] == "assistant") {
        return Err(Unsayable::at(names.turns));
    }
    Ok((system, messages))
}

/// Whether a part is a text without words, which agents leave in histories and this API refuses, or reasoning without the
/// signature that it wants.
fn says_nothing(part: &Part) -> bool {
    match part {
        Part::Text(text) => text.trim().is_empty(),
        Part::Thought(_) => true,
        _ => false,
    }
}

/// A part as a block. `None` if there is no word for it.
fn block(part: Part, role: Role) -> Option<Value> {
    Some(match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Image(image) if role == Role::User => self::image(image)?,
        Part::Call { id, name, arguments } if role == Role::Assistant => {
            let input: Map<String, Value> = match arguments.as_str() {
                "" => Map::new(),
                arguments => document::read_exact(arguments).ok()?.as_object()?.clone(),
            };
            json!({ "type": "tool_use", "id": id, "name": name, "input": input })
        }
        Part::Result { id, content, failed } if role == Role::User => {
            let content = content.into_iter().filter(|part| !says_nothing(part));
            let content: Vec<Value> = content.map(|part| block(part, Role::User)).collect::<Option<_>>()?;
            let mut result = json!({ "type": "tool_result", "tool_use_id": id, "content": content });
            if failed {
                result["is_error"] = true.into();
            }
            result
        }
        Part::Image(_)
        | Part::Call { .. }
        | Part::Result { .. }
        | Part::Refusal(_)
        | Part::Thought(_)
        | Part::Sealed { .. } => return None,
    })
}

/// Images are always read in full: a wish for less has no word.
fn image(image: Image) -> Option<Value> {
    if image.detail.is_some_and(|detail| detail != "high") {
        return None;
    }
    let source = match image.source {
        Source::Url(url) => json!({ "type": "url", "url": url }),
        Source::Base64 { media_type, data } => json!({ "type": "base64", "media_type": media_type, "data": data }),
    };
    Some(json!({ "type": "image", "source": source }))
}
