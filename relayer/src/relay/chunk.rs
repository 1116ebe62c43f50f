//! A piece of an answer as OpenAI's API has it: what it says, whether that is content, and what of it is for the
//! relayer alone.

use crate::relay::json::{Object, Text};
use crate::tokens::{Counting, Tally};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use steam_protocol::receipt::FinishReason;

/// Why a provider's bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not the JSON of an answer, or of other answers than were asked for.
    #[error("no answer to this request")]
    Malformed,
    /// The provider reports an error where an answer should be.
    #[error("the provider reported an error")]
    Reported {
        /// The number in it that looks like a status.
        status: Option<u16>,
    },
}

/// A chunk of a stream or a whole answer.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Said<'a>>,
    #[serde(borrow, default)]
    message: Option<Said<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

/// What a model said, in a message or a part of one.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl<'a> Said<'a> {
    fn spoken(&self) -> impl Iterator<Item = Cow<'a, str>> + '_ {
        let calls = self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
        let functions = calls.chain(&self.function_call).flat_map(|function| [function.name, function.arguments]);
        [self.content, self.refusal, self.audio].into_iter().chain(functions).flatten().map(text)
    }

    fn reasoned(&self) -> Option<Cow<'a, str>> {
        // Some providers send the same text under both names.
        self.reasoning_content.or(self.reasoning).map(text)
    }

    fn calls(&self) -> bool {
        self.function_call.is_some() || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }
}

/// A string, or whatever else stands in its place.
fn text(value: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str::<Text<'_>>(value.get()) {
        Ok(Text(text)) => text,
        Err(_) if matches!(value.get(), "[]" | "{}") => Cow::Borrowed(""),
        Err(_) => Cow::Borrowed(value.get()),
    }
}

/// What was said so far in one answer, counted, and what the provider said about it.
#[derive(Debug)]
pub struct Transcript {
    /// Everything visible.
    pub delivered: Tally,
    /// The visible reasoning in it.
    pub reasoning: Tally,
    /// Why it ended, once it has.
    pub finish: Option<FinishReason>,
    /// The provider's `usage`, the last of them.
    pub usage: Option<String>,
    /// Answers that were asked for.
    choices: u32,
    /// `id`, `created` and `model` of the first chunk, as JSON members.
    envelope: Option<String>,
}

/// What becomes of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// What the client gets: `None` for a chunk of nothing but usage.
    pub data: Option<Bytes>,
    /// Whether it is an answer rather than the announcement of one.
    pub content: bool,
}

impl Transcript {
    /// Nothing said of `choices` answers.
    pub fn new(counting: Counting, choices: u32) -> Self {
        Self {
            delivered: Tally::new(counting),
            reasoning: Tally::new(counting),
            finish: None,
            usage: None,
            choices,
            envelope: None,
        }
    }

    /// Takes a chunk of a stream.
    ///
    /// # Errors
    /// It is no chunk, or reports an error.
    pub fn chunk(&mut self, data: &Bytes) -> Result<Passed, Fault> {
        let json = std::str::from_utf8(data).map_err(|_| Fault::Malformed)?;
        let chunk = read(json)?;
        if self.envelope.is_none() {
            self.envelope = Some(envelope(json)?);
        }
        let choices = chunk.choices.unwrap_or_default();
        let content = self.take(&choices)?;
        let Some(usage) = chunk.usage else { return Ok(Passed { data: Some(data.clone()), content }) };
        self.usage = Some(usage.get().to_owned());
        if choices.is_empty() {
            return Ok(Passed { data: None, content });
        }
        let object = Object::read(json).map_err(|_| Fault::Malformed)?;
        Ok(Passed { data: Some(object.edited(&[("usage", None)]).into()), content })
    }

    /// Takes a whole answer. Returns whether there is content in it.
    ///
    /// # Errors
    /// It is no answer, or reports an error.
    pub fn whole(&mut self, json: &str) -> Result<bool, Fault> {
        let answer = read(json)?;
        let choices = answer.choices.unwrap_or_default();
        if choices.is_empty() || choices.iter().any(|choice| choice.message.is_none()) {
            return Err(Fault::Malformed);
        }
        self.usage = answer.usage.map(|usage| usage.get().to_owned());
        self.take(&choices)
    }

    /// Answers beyond those asked for would be paid for, and each takes memory: they are none.
    fn take(&mut self, choices: &[Choice<'_>]) -> Result<bool, Fault> {
        let mut content = false;
        for (place, choice) in choices.iter().enumerate() {
            let index = choice.index.unwrap_or(place as u32);
            if index >= self.choices {
                return Err(Fault::Malformed);
            }
            if let Some(said) = choice.delta.as_ref().or(choice.message.as_ref()) {
                content |= said.calls();
                for text in said.spoken().filter(|text| !text.is_empty()) {
                    content = true;
                    self.delivered.add(index, &text);
                }
                if let Some(text) = said.reasoned().filter(|text| !text.is_empty()) {
                    content = true;
                    self.delivered.add(index, &text);
                    self.reasoning.add(index, &text);
                }
            }
            if let Some(Text(reason)) = &choice.finish_reason {
                let reason = finish_reason(reason);
                // An empty answer that stopped is a failure; one that ran into a limit or a filter is an answer.
                content |= !matches!(reason, FinishReason::Stop | FinishReason::Error);
                self.finish = Some(reason);
            }
        }
        Ok(content)
    }

    /// A chunk of the relayer's own in the name of this answer: `members` are the JSON of its `choices` and more.
    pub fn own_chunk(&self, members: &str) -> String {
        let envelope = self.envelope.as_deref().unwrap_or_default();
        format!(r#"{{{envelope}"object":"chat.completion.chunk",{members}}}"#)
    }
}

fn read(json: &str) -> Result<Chunk<'_>, Fault> {
    let chunk: Chunk<'_> = serde_json::from_str(json).map_err(|_| Fault::Malformed)?;
    let ended_in_error =
        |choice: &Choice<'_>| choice.finish_reason.as_ref().is_some_and(|Text(reason)| reason == "error");
    match chunk.error {
        Some(error) => Err(Fault::Reported { status: reported_status(error.get()) }),
        None if chunk.choices.iter().flatten().any(ended_in_error) => Err(Fault::Reported { status: None }),
        None if chunk.choices.is_none() && chunk.usage.is_none() => Err(Fault::Malformed),
        None => Ok(chunk),
    }
}

/// The status in an error object: providers put it under `code` or `status`.
fn reported_status(error: &str) -> Option<u16> {
    let error: serde_json::Value = serde_json::from_str(error).ok()?;
    let status = ["code", "status"].iter().find_map(|name| {
        let value = error.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    })?;
    u16::try_from(status).ok().filter(|status| (400..600).contains(status))
}

fn envelope(json: &str) -> Result<String, Fault> {
    let object = Object::read(json).map_err(|_| Fault::Malformed)?;
    let members = ["id", "created", "model"]
        .iter()
        .filter_map(|name| object.get(name).map(|value| format!("\"{name}\":{},", value.get())));
    Ok(members.collect())
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" | "eos" | "stop_sequence" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        "error" => FinishReason::Error,
        _ => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(json: &str) -> (Transcript, Result<Passed, Fault>) {
        let mut transcript = Transcript::new(Counting::Bytes, 1);
        let passed = transcript.chunk(&Bytes::copy_from_slice(json.as_bytes()));
        (transcript, passed)
    }

    #[test]
    fn content_is_text_reasoning_a_refusal_a_call_or_a_limit_but_not_a_role() {
        for delta in [
            r#"{"content":"a"}"#,
            r#"{"reasoning":"a"}"#,
            r#"{"reasoning_content":"a","reasoning":"a"}"#,
            r#"{"refusal":"a"}"#,
            r#"{"function_call":{"name":"a"}}"#,
            r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"a","arguments":""}}]}"#,
            r#"{"audio":{"data":"a"}}"#,
            r#"{"content":[{"type":"text","text":"a"}]}"#,
        ] {
            let (transcript, passed) = take(&format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#));
            assert!(passed.unwrap().content, "{delta}");
            assert!(transcript.delivered.total().bytes > 0);
        }
        for choice in [
            r#"{"delta":{"role":"assistant","content":""}}"#,
            r#"{"delta":{"content":null,"tool_calls":[]}}"#,
            r#"{"delta":{},"finish_reason":"stop"}"#,
            r#"{"delta":{"content":[]},"finish_reason":null}"#,
            r#"{}"#,
        ] {
            assert!(!take(&format!(r#"{{"choices":[{choice}]}}"#)).1.unwrap().content, "{choice}");
        }
        for reason in ["length", "content_filter", "tool_calls"] {
            let (transcript, passed) = take(&format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#));
            assert!(passed.unwrap().content, "{reason}");
            assert!(transcript.finish.is_some());
        }
    }

    #[test]
    fn usage_is_taken_out_and_everything_else_kept_to_the_byte() {
        let (_, passed) = take(r#"{ "choices": [] , "usage":null}"#);
        assert_eq!(passed.unwrap().data.unwrap(), r#"{ "choices": [] , "usage":null}"#);
        let (transcript, passed) = take(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#);
        assert_eq!(passed.unwrap().data, None);
        assert_eq!(transcript.usage.unwrap(), r#"{"prompt_tokens":1}"#);
        let (_, passed) = take(r#"{"id":"x","choices":[{"delta":{ "content":"\u00e9" }}],"usage":{},"z":1.0}"#);
        assert_eq!(passed.unwrap().data.unwrap(), r#"{"id":"x","choices":[{"delta":{ "content":"\u00e9" }}],"z":1.0}"#);
    }

    #[test]
    fn errors_are_errors_wherever_they_stand() {
        assert_eq!(take(r#"{"error":{"code":429}}"#).1, Err(Fault::Reported { status: Some(429) }));
        assert_eq!(take(r#"{"error":"overloaded"}"#).1, Err(Fault::Reported { status: None }));
        assert_eq!(take(r#"{"choices":[{"finish_reason":"error"}]}"#).1, Err(Fault::Reported { status: None }));
        for text in ["", "{", "[]", "{}", "null", r#"{"choices":3}"#, r#"{"object":"x"}"#] {
            assert_eq!(take(text).1, Err(Fault::Malformed), "{text}");
        }
    }

    #[test]
    fn a_whole_answer_needs_a_message() {
        let mut transcript = Transcript::new(Counting::Bytes, 1);
        assert_eq!(transcript.whole(r#"{"choices":[]}"#), Err(Fault::Malformed));
        assert_eq!(transcript.whole(r#"{"choices":[{}]}"#), Err(Fault::Malformed));
        let empty = r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#;
        assert_eq!(transcript.whole(empty), Ok(false));
        let answer =
            r#"{"choices":[{"message":{"content":"abc","reasoning":"de"},"finish_reason":"length"}],"usage":{}}"#;
        assert_eq!(transcript.whole(answer), Ok(true));
        assert_eq!((transcript.delivered.total().bytes, transcript.reasoning.total().bytes), (5, 2));
        assert_eq!(transcript.finish, Some(FinishReason::Length));
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_no_answer() {
        let said = |index: u32| format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}}}}]}}"#);
        let mut transcript = Transcript::new(Counting::O200k, 2);
        assert!(transcript.chunk(&said(1).into()).is_ok());
        for index in [2, u32::MAX] {
            assert_eq!(transcript.chunk(&said(index).into()), Err(Fault::Malformed), "{index}");
        }
        let two = r#"{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}"#;
        assert_eq!(Transcript::new(Counting::Bytes, 1).whole(two), Err(Fault::Malformed));
    }

    #[test]
    fn an_own_chunk_carries_the_answers_name() {
        let (transcript, _) = take(r#"{"id":"c-1","created":5,"model":"m","choices":[]}"#);
        assert_eq!(
            transcript.own_chunk(r#""choices":[]"#),
            r#"{"id":"c-1","created":5,"model":"m","object":"chat.completion.chunk","choices":[]}"#
        );
    }
}
