//! What a provider means when it calls a request wrong. The words decide, not how often they were said.

use crate::relay::json::Object;
use axum::http::StatusCode;
use serde_json::Value;

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The prompt does not fit the model's context: a model with more room may take it.
    TooLong,
    /// The content is not allowed: no other model is asked.
    Policy,
    /// The relayer's account with the provider: the request has nothing to do with it.
    Account,
    /// The request is wrong, as far as this provider is concerned.
    Request,
}

/// Codes and types that say what is meant.
const CODES: [(&str, Meaning); 16] = [
    ("context_length_exceeded", Meaning::TooLong),
    ("context_window_exceeded", Meaning::TooLong),
    ("string_above_max_length", Meaning::TooLong),
    ("exceed_context_size_error", Meaning::TooLong),
    ("content_policy_violation", Meaning::Policy),
    ("content_filter", Meaning::Policy),
    ("content_filtered", Meaning::Policy),
    ("responsibleaipolicyviolation", Meaning::Policy),
    ("moderation_blocked", Meaning::Policy),
    ("invalid_prompt", Meaning::Policy),
    ("insufficient_quota", Meaning::Account),
    ("billing_hard_limit_reached", Meaning::Account),
    ("billing_not_active", Meaning::Account),
    ("invalid_api_key", Meaning::Account),
    ("model_not_found", Meaning::Account),
    ("organization_restricted", Meaning::Account),
];

/// Words in a message that say what is meant, in lower case.
const WORDS: [(&str, Meaning); 17] = [
    ("maximum context length", Meaning::TooLong),
    ("context length", Meaning::TooLong),
    ("context window", Meaning::TooLong),
    ("context size", Meaning::TooLong),
    ("prompt is too long", Meaning::TooLong),
    ("input is too long", Meaning::TooLong),
    ("too many tokens", Meaning::TooLong),
    ("reduce the length", Meaning::TooLong),
    ("content policy", Meaning::Policy),
    ("usage policies", Meaning::Policy),
    ("content management policy", Meaning::Policy),
    ("safety system", Meaning::Policy),
    ("content filter", Meaning::Policy),
    ("credit balance", Meaning::Account),
    ("api key", Meaning::Account),
    ("exceeded your current quota", Meaning::Account),
    ("billing", Meaning::Account),
];

/// What a refusal with this body means.
pub fn meaning(status: StatusCode, body: &[u8]) -> Meaning {
    // A provider that does not know the model that it offers is at fault.
    if status == StatusCode::NOT_FOUND {
        return Meaning::Account;
    }
    let stated = stated(body);
    let of = |table: &[(&str, Meaning)], said: &dyn Fn(&str) -> bool| {
        table.iter().find(|(word, _)| said(word)).map(|(_, meaning)| *meaning)
    };
    let code = of(&CODES, &|code| stated.codes.iter().any(|stated| stated == code));
    code.or_else(|| of(&WORDS, &|word| stated.message.contains(word))).unwrap_or(Meaning::Request)
}

/// What an error says, in lower case.
#[derive(Default)]
struct Stated {
    codes: Vec<String>,
    message: String,
}

fn stated(body: &[u8]) -> Stated {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let Ok(object) = Object::read(text) else { return Stated::default() };
    let error: Value = object.get("error").and_then(|error| serde_json::from_str(error).ok()).unwrap_or_default();
    let outer = |name: &str| object.get(name).and_then(|value| serde_json::from_str::<Value>(value).ok());
    let word = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_lowercase));
    let inner = error.get("innererror").or_else(|| error.get("metadata")).cloned().unwrap_or_default();
    let codes = [
        error.get("code").cloned(),
        error.get("type").cloned(),
        inner.get("code").cloned(),
        outer("code"),
        outer("type"),
    ];
    let message =
        word(error.get("message").cloned()).or_else(|| word(outer("message"))).or_else(|| word(outer("error")));
    Stated { codes: codes.into_iter().filter_map(word).collect(), message: message.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_decide() {
        for (body, meant) in [
            (r#"{"error":{"message":"no","code":"context_length_exceeded"}}"#, Meaning::TooLong),
            (r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#, Meaning::TooLong),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#,
                Meaning::TooLong,
            ),
            (r#"{"object":"error","message":"Please reduce the length of the messages","code":400}"#, Meaning::TooLong),
            (r#"{"error":{"message":"x","code":"content_policy_violation"}}"#, Meaning::Policy),
            (
                r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                Meaning::Policy,
            ),
            (
                r#"{"error":{"message":"Your credit balance is too low","type":"invalid_request_error"}}"#,
                Meaning::Account,
            ),
            (r#"{"error":{"message":"temperature must be at most 2","param":"temperature"}}"#, Meaning::Request),
            (r#"{"error":"no"}"#, Meaning::Request),
            ("<html>", Meaning::Request),
            ("", Meaning::Request),
        ] {
            assert_eq!(meaning(StatusCode::BAD_REQUEST, body.as_bytes()), meant, "{body}");
        }
        assert_eq!(meaning(StatusCode::NOT_FOUND, b"{}"), Meaning::Account, "of a model that it offers");
    }
}
