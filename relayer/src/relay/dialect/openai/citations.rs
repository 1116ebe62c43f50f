//! What an answer cites, as OpenAI's dialects say it.

use serde_json::{Map, Value};
use std::collections::HashSet;

/// Citations of an answer that are handed on.
const MAX_CITATIONS: usize = 1_000;

/// The citations of an answer so far. Providers repeat them, in later pieces and at the end.
#[derive(Debug, Default)]
pub(in crate::relay::dialect) struct Citations(HashSet<(u32, String)>);

impl Citations {
    /// The next one of the answer numbered `choice`: its `url`, and its `title` and places where they are such. `None` if it has
    /// no URL, was there before, or is one too many.
    pub(in crate::relay::dialect) fn next(&mut self, choice: u32, stated: &Value) -> Option<Value> {
        stated["url"].as_str()?;
        let members = [
            ("start_index", stated["start_index"].is_u64()),
            ("end_index", stated["end_index"].is_u64()),
            ("title", stated["title"].is_string()),
            ("url", true),
        ];
        let kept = members.into_iter().filter(|(_, is_one)| *is_one);
        let source: Value = kept.map(|(name, _)| (name.to_owned(), stated[name].clone())).collect::<Map<_, _>>().into();
        let is_new = self.0.len() < MAX_CITATIONS && self.0.insert((choice, source.to_string()));
        is_new.then_some(source)
    }
}
