//! Calls of tools in the history of a chat request: each is whole, and is answered before anybody says anything else.

use super::{Message, wrong};
use crate::relay::error::RelayError;
use crate::relay::json::{Object, Text, shorten};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// The calls of the assistant's last message.
#[derive(Default)]
pub(super) struct Calls {
    /// Where they are.
    path: String,
    /// Their ids, in their order.
    made: Vec<String>,
    /// The same, without order: a stranger may send very many.
    known: HashSet<String>,
    /// The ids of those that a message answers.
    answered: HashSet<String>,
}

impl Calls {
    /// Takes the next message, which is at `path`.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it answers no call, if calls before it have no answer, or if its own are none.
    pub(super) fn message(&mut self, message: &Message<'_>, path: &str) -> Result<(), RelayError> {
        let role = message.role.as_ref().map(|Text(role)| role.as_ref());
        if role == Some("tool") {
            return self.answer(message, path);
        }
        self.end()?;
        *self = Self::default();
        if let Some(calls) = message.tool_calls.filter(|calls| role == Some("assistant") && calls.get() != "null") {
            self.path = format!("{path}.tool_calls");
            self.made = read(calls, &self.path)?;
            self.known = self.made.iter().cloned().collect();
        }
        Ok(())
    }

    /// Nothing comes any more, or nothing that answers a call.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if a call has no answer.
    pub(super) fn end(&self) -> Result<(), RelayError> {
        match self.made.iter().find(|id| !self.answered.contains(*id)) {
            Some(id) => {
                let what = format!(
                    "must be followed by a message of the role `tool` for each call; `{}` has none",
                    shorten(id)
                );
                Err(wrong(&self.path, &what))
            }
            None => Ok(()),
        }
    }

    fn answer(&mut self, message: &Message<'_>, path: &str) -> Result<(), RelayError> {
        let path = format!("{path}.tool_call_id");
        let id = message.tool_call_id.as_ref().map(|Text(id)| id.as_ref());
        let id = id.ok_or_else(|| wrong(&path, "must be the id of the call that the message answers"))?;
        if !self.known.contains(id) {
            let what = format!("is `{}`, which is no call of the assistant's message before", shorten(id));
            return Err(wrong(&path, &what));
        }
        self.answered.insert(id.to_owned());
        Ok(())
    }
}

/// The ids of calls.
fn read(calls: &RawValue, path: &str) -> Result<Vec<String>, RelayError> {
    let calls: Vec<&RawValue> =
        serde_json::from_str(calls.get()).map_err(|_| wrong(path, "must be an array of calls"))?;
    calls.iter().enumerate().map(|(place, call)| read_one(call, &format!("{path}.{place}"))).collect()
}

fn read_one(call: &RawValue, path: &str) -> Result<String, RelayError> {
    let call = Object::read(call.get()).map_err(|_| wrong(path, "must be an object with `id` and `function`"))?;
    let text = |object: &Object<'_>, name: &str| {
        object.get(name).map(serde_json::from_str::<String>).transpose().map_err(|_| ())
    };
    if let Some(function) = call.get("function") {
        let path = format!("{path}.function");
        let function =
            Object::read(function).map_err(|_| wrong(&path, "must be an object with `name` and `arguments`"))?;
        if !matches!(text(&function, "name"), Ok(Some(name)) if !name.is_empty()) {
            return Err(wrong(&format!("{path}.name"), "must be the function's name"));
        }
        text(&function, "arguments").map_err(|()| wrong(&format!("{path}.arguments"), "must be a string of JSON"))?;
    }
    match text(&call, "id") {
        Ok(Some(id)) => Ok(id),
        Ok(None) | Err(()) => Err(wrong(&format!("{path}.id"), "must be the call's id")),
    }
}
