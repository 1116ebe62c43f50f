//! The body of a request to a provider.

use crate::relay::dialect::Outgoing;
use crate::relay::dialect::read::{common_edits, with_usage};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use bytes::Bytes;

/// The body for a provider: the model without its suffix, the output limit, usage asked for in streams, and without what is
/// meant for the relayer. Everything else keeps its bytes.
///
/// # Errors
/// [`RelayError::Internal`] if `stream_options` is no object, which reading the request refused.
pub(super) fn for_provider(request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
    let object = request.document.object();
    let mut edits = common_edits(&object, request.model);
    if let Some(max_output) = request.max_output {
        edits.push((limit_member(&object, request.model), Some(max_output.to_string())));
    }
    if request.stream {
        edits.push(("stream_options", Some(with_usage(&object)?)));
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
