//! Prompts of completions and inputs of embeddings: texts or tokens, one or several.

use crate::relay::dialect::Prompt;
use crate::relay::error::RelayError;
use serde::Deserialize;

/// Tokens that a model's own format of a conversation may add: its marks, and a preamble of which no request says anything.
pub(super) const CHAT_FORMAT: u64 = 64;
/// The same where functions are described: many formats explain how to call them.
pub(super) const TOOLS_FORMAT: u64 = 512;
/// Tokens that begin and end a text without a conversation.
pub(super) const TEXT_FORMAT: u64 = 8;
/// Tokens around a message in the chat formats of known models, role included.
pub(super) const MESSAGE_OVERHEAD: u64 = 5;
/// Tokens that start the answer.
pub(super) const ANSWER_OVERHEAD: u64 = 3;

/// One prompt or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

impl Prompts {
    /// Reads the member `name` of a request.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it is no prompt, an empty one, or one of more than `most`.
    pub(super) fn read(json: &str, name: &str, most: u32) -> Result<Self, RelayError> {
        let wrong = |expected: &str| RelayError::invalid("invalid_value", name, format!("`{name}` must be {expected}"));
        let kinds = "a string, an array of strings, an array of token numbers, or an array of such arrays";
        let prompts: Self = serde_json::from_str(json).map_err(|_| wrong(kinds))?;
        let nothing = match &prompts {
            Self::Text(text) => text.is_empty(),
            Self::Texts(texts) => texts.is_empty() || texts.iter().any(String::is_empty),
            Self::Tokens(tokens) => tokens.is_empty(),
            Self::ManyTokens(many) => many.is_empty() || many.iter().any(Vec::is_empty),
        };
        if nothing {
            return Err(wrong("one or more texts or arrays of tokens, none of them empty"));
        }
        if prompts.count() > most {
            return Err(wrong(&format!("{most} prompts at most")));
        }
        Ok(prompts)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        let count = match self {
            Self::Text(_) | Self::Tokens(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::ManyTokens(many) => many.len(),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What a model reads.
    pub(super) fn prompt(self) -> Prompt {
        let format = TEXT_FORMAT.saturating_mul(self.count().into());
        let tokens = |count: usize| Prompt { texts: Vec::new(), overhead: count as u64, format };
        match self {
            Self::Text(text) => Prompt { texts: vec![text], overhead: 0, format },
            Self::Texts(texts) => Prompt { texts, overhead: 0, format },
            Self::Tokens(one) => tokens(one.len()),
            Self::ManyTokens(many) => tokens(many.iter().map(Vec::len).sum()),
        }
    }
}
