//! What a provider of embeddings sends: one vector for each input.

use crate::relay::dialect::openai::{Kind, usage};
use crate::relay::dialect::{Event, Fault, Piece, Reader, Say, Stated, Whole};
use crate::relay::json::{self, place};
use crate::relay::sse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use steam_protocol::receipt::FinishReason;

/// Reads an answer.
#[derive(Debug)]
pub(super) struct VectorReader {
    /// Inputs of the request.
    pub(super) inputs: u32,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<Vector<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Vector<'a> {
    #[serde(default)]
    index: Option<u32>,
    /// Numbers, or base64 of them.
    #[serde(borrow)]
    embedding: &'a RawValue,
}

impl Reader for VectorReader {
    /// No stream was asked for.
    fn event(&mut self, _: &sse::Event, _: &mut Say<'_>) -> Result<Piece, Fault> {
        Err(Fault::Malformed)
    }

    fn whole(&mut self, body: Bytes, say: &mut Say<'_>) -> Result<Whole, Fault> {
        let mut repaired = None;
        let (answer, body) = json::lenient::<Answer<'_>>(&body, &mut repaired).ok_or(Fault::Malformed)?;
        let json = std::str::from_utf8(body).map_err(|_| Fault::Malformed)?;
        if answer.error.is_some() {
            return Err(Fault::Reported(Box::new(Stated::read(json))));
        }
        let vectors = answer.data.unwrap_or_default();
        let is_vector = |vector: &Vector<'_>| {
            let json = vector.embedding.get();
            // Some write a null, or what becomes one, for what is no number: nobody can use such a vector.
            (json.starts_with('[') && !json.contains("null") || json.starts_with('"')) && json.len() > 2
        };
        if vectors.len() != self.inputs as usize || !vectors.iter().all(is_vector) {
            return Err(Fault::Malformed);
        }
        let mut seen = HashSet::new();
        for (place, vector) in vectors.iter().enumerate() {
            let choice = vector.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
            // Two vectors for one input leave another without any.
            if !seen.insert(choice) {
                return Err(Fault::Malformed);
            }
            say(Event::Vector { choice })?;
        }
        if let Some(stated) = answer.usage.map(RawValue::get) {
            say(Event::Usage { usage: usage(Kind::Vectors, stated), stated })?;
        }
        say(Event::Finish { choice: 0, reason: FinishReason::Stop, stop: None })?;
        let usage = answer.usage.map(|usage| place(json, usage.get()));
        Ok(Whole { body: body.clone(), usage })
    }
}
