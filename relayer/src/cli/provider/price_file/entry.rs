//! The members of one model.

use super::{Says, decimal};
use crate::relay::json;
use serde_json::{Map, Value};

/// The text that a value is; a number whose digits were kept is none.
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|_| json::exact_number(value).is_none())
}

/// A model's members, and the place that errors name.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    place: &'a str,
    members: &'a Map<String, Value>,
}

impl<'a> Entry<'a> {
    pub fn new(place: &'a str, members: &'a Map<String, Value>) -> Self {
        Self { place, members }
    }

    /// A member, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// The names of all members that are not null.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// A member that is an object; its members' names are told with the object's before them.
    pub fn object(&self, name: &str) -> Says<Option<Entry<'a>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Entry { place: self.place, members })),
            Some(_) => Err(self.wrong(name, "is no object")),
        }
    }

    /// A price in units of `10^-places` USD: a number, or one in quotes.
    pub fn price(&self, name: &str, places: i32) -> Says<Option<u64>> {
        let text = match self.get(name) {
            None => return Ok(None),
            Some(value @ Value::String(text)) => json::exact_number(value).unwrap_or(text).to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(self.wrong(name, "is no number")),
        };
        decimal::units(&text, places).map(Some).map_err(|wrong| self.wrong(name, &wrong))
    }

    /// A number of tokens above zero.
    pub fn tokens(&self, name: &str) -> Says<Option<u32>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let tokens = value.as_u64().and_then(|tokens| u32::try_from(tokens).ok()).filter(|tokens| *tokens > 0);
        let wrong = || self.wrong(name, "is no whole number of tokens from 1 to 4294967295");
        tokens.map(Some).ok_or_else(wrong)
    }

    /// Whether a member is true; absent, it is not.
    pub fn flag(&self, name: &str) -> Says<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, "is neither true nor false")),
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Says<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => text(value).map(Some).ok_or_else(|| self.wrong(name, "is no text")),
        }
    }

    /// A list of texts; absent, it is empty.
    pub fn texts(&self, name: &str) -> Says<Vec<&'a str>> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let texts = value.as_array().and_then(|texts| texts.iter().map(text).collect());
        texts.ok_or_else(|| self.wrong(name, "is no list of texts"))
    }

    /// What is there, or that it is missing.
    pub fn need<T>(&self, name: &str, value: Option<T>) -> Says<T> {
        value.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// What is wrong with a member.
    pub fn wrong(&self, name: &str, what: &str) -> String {
        format!("{}: `{name}` {what}", self.place)
    }
}
