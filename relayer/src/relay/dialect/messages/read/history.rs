//! Calls of tools in the history of a request for messages: each has its result in the user's next turn. Messages of one role in
//! a row are one turn, as the API has it, so that results may come in several messages.

use super::invalid;
use crate::relay::dialect::messages::block::{Block, text};
use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use std::collections::HashMap;

/// The calls of the assistant's last turn.
#[derive(Default)]
pub(super) struct Calls {
    /// Their ids, in their order.
    made: Vec<String>,
    /// How many calls of each id no result answers yet. A stranger may send very many.
    open: HashMap<String, usize>,
    /// Where the last message is, if the user has said something since.
    user: Option<String>,
}

impl Calls {
    /// Takes a message of the assistant.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if the user's turn before it leaves a call without a result.
    pub(super) fn assistant(&mut self, blocks: &[Block<'_>]) -> Result<(), RelayError> {
        self.answered()?;
        if self.user.is_some() {
            *self = Self::default();
        }
        for call in blocks.iter().filter(|block| block.kind() == "tool_use") {
            let id = text(&call.id).to_owned();
            *self.open.entry(id.clone()).or_default() += 1;
            self.made.push(id);
        }
        Ok(())
    }

    /// Takes a message of the user, whose content is at `path`.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it has a result of no call.
    pub(super) fn user(&mut self, blocks: &[Block<'_>], path: &str) -> Result<(), RelayError> {
        for result in blocks.iter().filter(|block| block.kind() == "tool_result") {
            let id = text(&result.tool_use_id);
            let Some(open) = self.open.get_mut(id).filter(|open| **open > 0) else {
                let what = format!("has a result of `{}`, which no `tool_use` in the message before has", shorten(id));
                return Err(invalid(path, &what));
            };
            *open -= 1;
        }
        self.user = Some(path.to_owned());
        Ok(())
    }

    /// The user's turn is over.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it leaves a call without a result.
    pub(super) fn answered(&self) -> Result<(), RelayError> {
        let Some(path) = &self.user else { return Ok(()) };
        match self.open() {
            Some(id) => {
                let what = format!("needs a `tool_result` for the call `{}` in the message before", shorten(id));
                Err(invalid(path, &what))
            }
            None => Ok(()),
        }
    }

    /// A call without a result.
    pub(super) fn open(&self) -> Option<&str> {
        let is_open = |id: &&String| self.open.get(*id).is_some_and(|open| *open > 0);
        self.made.iter().find(is_open).map(String::as_str)
    }
}
