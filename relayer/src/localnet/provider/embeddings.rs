//! Embeddings as OpenAI's API has them. The vectors are made up: the same input has the same one.

use super::answer::pieces;
use super::request::{Problem, invalid, read as read_body, whole};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Numbers of a vector where none are asked for.
const DIMENSIONS: usize = 8;
/// Most numbers of a vector.
const MAX_DIMENSIONS: u64 = 4_096;

/// A request for embeddings.
#[derive(Clone, Debug)]
pub(super) struct Request {
    model: String,
    inputs: Vec<Value>,
    dimensions: usize,
    base64: bool,
}

impl Request {
    /// Reads a body, or says what is wrong as OpenAI does.
    pub(super) fn read(body: &[u8], models: &[String]) -> Result<Self, Problem> {
        let (body, model) = read_body(body, models)?;
        let inputs = match &body["input"] {
            text @ Value::String(_) => vec![text.clone()],
            Value::Array(inputs) if inputs.is_empty() => return Err(invalid("input", "'$.input' is invalid.")),
            tokens @ Value::Array(inputs) if inputs.iter().all(Value::is_u64) => vec![tokens.clone()],
            Value::Array(inputs) if inputs.iter().all(|input| input.is_string() || input.is_array()) => inputs.clone(),
            _ => return Err(invalid("input", "'$.input' is invalid.")),
        };
        let base64 = match body["encoding_format"].as_str() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => return Err(invalid("encoding_format", "expected 'float' or 'base64'.")),
        };
        let dimensions = whole(&body, "dimensions", MAX_DIMENSIONS)?.unwrap_or(DIMENSIONS);
        Ok(Self { model, inputs, dimensions, base64 })
    }

    /// Tokens of all inputs.
    pub(super) fn tokens(&self) -> u32 {
        let of = |input: &Value| match input {
            Value::String(text) => pieces(text).count(),
            input => input.as_array().map_or(0, Vec::len),
        };
        u32::try_from(self.inputs.iter().map(of).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// The answer, of `tokens` input tokens.
    pub(super) fn answer(&self, tokens: u32) -> Value {
        let data = self.inputs.iter().enumerate().map(|(index, input)| {
            let vector = self.vector(input);
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            let embedding = if self.base64 { json!(STANDARD.encode(bytes)) } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        });
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        json!({ "object": "list", "data": data.collect::<Vec<_>>(), "model": self.model, "usage": usage })
    }

    fn vector(&self, input: &Value) -> Vec<f32> {
        let number = |place: usize| {
            let mut hasher = DefaultHasher::new();
            (input.to_string(), place).hash(&mut hasher);
            (hasher.finish() % 2_001) as f32 / 1_000.0 - 1.0
        };
        (0..self.dimensions).map(number).collect()
    }
}
