//! What the relayer writes to a client of responses.

use crate::relay::dialect::{Billed, Whole, Writer, event};
use crate::relay::error::RelayError;
use crate::relay::json::{self, Object};
use crate::relay::sse::write_event;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Writes one answer.
#[derive(Debug, Default)]
pub(super) struct ResponseWriter {
    /// The event with the response as it was when it began.
    began: Option<String>,
    /// The event with the whole response: it is written once its usage is billed.
    last: Option<String>,
    /// Events written.
    count: u64,
}

impl Writer for ResponseWriter {
    fn event(&mut self, data: &[u8], out: &mut BytesMut) {
        let json = std::str::from_utf8(data).unwrap_or_default();
        match &*event::kind(json) {
            "response.completed" | "response.incomplete" => self.last = Some(json.to_owned()),
            kind => {
                if self.began.is_none() && kind == "response.created" {
                    self.began = Some(json.to_owned());
                }
                self.count += 1;
                write_event(kind, data, out);
            }
        }
    }

    fn usage(&self, stated: Option<&str>, billed: &Billed, out: &mut BytesMut) {
        let Some(last) = self.last.as_deref() else { return };
        if let Some(event) = with_usage(last, &usage(stated, billed)) {
            write_event(&event::kind(last), event.as_bytes(), out);
        }
    }

    /// The error that follows says it.
    fn cut(&self, _: &[u32], _: &mut BytesMut) {}

    fn error(&self, error: &RelayError, out: &mut BytesMut) {
        let message = error.to_string();
        let began = self.began.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
        let began = began.map(|mut event| event["response"].take()).filter(Value::is_object);
        let Some(mut response) = began else {
            let event = json!({
                "type": "error", "code": error.code(), "message": message, "param": error.param(), "sequence_number": self.count,
            });
            return write_event("error", event.to_string().as_bytes(), out);
        };
        response["status"] = "failed".into();
        response["error"] = json!({ "code": "server_error", "message": message });
        let event = json!({ "type": "response.failed", "sequence_number": self.count, "response": response });
        write_event("response.failed", event.to_string().as_bytes(), out);
    }

    /// The whole response was the end.
    fn end(&self, _: &mut BytesMut) {}

    fn whole(&self, answer: &Whole, stated: Option<&str>, billed: &Billed) -> Bytes {
        answer.with_usage(&usage(stated, billed))
    }
}

/// The last event of a stream, with `usage` in the place of what the provider says was used.
fn with_usage(event: &str, usage: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Last<'a> {
        #[serde(borrow)]
        response: Response<'a>,
    }
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        usage: &'a RawValue,
    }
    if let Ok(Last { response }) = serde_json::from_str::<Last<'_>>(event) {
        let place = json::place(event, response.usage.get());
        return Some([&event[..place.start], usage, &event[place.end..]].concat());
    }
    let event = Object::read(event).ok()?;
    let response = Object::read(event.get("response")?).ok()?.edited(&[("usage", Some(usage.to_owned()))]);
    Some(event.edited(&[("response", Some(response))]))
}

/// `usage` as the client sees it: the provider's details, the counts that were billed, and their cost in USD.
pub(super) fn usage(stated: Option<&str>, billed: &Billed) -> String {
    let mut shown: Map<String, Value> = stated.and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
    let input = billed.prompt();
    let output = u64::from(billed.output);
    shown.insert("input_tokens".into(), input.into());
    let mut details = json!({ "cached_tokens": billed.cached });
    if billed.written() > 0 {
        details["cache_write_tokens"] = billed.written().into();
    }
    shown.insert("input_tokens_details".into(), details);
    shown.insert("output_tokens".into(), output.into());
    shown.entry("output_tokens_details").or_insert_with(|| json!({ "reasoning_tokens": 0 }));
    shown.insert("total_tokens".into(), (input + output).into());
    billed.with_cost(shown)
}
