//! Whether a client took part in the choice of its provider: then what came of it is no evidence for anybody else.

use super::{Filter, Route};

/// How a client rules an offer out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuledOut {
    /// By a list of providers, or a wish about them.
    ByName,
    /// By what the request needs, or by what its key may pay.
    ByNeed,
}

impl Filter {
    /// How an offer that it excludes was ruled out by the client, if it was.
    fn by_client(self) -> Option<RuledOut> {
        match self {
            Self::AllowList | Self::Wish => Some(RuledOut::ByName),
            Self::Ability | Self::Dialect | Self::Size | Self::KeyPrice | Self::Cost(_) => Some(RuledOut::ByNeed),
            Self::Market | Self::Free | Self::Cooldown(_) => None,
        }
    }
}

impl Route {
    /// Whether the client took part in the choice. It did if it ruled somebody out by name or by wish, or if what it needs and may
    /// pay left one provider of several: who needs what one alone has, chooses that one. Where two are left it is the relayer
    /// that chooses. Otherwise a stranger's offer that takes next to nothing would keep the board from seeing anything.
    pub(super) fn is_narrowed(&self) -> bool {
        let ruled_out = |how: RuledOut| self.excluded.iter().any(|other| other.filter.by_client() == Some(how));
        let first = self.candidates.first().map(|candidate| candidate.offer.provider);
        let one_left = self.candidates.iter().all(|candidate| Some(candidate.offer.provider) == first);
        ruled_out(RuledOut::ByName) || (one_left && ruled_out(RuledOut::ByNeed))
    }
}
