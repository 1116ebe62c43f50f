//! A conversation in the neutral form: what a request says in any of the dialects for conversations. One is translated to
//! another through it, and only where nothing is lost: what a dialect has no word for is [`Unsayable`].
//!
//! Left out without loss is what does not change what is asked: who the user is (`user`, `metadata`), how caches and queues
//! are used (`cache_control`, `prompt_cache_key`, `service_tier`), whether the cost is told (`usage`: it always is), and
//! reasoning of turns before the last one of the user, which providers do not show to the model either.

use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// A field of a request that a dialect has no word for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsayable {
    /// Its path, as the client wrote it.
    pub field: String,
}

impl Unsayable {
    /// The field at `path` cannot be said.
    pub fn at(path: impl Into<String>) -> Self {
        Self { field: path.into() }
    }
}

/// A conversation.
#[derive(Debug, Default)]
pub struct Conversation {
    /// What was said, in its order.
    pub turns: Vec<Turn>,
    /// Functions that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, must, or must not.
    pub tool_choice: ToolChoice,
    /// Whether it may call one function at most.
    pub one_call: bool,
    /// The member `temperature`.
    pub temperature: Option<Number>,
    /// The member `top_p`.
    pub top_p: Option<Number>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// The form of the answer, if not free text.
    pub format: Option<Format>,
    /// How much to reason, if not as usual.
    pub effort: Option<String>,
    /// How much to say, if not as usual.
    pub verbosity: Option<String>,
    /// What the client calls the members.
    pub names: Names,
    /// The paths of what the client can do without and the other dialect has no word for.
    pub left_out: Vec<String>,
}

/// The paths of members by which a field is named to the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names {
    /// The list that turns stand in.
    pub turns: &'static str,
    /// The member of the system's rules that are not in that list.
    pub rules: &'static str,
    pub stop: &'static str,
    pub format: &'static str,
    pub effort: &'static str,
    pub verbosity: &'static str,
}

impl Names {
    /// What stands at this place has no word in the other dialect.
    pub fn unsayable(&self, place: Place) -> Unsayable {
        Unsayable::at(match place {
            Place::Rules => self.rules.to_owned(),
            Place::Only => self.turns.to_owned(),
            Place::At(place) => format!("{}.{place}", self.turns),
        })
    }
}

/// Where in the client's request something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Among the rules that have a member of their own.
    Rules,
    /// In a text that stands in the place of the list.
    Only,
    /// In the message or item of this number.
    At(usize),
}

/// What one side said at once.
#[derive(Debug)]
pub struct Turn {
    pub role: Role,
    /// What was said, and where.
    pub parts: Vec<(Place, Part)>,
}

impl Turn {
    /// What was said at one place.
    pub fn new(role: Role, place: Place, parts: Vec<Part>) -> Self {
        Self { role, parts: parts.into_iter().map(|part| (place, part)).collect() }
    }

    /// What was said.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().map(|(_, part)| part)
    }

    /// Whether it has results of calls, at its beginning and its end: then more of them may follow. Its middle is not looked at
    /// again for each of very many.
    pub fn is_results(&self) -> bool {
        let is_result = |part: Option<&(Place, Part)>| matches!(part, Some((_, Part::Result { .. })));
        is_result(self.parts.first()) && is_result(self.parts.last())
    }
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who sets the rules.
    System,
    User,
    Assistant,
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    Refusal(String),
    Image(Image),
    /// A call of a function; the arguments are JSON.
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    /// What a call returned: texts and images.
    Result {
        id: String,
        content: Vec<Part>,
        failed: bool,
    },
    /// Reasoning that anybody can read on.
    Thought(String),
    /// Reasoning that only its provider can read on, at this path of the client's request.
    Sealed {
        path: String,
    },
}

/// An object of the members that there are, in this order.
pub fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Map<String, Value> {
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Whether an object has none but the `known` members, some that say how caches are used, and some that say nothing.
pub fn only(value: &Value, known: &[&str]) -> bool {
    let mut members = value.as_object().into_iter().flatten();
    members.all(|(name, value)| says_nothing(value) || name == "cache_control" || known.contains(&name.as_str()))
}

/// Whether a member of this value is as good as none: switched off, or empty.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether the model itself made a call, and no program of its provider.
pub fn called_directly(call: &Value) -> bool {
    call["caller"].is_null() || call["caller"]["type"] == "direct"
}

/// An image.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub source: Source,
    /// `low` or `high`, if the client says so.
    pub detail: Option<String>,
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Url(String),
    Base64 { media_type: String, data: String },
}

impl Source {
    /// As a URL.
    pub fn url(&self) -> String {
        match self {
            Self::Url(url) => url.clone(),
            Self::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        }
    }

    /// Of a URL.
    pub fn of_url(url: &str) -> Self {
        let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        match inline {
            Some((media_type, data)) => Self::Base64 { media_type: media_type.to_owned(), data: data.to_owned() },
            None => Self::Url(url.to_owned()),
        }
    }
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: Option<Value>,
    pub strict: Option<bool>,
}

/// Whether the model may, must or must not call functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    Any,
    Named(String),
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Any JSON object.
    Json,
    /// JSON of a schema.
    Schema { name: Option<String>, description: Option<String>, schema: Value, strict: Option<bool> },
}

impl Conversation {
    /// The place of the first turn whose calls the next one does not answer, or that answers a call which the one before did
    /// not make. Other dialects have no word for such a history.
    pub fn broken(&self) -> Option<Place> {
        // A stranger may send very many calls.
        let mut open: HashMap<&str, (usize, Place)> = HashMap::new();
        let unanswered = |open: &HashMap<&str, (usize, Place)>| open.values().map(|(_, place)| *place).min();
        for turn in &self.turns {
            for (place, part) in &turn.parts {
                if let Part::Result { id, .. } = part {
                    match open.get_mut(id.as_str()) {
                        Some((1, _)) => _ = open.remove(id.as_str()),
                        Some((calls, _)) => *calls -= 1,
                        None => return Some(*place),
                    }
                }
            }
            if !open.is_empty() {
                return unanswered(&open);
            }
            for (place, part) in &turn.parts {
                if let Part::Call { id, .. } = part {
                    open.entry(id.as_str()).or_insert((0, *place)).0 += 1;
                }
            }
        }
        unanswered(&open)
    }

    /// Leaves out reasoning of turns before the last one that the user began, which providers do not show to the model either.
    ///
    /// # Errors
    /// One that is needed and sealed: the model goes on with it.
    pub fn unseal(&mut self) -> Result<(), Unsayable> {
        let asks =
            |turn: &Turn| turn.role == Role::User && turn.parts().any(|part| !matches!(part, Part::Result { .. }));
        let last = self.turns.iter().rposition(asks).unwrap_or(0);
        let mut needed = None;
        for (number, turn) in self.turns.iter_mut().enumerate() {
            turn.parts.retain(|(_, part)| match part {
                Part::Sealed { path } => {
                    if number > last {
                        needed.get_or_insert(path.clone());
                    }
                    false
                }
                Part::Thought(_) => number > last,
                _ => true,
            });
        }
        needed.map_or(Ok(()), |path| Err(Unsayable::at(path)))
    }
}
