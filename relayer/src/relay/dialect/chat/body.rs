//! The body of a request to a provider.

use crate::relay::dialect::Outgoing;
use crate::relay::dialect::read::{common_edits, with_usage};
use crate::relay::error::RelayError;
use crate::relay::json::Object;
use bytes::Bytes;
use steam_router::state::capability;

/// The body for a provider: the model without its suffix, the output limit, usage asked for in streams, and without what is
/// meant for the relayer. Everything else keeps its bytes.
///
/// # Errors
/// [`RelayError::Internal`] if `stream_options` is no object, which reading the request refused.
pub(super) fn for_provider(request: &Outgoing<'_>) -> Result<Bytes, RelayError> {
    let object = request.document.object();
    let mut edits = common_edits(&object, request.model);
    if let Some(max_output) = request.max_output {
        let members = limit_members(&object, request.capabilities);
        edits.extend(members.into_iter().map(|member| (member, Some(max_output.to_string()))));
    }
    if request.stream {
        edits.push(("stream_options", Some(with_usage(&object)?)));
    }
    Ok(object.edited(&edits).into())
}

/// The members that state the output limit: those in which the client states it, or the one that the provider knows.
fn limit_members(object: &Object<'_>, capabilities: u64) -> Vec<&'static str> {
    const NAMES: [&str; 2] = ["max_tokens", "max_completion_tokens"];
    let stated: Vec<&str> = NAMES.into_iter().filter(|name| object.get(name).is_some()).collect();
    if !stated.is_empty() {
        return stated;
    }
    // A null is replaced where it stands.
    let present = NAMES.into_iter().find(|wanted| object.0.iter().any(|(name, _)| name == wanted));
    // Models that reason take the newer name alone.
    let usual = if capabilities & capability::REASONING == 0 { NAMES[0] } else { NAMES[1] };
    vec![present.unwrap_or(usual)]
}
