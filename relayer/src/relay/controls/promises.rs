//! What a client asks of how its data are treated and of the precision it is served with. Offers state both in their capabilities:
//! they are the provider's word, which nobody here can check.

use super::MAX_NAMES;
use super::given::{Wishes, invalid};
use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use steam_protocol::capability;

/// The values of `data_collection`.
const COLLECTION: &str = "allow or deny";

/// What an offer must promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// Training on neither prompts nor answers: `data_collection` is `deny`.
    pub no_training: bool,
    /// Keeping neither prompts nor answers: `zdr` is true.
    pub no_retention: bool,
    /// One of these quantizations, if any are named.
    pub quantizations: Option<Vec<&'static str>>,
}

impl Promises {
    pub(super) fn read(wishes: &Wishes<'_>) -> Result<Self, RelayError> {
        let no_training = match wishes.word("data_collection", COLLECTION)?.as_deref() {
            None | Some("allow") => false,
            Some("deny") => true,
            Some(_) => return Err(invalid(&wishes.path("data_collection"), COLLECTION)),
        };
        let no_retention = wishes.flag("zdr")?.unwrap_or(false);
        Ok(Self { no_training, no_retention, quantizations: quantizations(wishes)? })
    }

    /// The reason why an offer with these capabilities does not promise what is asked, if it does not.
    pub(super) fn broken_by(&self, capabilities: u64) -> Option<String> {
        let promises = |bit: u64| capabilities & bit != 0;
        if self.no_training && !promises(capability::NO_TRAINING) {
            return Some("does not promise no-training, which provider.data_collection `deny` asks for".into());
        }
        if self.no_retention && !promises(capability::NO_RETENTION) {
            return Some("does not promise no-retention, which provider.zdr asks for".into());
        }
        let stated = capability::quantization(capabilities);
        let named = self.quantizations.as_ref().is_none_or(|named| named.contains(&stated));
        (!named).then(|| format!("states the quantization {stated}, which is not in provider.quantizations"))
    }
}

fn quantizations(wishes: &Wishes<'_>) -> Result<Option<Vec<&'static str>>, RelayError> {
    let Some(names) = wishes.names("quantizations", MAX_NAMES)? else { return Ok(None) };
    let path = wishes.path("quantizations");
    let all = capability::QUANTIZATIONS.join(", ");
    if names.is_empty() {
        return Err(invalid(&path, &format!("at least one of {all}; leave it out to allow every quantization")));
    }
    let known = |name: &String| {
        let known = capability::QUANTIZATIONS.into_iter().find(|known| known == name);
        known.ok_or_else(|| {
            let message = format!("`{path}` names `{}`; the quantizations are {all}", shorten(name));
            RelayError::invalid("invalid_value", &path, message)
        })
    };
    names.iter().map(known).collect::<Result<_, _>>().map(Some)
}
