//! Functions and schemas as OpenAI's dialects describe them; chat completions wrap each of them in an object of its own.

use crate::relay::dialect::conversation::{Format, Tool, ToolChoice, members, only};
use serde_json::{Map, Value};

/// The form of an answer of this kind, described by `of`, which may have the `other` members besides. `None` if there is no
/// neutral word for it.
pub(in crate::relay::dialect) fn schema(kind: &str, of: &Value, other: &[&str]) -> Option<Option<Format>> {
    if !only(of, &[&["name", "description", "schema", "strict"], other].concat()) {
        return None;
    }
    let text = |name: &str| of[name].as_str().map(ToOwned::to_owned);
    Some(match kind {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => Some(Format::Schema {
            name: text("name"),
            description: text("description"),
            schema: of["schema"].is_object().then(|| of["schema"].clone())?,
            strict: of["strict"].as_bool(),
        }),
        _ => return None,
    })
}

/// Which function to call; `name` finds the name of one that is named.
pub(in crate::relay::dialect) fn tool_choice(
    value: &Value,
    name: impl FnOnce(&Value) -> Option<&str>,
) -> Option<ToolChoice> {
    Some(match value.as_str() {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("required") => ToolChoice::Any,
        Some(_) => return None,
        None if value["type"] == "function" => ToolChoice::Named(name(value)?.to_owned()),
        None => return None,
    })
}

/// The function that `of` describes, which may have the `other` members besides. `None` if there is no neutral word for it.
pub(in crate::relay::dialect) fn tool(of: &Value, other: &[&str]) -> Option<Tool> {
    if !only(of, &[&["name", "description", "parameters", "strict"], other].concat()) {
        return None;
    }
    Some(Tool {
        name: of["name"].as_str()?.to_owned(),
        description: of["description"].as_str().map(ToOwned::to_owned),
        parameters: of.get("parameters").filter(|parameters| !parameters.is_null()).cloned(),
        strict: of["strict"].as_bool(),
    })
}

/// What describes a function.
pub(in crate::relay::dialect) fn described(tool: Tool) -> Map<String, Value> {
    members([
        ("name", Some(tool.name.into())),
        ("description", tool.description.map(Value::from)),
        ("parameters", tool.parameters),
        ("strict", tool.strict.map(Value::from)),
    ])
}

/// What describes the schema of an answer, if it must have one.
pub(in crate::relay::dialect) fn shaped(format: Format) -> Option<Map<String, Value>> {
    let Format::Schema { name, description, schema, strict } = format else { return None };
    Some(members([
        ("name", Some(name.unwrap_or_else(|| "answer".into()).into())),
        ("description", description.map(Value::from)),
        ("schema", Some(schema)),
        ("strict", strict.map(Value::from)),
    ]))
}

/// Which function to call, unless that is the model's own choice; `named` writes the name of one.
pub(in crate::relay::dialect) fn chosen(choice: ToolChoice, named: impl FnOnce(String) -> Value) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Any => Some("required".into()),
        ToolChoice::Named(name) => {
            let mut function = named(name);
            function["type"] = "function".into();
            Some(function)
        }
    }
}
