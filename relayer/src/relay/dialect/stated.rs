//! An error as a provider states it, in any of the forms that providers use.

use crate::relay::refusal::Meaning;
use serde_json::Value;

/// Longest message that is passed on, in bytes.
const MAX_MESSAGE: usize = 4 << 10;
/// Longest code that is passed on, in bytes.
const MAX_CODE: usize = 64;

/// Statuses of the names that errors have as `type` or `code`.
const STATUSES: [(&str, u16); 26] = [
    ("invalid_request_error", 400),
    ("invalid_request", 400),
    ("badrequesterror", 400),
    ("invalid_prompt", 400),
    ("context_length_exceeded", 400),
    ("string_above_max_length", 400),
    ("invalid_argument", 400),
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("model_not_found", 404),
    ("notfounderror", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("insufficient_quota", 429),
    ("resource_exhausted", 429),
    ("api_error", 500),
    ("server_error", 500),
    ("internal_server_error", 500),
    ("timeout_error", 504),
    ("server_is_overloaded", 503),
    ("slow_down", 503),
    ("overloaded_error", 529),
];

/// An error as a provider states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The status that a number or a name in it stands for.
    pub status: Option<u16>,
    /// Its words.
    pub message: Option<String>,
    /// Its name for programs.
    pub code: Option<String>,
    /// What it means, if it is a refusal.
    pub meaning: Meaning,
    /// Whether it is the end of an answer that had begun, and not an error in place of one.
    pub breaks_off: bool,
}

impl Stated {
    /// Reads the JSON of an error, or of an answer or event that has one in it. What is no JSON is a message.
    pub fn read(text: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Self::of(&Value::String(text.to_owned()), &Value::Null);
        };
        let nested = [value.get("error"), value.get("response").and_then(|response| response.get("error"))];
        match nested.into_iter().flatten().find(|error| !error.is_null()) {
            // Some state the status beside the error.
            Some(error) => {
                let mut stated = Self::of(error, &value);
                stated.status = stated.status.or_else(|| status(&value));
                stated
            }
            None => Self::of(&value, &Value::Null),
        }
    }

    /// Reads an error object, or a message, in `around`.
    fn of(error: &Value, around: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let listed = error.get("detail").and_then(Value::as_array).map(|all| listed(all));
        let message = error.as_str().or_else(|| ["message", "detail"].into_iter().find_map(text));
        let message = message.or(listed.as_deref()).unwrap_or_default();
        let name = |name: &Value| name.as_str().filter(|name| name.parse::<f64>().is_err()).map(str::to_owned);
        let own: Vec<String> = ["code", "type"].into_iter().filter_map(|name_of| name(error.get(name_of)?)).collect();
        let nested = ["innererror", "metadata"].into_iter().filter_map(|inner| name(error.get(inner)?.get("code")?));
        let names: Vec<String> = own.iter().cloned().chain(nested).chain(around.get("code").and_then(name)).collect();
        Self {
            status: status(error),
            message: shown(message, MAX_MESSAGE),
            code: own.first().and_then(|code| shown(code, MAX_CODE)),
            meaning: Meaning::of(names.iter().map(String::as_str), message),
            breaks_off: false,
        }
    }

    /// The status, if it says that the request itself is wrong.
    pub fn refusal(&self) -> Option<u16> {
        self.status.filter(|status| matches!(status, 400 | 413 | 422))
    }
}

/// Words of a list of mistakes, each with where it is, as servers made with `FastAPI` state them.
fn listed(mistakes: &[Value]) -> String {
    let word = |place: &Value| place.as_str().map_or_else(|| place.to_string(), ToOwned::to_owned);
    let said = mistakes.iter().filter_map(|mistake| {
        let places = mistake["loc"].as_array().into_iter().flatten().map(word);
        let place = places.collect::<Vec<_>>().join(".");
        let what = mistake["msg"].as_str()?;
        Some(if place.is_empty() { what.to_owned() } else { format!("{place}: {what}") })
    });
    said.collect::<Vec<_>>().join("; ")
}

/// The status in an object: a number, or a name that stands for one.
fn status(error: &Value) -> Option<u16> {
    let number = |name: &str| {
        let value = error.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
    };
    let numbers = ["code", "status", "status_code"].into_iter().find_map(number);
    let stated = numbers.map(|number| number as u16).filter(|status| (400..600).contains(status));
    let named = |name: &str| {
        let name = error.get(name)?.as_str()?.to_ascii_lowercase();
        STATUSES.iter().find(|(known, _)| *known == name).map(|(_, status)| *status)
    };
    stated.or_else(|| ["code", "type", "status"].into_iter().find_map(named))
}

/// At most `limit` bytes of `text`, if it says anything.
fn shown(text: &str, limit: usize) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text[..text.floor_char_boundary(limit)].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_and_code_are_found_in_every_form() {
        for (json, status, message, code) in [
            (r#"{"error":{"message":"too long","code":400}}"#, Some(400), Some("too long"), None),
            (r#"{"error":{"message":"a","code":"429"}}"#, Some(429), Some("a"), None),
            (r#"{"error":{"message":"a","type":"x"},"status_code":400}"#, Some(400), Some("a"), Some("x")),
            (r#"{"error":{"message":"a","status_code":503.0}}"#, Some(503), Some("a"), None),
            (
                r#"{"error":{"message":"a","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                Some(400),
                Some("a"),
                Some("context_length_exceeded"),
            ),
            (r#"{"error":"overloaded"}"#, None, Some("overloaded"), None),
            (
                r#"{"object":"error","message":"a","type":"BadRequestError","code":400}"#,
                Some(400),
                Some("a"),
                Some("BadRequestError"),
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"b"}}"#,
                Some(529),
                Some("b"),
                Some("overloaded_error"),
            ),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"b"}}}"#,
                Some(429),
                Some("b"),
                Some("rate_limit_exceeded"),
            ),
            (r#"{"detail":"gone"}"#, None, Some("gone"), None),
            (
                r#"{"detail":[{"loc":["body","messages",0],"msg":"Field required","type":"missing"},{"msg":"b"}]}"#,
                None,
                Some("body.messages.0: Field required; b"),
                None,
            ),
            (r#"{"detail":[7]}"#, None, None, None),
            (r#"{"error":{"code":7}}"#, None, None, None),
            ("oops", None, Some("oops"), None),
            ("", None, None, None),
        ] {
            let stated = Stated::read(json);
            let found = (stated.status, stated.message.as_deref(), stated.code.as_deref());
            assert_eq!(found, (status, message, code), "{json}");
        }
        assert_eq!(Stated::read(&"é".repeat(9_000)).message.unwrap().len(), MAX_MESSAGE);
    }
}
