//! Whom the names of providers in controls mean: addresses, hosts that were proved, and the labels that providers chose.

use crate::chain::Pubkey;
use crate::market::MarketView;
use crate::registry::{Offer, Registry};
use crate::relay::error::RelayError;
use crate::relay::json::shorten;

/// Most providers that an error names.
const SHOWN: usize = 4;

/// The providers that controls name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// In `order`.
    pub order: Vec<Pubkey>,
    /// In `only`.
    pub only: Option<Vec<Pubkey>>,
    /// In `ignore`.
    pub ignore: Vec<Pubkey>,
}

impl Providers {
    /// The place of `offer`'s provider in `order`.
    pub fn rank_of(&self, offer: &Offer) -> Option<usize> {
        self.order.iter().position(|provider| *provider == offer.provider)
    }
}

/// Everybody who may be named.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// All providers and offers.
    pub registry: &'a Registry,
    /// What they have proved.
    pub market: &'a MarketView,
}

impl Names<'_> {
    /// The providers that `name` means in `control`: the one at an address, those that a host names as its own, or the one
    /// that has such a label.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] if it means nobody, or several and `control` is not `ignore`.
    pub fn meant(&self, control: &str, name: &str) -> Result<Vec<Pubkey>, RelayError> {
        let Self { registry, market } = self;
        if let Ok(address) = name.parse::<Pubkey>()
            && registry.is_provider(&address)
        {
            return Ok(vec![address]);
        }
        let offers = || registry.offers.iter().map(AsRef::as_ref);
        let of_host = |offer: &&Offer| market.proof(offer).is_some_and(|proof| proof.host.eq_ignore_ascii_case(name));
        let at_host = distinct(offers().filter(of_host).map(|offer| offer.provider));
        if !at_host.is_empty() {
            return Ok(at_host);
        }
        // A name with a dot or a colon matches verified hosts only: else a label could imitate a host that is not verified yet.
        let label = !name.contains(['.', ':']);
        let labelled = |offer: &&Offer| label && offer.provider_name.eq_ignore_ascii_case(name);
        // 0 trusted by the operator, 1 host verified, 2 not verified, 3 excluded. Only the best rank is meant, so that no lower
        // one can take over a label.
        let rank = |offer: &Offer| match () {
            () if market.bars(offer, false).is_some() => 3_u8,
            () if market.policy().trusts(&offer.provider) => 0,
            () if market.proof(offer).is_some() => 1,
            () => 2,
        };
        let infos = registry.providers.iter().filter(|info| label && info.name.eq_ignore_ascii_case(name));
        let unasked = infos.map(|info| (3, info.address));
        let called: Vec<(u8, Pubkey)> =
            offers().filter(labelled).map(|offer| (rank(offer), offer.provider)).chain(unasked).collect();
        let first = called.iter().map(|(rank, _)| *rank).min();
        // `ignore` excludes every provider with this label.
        let everybody = control == "ignore";
        let is_meant = |(rank, _): &(u8, Pubkey)| everybody || Some(*rank) == first;
        let meant = distinct(called.into_iter().filter(is_meant).map(|(_, provider)| provider));
        match meant.len() {
            0 => Err(wrong(control, name, "no provider is called that; GET /v1/providers lists them")),
            1 => Ok(meant),
            _ if everybody => Ok(meant),
            _ => Err(wrong(control, name, &format!("several providers are called that: {}", self.shown(&meant)))),
        }
    }

    /// Providers by what tells them apart.
    fn shown(&self, providers: &[Pubkey]) -> String {
        let shown = providers.iter().take(SHOWN).map(|provider| {
            let offer = self.registry.offers.iter().find(|offer| offer.provider == *provider);
            match offer.and_then(|offer| self.market.proof(offer)) {
                Some(proof) => format!("{provider} at {}", proof.host),
                None => provider.to_string(),
            }
        });
        format!("{}; name an address or a host", shown.collect::<Vec<_>>().join(", "))
    }
}

fn distinct(providers: impl Iterator<Item = Pubkey>) -> Vec<Pubkey> {
    let mut distinct: Vec<Pubkey> = providers.collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

fn wrong(control: &str, name: &str, what: &str) -> RelayError {
    let path = format!("provider.{control}");
    let code = if what.starts_with("several") { "ambiguous_provider" } else { "unknown_provider" };
    RelayError::invalid(code, &path, format!("`{path}` names `{}`, and {what}", shorten(name)))
}
