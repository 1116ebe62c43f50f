//! A chat request as OpenAI's API takes it, and what is wrong with one that it would not take.

use serde_json::Value;

/// Roles a message may have.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
/// Most answers to one request.
const MAX_N: u64 = 16;

/// What is wrong with a request: OpenAI's error body with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<&'static str>,
    pub(super) message: String,
}

/// A request that will be answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) model: String,
    /// All of the prompt's text.
    pub(super) prompt: String,
    pub(super) messages: u32,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) n: usize,
    pub(super) max_tokens: Option<usize>,
    pub(super) stop: Vec<String>,
    pub(super) want: Want,
    /// Whether the answer shows thoughts, where its form has some.
    pub(super) thinks: bool,
}

/// What form the answer takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Want {
    Text,
    /// A JSON value, of this schema if one was given.
    Json(Option<Value>),
    /// A call of this function, whose arguments have this schema.
    Tool {
        name: String,
        parameters: Value,
    },
}

pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Problem {
    Problem { status: 400, code: None, param: Some(param), message: message.into() }
}

impl Request {
    /// Reads a body, or says what is wrong as OpenAI does.
    pub(super) fn read(body: &[u8], models: &[String]) -> Result<Self, Problem> {
        let (body, model) = read(body, models)?;
        let messages = match &body["messages"] {
            Value::Array(messages) if !messages.is_empty() => messages,
            Value::Array(_) => return Err(invalid("messages", "[] is too short - 'messages'")),
            Value::Null => return Err(invalid("messages", "Missing required parameter: 'messages'.")),
            _ => return Err(invalid("messages", "Invalid type for 'messages': expected an array of objects.")),
        };
        let prompt = prompt(messages)?;
        for (param, most) in [("temperature", 2.0), ("top_p", 1.0)] {
            if let Some(value) = number(&body, param)?
                && !(0.0..=most).contains(&value)
            {
                return Err(invalid(param, format!("Invalid '{param}': expected a number between 0 and {most}.")));
            }
        }
        let stream = flag(&body, "stream")?;
        if !stream && !body["stream_options"].is_null() {
            let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            return Err(invalid("stream_options", message));
        }
        let n = whole(&body, "n", MAX_N)?.unwrap_or(1);
        let max_tokens = match whole(&body, "max_completion_tokens", u64::from(u32::MAX))? {
            None => whole(&body, "max_tokens", u64::from(u32::MAX))?,
            max => max,
        };
        Ok(Self {
            model,
            prompt,
            messages: messages.len() as u32,
            stream,
            include_usage: body["stream_options"]["include_usage"] == true,
            n,
            max_tokens,
            stop: stop(&body["stop"])?,
            want: want(&body, messages)?,
            thinks: false,
        })
    }
}

/// A body, and which of `models` it asks for.
pub(super) fn read(body: &[u8], models: &[String]) -> Result<(Value, String), Problem> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Problem {
        status: 400,
        code: None,
        param: None,
        message: "We could not parse the JSON body of your request.".into(),
    })?;
    let model = match &body["model"] {
        Value::String(model) if !model.is_empty() => model.clone(),
        _ => return Err(invalid("model", "you must provide a model parameter")),
    };
    if !models.contains(&model) {
        return Err(Problem {
            status: 404,
            code: Some("model_not_found"),
            param: None,
            message: format!("The model `{model}` does not exist or you do not have access to it."),
        });
    }
    Ok((body, model))
}

fn prompt(messages: &[Value]) -> Result<String, Problem> {
    let mut prompt = String::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !ROLES.contains(&role) {
            let message = format!("Invalid value for 'messages[{index}].role': supported values are {ROLES:?}.");
            return Err(invalid("messages", message));
        }
        match &message["content"] {
            Value::String(text) => prompt.push_str(text),
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part["text"].as_str()).for_each(|text| prompt.push_str(text));
            }
            Value::Null if role == "assistant" => {}
            _ => {
                let message = format!("Invalid value for 'messages[{index}].content': expected a string or an array.");
                return Err(invalid("messages", message));
            }
        }
        prompt.push('\n');
    }
    Ok(prompt)
}

fn number(body: &Value, param: &'static str) -> Result<Option<f64>, Problem> {
    match &body[param] {
        Value::Null => Ok(None),
        value => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(param, format!("Invalid type for '{param}': expected a number."))),
        },
    }
}

pub(super) fn whole(body: &Value, param: &'static str, most: u64) -> Result<Option<usize>, Problem> {
    match &body[param] {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(number) if (1..=most).contains(&number) => Ok(usize::try_from(number).ok()),
            _ => Err(invalid(param, format!("Invalid '{param}': expected an integer between 1 and {most}."))),
        },
    }
}

pub(super) fn flag(body: &Value, param: &'static str) -> Result<bool, Problem> {
    match &body[param] {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(invalid(param, format!("Invalid type for '{param}': expected a boolean."))),
    }
}

pub(super) fn stop(stop: &Value) -> Result<Vec<String>, Problem> {
    let problem = || invalid("stop", "Invalid 'stop': expected a string or an array of at most 4 strings.");
    let texts = match stop {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) if texts.len() <= 4 => texts
            .iter()
            .map(|text| text.as_str().map(ToOwned::to_owned).ok_or_else(problem))
            .collect::<Result<_, _>>()?,
        _ => return Err(problem()),
    };
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

fn want(body: &Value, messages: &[Value]) -> Result<Want, Problem> {
    let tools = match &body["tools"] {
        Value::Null => &[][..],
        Value::Array(tools) if !tools.is_empty() => tools,
        _ => return Err(invalid("tools", "Invalid 'tools': expected a non-empty array.")),
    };
    if tools.iter().any(|tool| tool["function"]["name"].as_str().is_none_or(str::is_empty)) {
        return Err(invalid("tools", "Missing required parameter: 'tools[0].function.name'."));
    }
    let choice = &body["tool_choice"];
    if tools.is_empty() && !choice.is_null() && choice != "none" {
        return Err(invalid("tool_choice", "'tool_choice' is only allowed when 'tools' are specified."));
    }
    let named = choice["function"]["name"].as_str();
    let tool = match named {
        Some(name) => match tools.iter().find(|tool| tool["function"]["name"] == name) {
            Some(tool) => Some(tool),
            None => {
                let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
                return Err(invalid("tool_choice", message));
            }
        },
        // A tool's result is answered in words.
        None if choice != "required" && messages.last().is_some_and(|m| m["role"] == "tool") => None,
        None => tools.first(),
    };
    if let Some(tool) = tool.filter(|_| choice != "none") {
        let function = &tool["function"];
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        return Ok(Want::Tool { name, parameters: function["parameters"].clone() });
    }
    match body["response_format"]["type"].as_str() {
        None | Some("text") => Ok(Want::Text),
        Some("json_object") => Ok(Want::Json(None)),
        Some("json_schema") => match &body["response_format"]["json_schema"]["schema"] {
            schema @ Value::Object(_) => Ok(Want::Json(Some(schema.clone()))),
            _ => Err(invalid("response_format", "Missing required parameter: 'response_format.json_schema.schema'.")),
        },
        Some(other) => Err(invalid("response_format", format!("Invalid value for 'response_format.type': '{other}'."))),
    }
}
