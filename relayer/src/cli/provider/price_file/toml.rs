//! TOML in the form of JSON, of which no number loses a digit.

use super::Says;
use crate::relay::json;
use serde_json::{Map, Value};
use toml::de::{DeInteger, DeTable, DeValue, Error};

/// Reads a document.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn read(text: &str) -> Says<Map<String, Value>> {
    let document = DeTable::parse(text).map_err(|error| format!("is no TOML: {}", fault(text, &error)))?;
    table(document.get_ref())
}

/// A fault with its line, and without the line's text, which may be long.
fn fault(text: &str, error: &Error) -> String {
    let line = error.span().and_then(|span| Some(text.get(..span.start)?.matches('\n').count() + 1));
    line.map_or_else(|| error.message().to_owned(), |line| format!("line {line}: {}", error.message()))
}

fn table(table: &DeTable<'_>) -> Says<Map<String, Value>> {
    let member = |(name, member): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
        let name = name.get_ref().clone().into_owned();
        let value = value(&name, member.get_ref())?;
        Ok((name, value))
    };
    table.iter().map(member).collect()
}

/// The value of the member `name`, or of an element of it.
fn value(name: &str, value: &DeValue<'_>) -> Says<Value> {
    let of_list = |one: &toml::Spanned<DeValue<'_>>| self::value(name, one.get_ref());
    Ok(match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(integer) => self::integer(integer).ok_or_else(|| no_number(name))?,
        DeValue::Float(float) => {
            let digits = float.as_str().trim_start_matches('+');
            json::kept_number(digits).ok_or_else(|| no_number(name))?
        }
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(list) => Value::Array(list.iter().map(of_list).collect::<Says<_>>()?),
        DeValue::Table(members) => Value::Object(table(members)?),
    })
}

/// `nan`, `inf`, and an integer of more than 64 bits.
fn no_number(name: &str) -> String {
    format!("`{name}` is no number")
}

fn integer(integer: &DeInteger<'_>) -> Option<Value> {
    let (digits, radix) = (integer.as_str(), integer.radix());
    let positive = u64::from_str_radix(digits, radix).ok().map(Value::from);
    positive.or_else(|| i64::from_str_radix(digits, radix).ok().map(Value::from))
}
