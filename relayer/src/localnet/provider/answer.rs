//! What a simulated provider answers: made up word by word, so that what it counts is what it sends.

use super::request::{Request, Want};
use crate::tokens::{self, Counting};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

/// Longest piece a word is split into, in bytes.
const PIECE: usize = 8;
/// Tokens a message costs besides its text.
const MESSAGE_TOKENS: u32 = 4;
/// Prompt tokens from which a cache is of use.
const CACHE_FROM: u32 = 64;
/// Cached tokens come in multiples of this.
const CACHE_STEP: u32 = 16;
/// How deep a made-up JSON value goes.
const MAX_DEPTH: u32 = 8;

const SUBJECTS: [&str; 8] =
    ["A router", "The relayer", "A provider", "The vault", "A receipt", "Each request", "The escrow", "A voucher"];
const VERBS: [&str; 8] = ["measures", "signs", "settles", "prefers", "carries", "proves", "prices", "remembers"];
const OBJECTS: [&str; 8] = [
    "what was delivered",
    "the fastest answer",
    "every token",
    "the posted price",
    "its own figures",
    "a small batch",
    "the cheapest route",
    "the whole path",
];
const ENDINGS: [&str; 6] =
    ["on chain.", "in time.", "without asking.", "before the next one.", "to the last digit.", "again and again."];

/// What an answer's parts have in common.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: String,
    /// Unix seconds.
    pub(super) created: u64,
    pub(super) model: String,
}

impl Head {
    pub(super) fn with(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "simulated",
            "choices": choices,
        })
    }
}

/// Token counts as they are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: u32,
    pub(super) cached: u32,
    pub(super) completion: u32,
}

impl Usage {
    pub(super) fn json(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": { "cached_tokens": self.cached, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0 },
        })
    }
}

/// One answer: its tokens, and why it ends.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// One piece of text a token, none of them empty.
    pub(super) tokens: Vec<String>,
    pub(super) finish: &'static str,
    /// The function called, if the tokens are its arguments.
    pub(super) tool: Option<(String, String)>,
}

impl Choice {
    pub(super) fn text(&self) -> String {
        self.tokens.concat()
    }

    /// Says nothing after all.
    pub(super) fn clear(&mut self) {
        *self = Self { tokens: Vec::new(), finish: "stop", tool: None };
    }
}

/// Makes up an answer of about `length` tokens for a request to the provider `name`.
pub(super) fn choice(request: &Request, name: &str, length: u32, rng: &mut StdRng) -> Choice {
    let (text, tool) = match &request.want {
        Want::Text => (prose(name, length as usize, rng), None),
        Want::Json(Some(schema)) => (instance(schema, schema, 0, rng).to_string(), None),
        Want::Json(None) => (json!({ "answer": sentence(rng), "simulated": true }).to_string(), None),
        Want::Tool { name, parameters } => {
            let id = format!("call_{:016x}", rng.random::<u64>());
            (instance(parameters, parameters, 0, rng).to_string(), Some((id, name.clone())))
        }
    };
    let natural = if tool.is_some() { "tool_calls" } else { "stop" };
    let cut = request.stop.iter().filter(|_| tool.is_none()).filter_map(|stop| text.find(stop.as_str())).min();
    let mut tokens: Vec<String> = pieces(&text[..cut.unwrap_or(text.len())]).map(ToOwned::to_owned).collect();
    let finish = match request.max_tokens {
        Some(most) if tokens.len() > most => {
            tokens.truncate(most);
            "length"
        }
        _ => natural,
    };
    Choice { tokens, finish, tool }
}

/// Tokens of the answers: as the model's tokenizer counts them and one for each end where it is known, else the pieces.
pub(super) fn output_tokens(request: &Request, choices: &[Choice]) -> u32 {
    let tokens = |choice: &Choice| match Counting::of(&request.model) {
        Counting::Bytes => choice.tokens.len() as u64,
        known => tokens::count(known, &choice.text()) + 1,
    };
    u32::try_from(choices.iter().map(tokens).sum::<u64>()).unwrap_or(u32::MAX)
}

/// Tokens of a prompt.
pub(super) fn prompt_tokens(request: &Request) -> u32 {
    let text = match Counting::of(&request.model) {
        Counting::Bytes => pieces(&request.prompt).count() as u64,
        known => tokens::count(known, &request.prompt),
    };
    let text = u32::try_from(text).unwrap_or(u32::MAX);
    text.saturating_add(request.messages.saturating_mul(MESSAGE_TOKENS))
}

/// Of `prompt` tokens, those a cache that holds `share` of it serves.
pub(super) fn cached_tokens(prompt: u32, share: f64) -> u32 {
    if prompt < CACHE_FROM {
        return 0;
    }
    let cached = (f64::from(prompt) * share.clamp(0.0, 1.0)) as u32;
    cached / CACHE_STEP * CACHE_STEP
}

/// What a cache knows a prompt by: how it begins.
pub(super) fn prompt_key(request: &Request) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    request.prompt.bytes().take(256).collect::<Vec<_>>().hash(&mut hasher);
    request.model.hash(&mut hasher);
    hasher.finish()
}

/// Splits text as a tokenizer would, roughly: words with the space before them, long ones in parts, marks alone. The
/// parts joined are the text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = 0;
        for (index, c) in rest.char_indices() {
            let word = c.is_alphanumeric();
            // A piece ends before a second space, before a mark, after a mark, and when it is long.
            if index > 0 && (!word || index >= PIECE || rest[..index].ends_with(|c: char| c.is_ascii_punctuation())) {
                break;
            }
            end = index + c.len_utf8();
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn prose(name: &str, tokens: usize, rng: &mut StdRng) -> String {
    let mut text = format!("This answer is simulated by {name}.");
    while pieces(&text).count() < tokens {
        text.push(' ');
        text.push_str(&sentence(rng));
    }
    text
}

fn sentence(rng: &mut StdRng) -> String {
    let mut one = |of: &[&'static str]| of.choose(rng).copied().unwrap_or_default();
    format!("{} {} {} {}", one(&SUBJECTS), one(&VERBS), one(&OBJECTS), one(&ENDINGS))
}

/// A value of a JSON schema, as far as the schema is simple.
fn instance(root: &Value, schema: &Value, depth: u32, rng: &mut StdRng) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        let target = root.pointer(target).cloned().unwrap_or_default();
        return instance(root, &target, depth + 1, rng);
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.choose(rng)) {
        return first.clone();
    }
    for of in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[of].as_array().and_then(|schemas| schemas.first()) {
            return instance(root, first, depth + 1, rng);
        }
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema["properties"].is_object() => "object",
        _ => "any",
    };
    match kind {
        "object" => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let values = properties.map(|(name, schema)| (name.clone(), instance(root, schema, depth + 1, rng)));
            Value::Object(values.collect::<Map<_, _>>())
        }
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 16);
            (0..least).map(|_| instance(root, &schema["items"], depth + 1, rng)).collect()
        }
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(1);
            let most = schema["maximum"].as_i64().unwrap_or(least.saturating_add(9)).max(least);
            json!(rng.random_range(least..=most))
        }
        "number" => json!(schema["minimum"].as_f64().unwrap_or(0.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        "string" => json!("simulated"),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn pieces_are_the_text_and_none_is_empty(text in "\\PC{0,200}|[a-z ,.\n]{0,200}") {
            prop_assert_eq!(pieces(&text).collect::<String>(), text.clone());
            prop_assert!(pieces(&text).all(|piece| !piece.is_empty()));
            prop_assert!(pieces(&text).count() <= text.len());
        }
    }

    #[test]
    fn words_are_tokens() {
        let all: Vec<&str> = pieces("Hello world, unbelievably!").collect();
        assert_eq!(all, ["Hello", " world", ",", " unbelie", "vably", "!"]);
    }

    #[test]
    fn values_follow_their_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": { "type": "string" },
                "days": { "type": "integer", "minimum": 3, "maximum": 5 },
                "unit": { "enum": ["c", "f"] },
                "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" } },
            },
            "$defs": { "tag": { "type": ["boolean", "null"] } },
        });
        let value = instance(&schema, &schema, 0, &mut StdRng::seed_from_u64(1));
        assert!(value["city"].is_string() && (3..=5).contains(&value["days"].as_i64().expect("whole")));
        assert!(value["unit"] == "c" || value["unit"] == "f");
        assert_eq!(value["tags"], json!([true]));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        instance(&schema, &schema, 0, &mut StdRng::seed_from_u64(1));
    }
}
