//! What a provider means when it calls a request wrong. The words decide, not how often they were said.

/// What a refusal means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// The prompt does not fit the model's context: a model with more room may take it.
    TooLong,
    /// The relayer's account with the provider: the request has nothing to do with it.
    Account,
    /// The request is wrong, or its content not allowed, as far as this provider is concerned. No other model is asked.
    #[default]
    Request,
}

/// Codes and types that say what is meant.
const CODES: [(&str, Meaning); 16] = [
    ("context_length_exceeded", Meaning::TooLong),
    ("context_window_exceeded", Meaning::TooLong),
    ("string_above_max_length", Meaning::TooLong),
    ("exceed_context_size_error", Meaning::TooLong),
    ("content_policy_violation", Meaning::Request),
    ("content_filter", Meaning::Request),
    ("content_filtered", Meaning::Request),
    ("responsibleaipolicyviolation", Meaning::Request),
    ("moderation_blocked", Meaning::Request),
    ("invalid_prompt", Meaning::Request),
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
    ("content policy", Meaning::Request),
    ("usage policies", Meaning::Request),
    ("content management policy", Meaning::Request),
    ("safety system", Meaning::Request),
    ("content filter", Meaning::Request),
    ("credit balance", Meaning::Account),
    ("api key", Meaning::Account),
    ("exceeded your current quota", Meaning::Account),
    ("billing", Meaning::Account),
];

impl Meaning {
    /// What an error with these names for programs and these words means.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>, message: &str) -> Self {
        let named = names.map(str::to_lowercase).find_map(|name| CODES.iter().find(|(code, _)| *code == name));
        let message = message.to_lowercase();
        let said = || WORDS.iter().find(|(word, _)| message.contains(word));
        named.or_else(said).map_or_else(Self::default, |(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::dialect::Stated;

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
            (r#"{"error":{"message":"x","code":"content_policy_violation"}}"#, Meaning::Request),
            (
                r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                Meaning::Request,
            ),
            (
                r#"{"error":{"message":"Your credit balance is too low","type":"invalid_request_error"}}"#,
                Meaning::Account,
            ),
            (r#"{"error":{"message":"temperature must be at most 2","param":"temperature"}}"#, Meaning::Request),
            (r#"{"error":{"message":"Your prompt on billing violates our usage policies"}}"#, Meaning::Request),
            (r#"{"error":{"message":"x","metadata":{"code":"insufficient_quota"}}}"#, Meaning::Account),
            (r#"{"error":{"message":"x"},"code":"Context_Window_Exceeded"}"#, Meaning::TooLong),
            (r#"{"error":"no"}"#, Meaning::Request),
            ("<html>", Meaning::Request),
            ("", Meaning::Request),
        ] {
            assert_eq!(Stated::read(body).meaning, meant, "{body}");
        }
    }
}
