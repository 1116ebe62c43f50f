//! What `provider.require_parameters` asks of an offer: every parameter of the request must be one that all providers
//! know, or one that a capability on chain stands for.

use crate::relay::error::RelayError;
use crate::relay::json::{Object, shorten};
use steam_router::state::capability;

/// Parameters and the capability that covers each; none where every provider of chat completions knows it. `tools`,
/// `response_format`, `logprobs` and `stream` are needed by what they ask for, whether or not parameters are required.
const PARAMETERS: [(&str, u64); 26] = [
    ("model", 0),
    ("models", 0),
    ("provider", 0),
    ("messages", 0),
    ("max_tokens", 0),
    ("max_completion_tokens", 0),
    ("temperature", 0),
    ("top_p", 0),
    ("stop", 0),
    ("n", 0),
    ("presence_penalty", 0),
    ("frequency_penalty", 0),
    ("user", 0),
    ("stream", 0),
    ("stream_options", 0),
    ("modalities", 0),
    ("response_format", 0),
    ("logprobs", 0),
    ("tools", 0),
    ("functions", 0),
    ("top_logprobs", capability::LOGPROBS),
    ("tool_choice", capability::TOOLS),
    ("function_call", capability::TOOLS),
    ("parallel_tool_calls", capability::TOOLS),
    ("seed", capability::SEED),
    ("reasoning_effort", capability::REASONING),
];

/// The capabilities that cover all members of `request`, of those that nothing else already needs.
///
/// # Errors
/// [`RelayError::Invalid`] for a parameter that no capability stands for: nobody could promise to know it.
pub(super) fn required(request: &Object<'_>) -> Result<u64, RelayError> {
    let mut needs = 0;
    for (name, _) in request.0.iter().filter(|(_, value)| *value != "null") {
        match PARAMETERS.iter().find(|(known, _)| known == name) {
            Some((_, capability)) => needs |= capability,
            None => {
                let name = shorten(name);
                let message = format!(
                    "`provider.require_parameters` cannot be held for `{name}`: no capability of an offer stands for it; leave one of the two out"
                );
                return Err(RelayError::invalid("unsupported_parameter", &name, message));
            }
        }
    }
    Ok(needs)
}
