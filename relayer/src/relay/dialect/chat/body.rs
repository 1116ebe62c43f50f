//! The body of a request to a provider.

use crate::relay::dialect::Request;
use crate::relay::error::RelayError;
use crate::relay::json::{self, Object};
use bytes::Bytes;

/// The body for a provider: `model` without its suffix, the output limit `max_output`, usage asked for in streams, and
/// without what is meant for the relayer. Everything else keeps its bytes.
///
/// # Errors
/// [`RelayError::Internal`] if `stream_options` is no object, which reading the request refused.
pub(super) fn for_provider(request: &Request, model: &str, max_output: u32) -> Result<Bytes, RelayError> {
    let object = request.body.object();
    let mut edits = vec![("provider", None), ("models", None)];
    // A provider of the model whose name stands in the body gets that very text.
    let named = json::string(model);
    if object.get("model") != Some(named.as_str()) {
        edits.push(("model", Some(named)));
    }
    if request.max_output.is_none() {
        edits.push((limit_member(&object, model), Some(max_output.to_string())));
    }
    if request.stream {
        let asked = match object.get("stream_options") {
            Some(options) => Object::read(options)
                .map_err(|_| RelayError::Internal("options that were an object before"))?
                .edited(&[("include_usage", Some("true".to_owned()))]),
            None => r#"{"include_usage":true}"#.to_owned(),
        };
        edits.push(("stream_options", Some(asked)));
    }
    Ok(object.edited(&edits).into())
}

/// Which of the two names of the output limit a provider of `model` knows.
fn limit_member(object: &Object<'_>, model: &str) -> &'static str {
    // A null is replaced where it stands.
    let present = |wanted: &str| object.0.iter().any(|(name, _)| name == wanted);
    if present("max_tokens") {
        return "max_tokens";
    }
    let name = model.rsplit('/').next().unwrap_or(model);
    let reasoning = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if present("max_completion_tokens") || reasoning || name.starts_with("gpt-5") {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
}
