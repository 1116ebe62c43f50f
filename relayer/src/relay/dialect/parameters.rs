//! What `provider.require_parameters` asks of an offer: every parameter of the request must be one that all providers of the
//! dialect know, or one that a capability on chain stands for.

use crate::relay::error::RelayError;
use crate::relay::json::{Object, shorten};

/// Parameters and the capability that covers each; none where every provider of the dialect knows it.
pub(super) type Parameters = [(&'static str, u64)];

/// The capabilities that cover all members of `request`, of those that nothing else already needs.
///
/// # Errors
/// [`RelayError::Invalid`] for a parameter that no capability stands for: nobody could promise to know it.
pub(super) fn required(request: &Object<'_>, parameters: &Parameters) -> Result<u64, RelayError> {
    let mut needs = 0;
    for (name, _) in request.0.iter().filter(|(_, value)| *value != "null") {
        match parameters.iter().find(|(known, _)| known == name) {
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
