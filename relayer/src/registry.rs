//! What the chain says about who serves what and at which price, read at finalized and handed on as `watch` state.

use crate::chain::Pubkey;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use steam_protocol::units::Tariff;
use steam_protocol::{Address, Hash};
use tokio::time::Instant;

/// How long what was agreed on last stands for what the nodes differ on.
const MAX_DISPUTE_SECONDS: i64 = 120;

/// One reading of the registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The finalized slot it was read at.
    pub slot: u64,
    /// The cluster's clock at that slot, in Unix seconds.
    pub unix_time: i64,
    /// When it was first seen to show that, on this machine's steady clock.
    pub read_at: Instant,
    /// Whether settlement is paused.
    pub paused: bool,
    /// The program and cluster, as the program's config has it.
    pub domain: Hash,
    /// The mint of USDC.
    pub mint: Pubkey,
    /// This relayer.
    pub relayer: RelayerInfo,
    /// Active offers of active providers at the price in force.
    pub offers: Vec<Arc<Offer>>,
    /// All providers.
    pub providers: Vec<ProviderInfo>,
    /// Addresses on which the nodes differ, and since when, in Unix seconds.
    disputed: HashMap<Pubkey, i64>,
    /// By names in lower case.
    by_model: HashMap<String, Vec<usize>>,
}

/// This relayer's account.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayerInfo {
    /// Its address.
    pub address: Pubkey,
    /// Who may change it.
    pub authority: Pubkey,
    /// Who signs settlements.
    pub settler: Pubkey,
    /// Who signs receipts.
    pub receipt_key: Pubkey,
    /// The receipt key's number.
    pub receipt_key_id: u32,
    /// Receipt keys by number: this one and, as far as the chain remembers them, those it replaced.
    pub receipt_keys: Vec<(u32, Address)>,
    /// The fee in force, in basis points of the charge.
    pub fee_bps: u16,
    /// Where fees go.
    pub fee_token: Pubkey,
    /// Its public address.
    pub url: String,
    /// Whether it takes requests.
    pub active: bool,
}

/// A registered provider.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderInfo {
    /// Its address.
    pub address: Pubkey,
    /// Who may change it.
    pub authority: Pubkey,
    /// Its name.
    pub name: String,
    /// Base URL of its OpenAI-compatible API, `/v1` included.
    pub url: String,
    /// Whether it may be used.
    pub active: bool,
    /// Where its earnings go.
    pub token: Pubkey,
}

/// A model offered by a provider at a posted price.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its address.
    pub address: Pubkey,
    /// The provider's address.
    pub provider: Pubkey,
    /// The provider's name.
    pub provider_name: String,
    /// Where the provider is paid.
    pub provider_token: Pubkey,
    /// Base URL of the provider's API, `/v1` included.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// The prices in force.
    pub price: Tariff,
    /// Its version.
    pub version: u32,
    /// Most tokens of prompt and answer together.
    pub context_limit: u32,
    /// Most tokens of an answer.
    pub output_limit: u32,
    /// What it can do, see [`steam_router::state::capability`].
    pub capabilities: u64,
}

/// For each address what all of `told` say of it; on what they differ, what `last` says, for a while: what is disputed longer is
/// left out, since it may no longer settle.
fn same<T: PartialEq + Clone>(
    told: &[&[T]],
    last: &[T],
    address: impl Fn(&T) -> Pubkey,
    mut bearable: impl FnMut(Pubkey) -> bool,
) -> Vec<T> {
    let index = |part: &'_ [T]| -> BTreeMap<Pubkey, T> { part.iter().map(|one| (address(one), one.clone())).collect() };
    let told: Vec<_> = told.iter().map(|part| index(part)).collect();
    let last = index(last);
    let addresses: BTreeSet<&Pubkey> = told.iter().flat_map(BTreeMap::keys).collect();
    let agreed = addresses.into_iter().filter_map(|at| {
        let first = told.first().and_then(|part| part.get(at));
        if told.iter().all(|part| part.get(at) == first) {
            return first.cloned();
        }
        if bearable(*at) { last.get(at).cloned() } else { None }
    });
    agreed.collect()
}

impl Registry {
    /// What several readings say together: a price, an address or a setting on which they differ stays as it was in the `last`
    /// one. None if they differ on the relayer or the program's config, and nothing was agreed on before.
    pub fn agreed(told: &[Self], last: Option<&Self>) -> Option<Self> {
        let first = told.first()?;
        let slot = told.iter().map(|one| one.slot).min()?;
        let now = told.iter().map(|one| one.unix_time).min()?;
        let paused = told.iter().any(|one| one.paused);
        let one =
            told.iter().all(|one| (one.domain, one.mint, &one.relayer) == (first.domain, first.mint, &first.relayer));
        // Without agreement on the relayer itself the registry grows old, until nothing is sold by it.
        let (main, unix_time) = if one { (first, now) } else { (last?, last?.unix_time) };
        let mut disputed = HashMap::new();
        let since = |at: &Pubkey| last.and_then(|last| last.disputed.get(at)).copied().unwrap_or(now);
        let mut bearable = |at: Pubkey| {
            disputed.insert(at, since(&at));
            now.saturating_sub(since(&at)) <= MAX_DISPUTE_SECONDS
        };
        let (offers, providers): (Vec<_>, Vec<_>) =
            told.iter().map(|one| (one.offers.as_slice(), one.providers.as_slice())).unzip();
        let (last_offers, last_providers) =
            last.map_or((&[][..], &[][..]), |last| (last.offers.as_slice(), last.providers.as_slice()));
        let offers = same(&offers, last_offers, |offer| offer.address, &mut bearable);
        let providers = same(&providers, last_providers, |provider| provider.address, &mut bearable);
        let agreed =
            Self::new((slot, unix_time), paused, (main.domain, main.mint), main.relayer.clone(), offers, providers);
        // Nodes that say the same as before have not read anything new.
        let before = last.filter(|last| last.unix_time >= unix_time).map(|last| last.read_at);
        Some(Self { disputed, read_at: before.unwrap_or(agreed.read_at), ..agreed })
    }

    /// A reading, with its offers indexed by model.
    pub fn new(
        (slot, unix_time): (u64, i64),
        paused: bool,
        (domain, mint): (Hash, Pubkey),
        relayer: RelayerInfo,
        offers: Vec<Arc<Offer>>,
        providers: Vec<ProviderInfo>,
    ) -> Self {
        let mut by_model: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, offer) in offers.iter().enumerate() {
            by_model.entry(offer.model.to_ascii_lowercase()).or_default().push(index);
        }
        let (disputed, read_at) = (HashMap::new(), Instant::now());
        Self { slot, unix_time, read_at, paused, domain, mint, relayer, offers, providers, disputed, by_model }
    }

    /// The offers of `model`, however its name is spelt in capitals.
    pub fn offers_of<'a>(&'a self, model: &str) -> impl Iterator<Item = &'a Arc<Offer>> {
        self.by_model.get(&model.to_ascii_lowercase()).into_iter().flatten().map(|&index| &self.offers[index])
    }

    /// Whether some provider has this address.
    pub fn is_provider(&self, address: &Pubkey) -> bool {
        let offers = self.offers.iter().map(|offer| &offer.provider);
        self.providers.iter().map(|info| &info.address).chain(offers).any(|known| known == address)
    }

    /// The models that have an offer, sorted, each as [`Self::spelling`] has it.
    pub fn models(&self, takes_part: impl Fn(&Offer) -> bool) -> Vec<&str> {
        let spelt = self.by_model.values().filter_map(|indices| self.spelt(indices, &takes_part));
        let mut models: Vec<&str> = spelt.collect();
        models.sort_unstable();
        models
    }

    /// How `model` is shown: as the first of its offers that takes part spells it, or as its first offer does where none takes
    /// part. Whoever posts an offer chooses capitals, and nobody who is barred chooses them for others.
    pub fn spelling(&self, model: &str, takes_part: impl Fn(&Offer) -> bool) -> Option<&str> {
        self.spelt(self.by_model.get(&model.to_ascii_lowercase())?, takes_part)
    }

    fn spelt(&self, indices: &[usize], takes_part: impl Fn(&Offer) -> bool) -> Option<&str> {
        let mut offers = indices.iter().map(|&index| &self.offers[index]);
        let first = offers.clone().next()?;
        Some(&offers.find(|offer| takes_part(offer)).unwrap_or(first).model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::{offer, registry};

    fn at(slot: u64, offers: Vec<Offer>) -> Registry {
        let mut registry = registry(offers);
        registry.slot = slot;
        registry
    }

    #[test]
    fn names_that_differ_in_case_are_one_model_shown_as_its_first_offer_spells_it() {
        let spelt = |n: u8, model: &str| Offer { model: model.into(), ..priced(n, 1) };
        let registry = at(1, vec![spelt(1, "Lab/Model"), spelt(2, "lab/model"), spelt(3, "other")]);
        for name in ["lab/model", "LAB/MODEL", "Lab/Model"] {
            assert_eq!(registry.offers_of(name).count(), 2, "{name}");
            assert_eq!(registry.spelling(name, |_| true), Some("Lab/Model"), "{name}");
        }
        assert_eq!(registry.models(|_| true), ["Lab/Model", "other"]);
        let barred = |first: u8| move |offer: &Offer| offer.address != Pubkey::new_from_array([first; 32]);
        assert_eq!(registry.models(barred(1)), ["lab/model", "other"], "who is barred does not spell for others");
        assert_eq!(registry.models(barred(3)), ["Lab/Model", "other"], "but for itself, where there is nobody else");
        assert_eq!(registry.spelling("nobody/has/it", |_| true), None);
    }

    fn prices(registry: &Registry) -> Vec<u64> {
        registry.offers.iter().map(|offer| offer.price.standard.input).collect()
    }

    fn priced(n: u8, input: u64) -> Offer {
        let mut offer = offer("p", n);
        offer.price.standard.input = input;
        offer
    }

    #[test]
    fn what_one_node_says_of_an_offer_changes_nothing() {
        let last = at(5, vec![priced(1, 10), priced(2, 20)]);
        let honest = at(9, vec![priced(1, 10), priced(2, 20)]);
        // Another price, an offer left out, one made up.
        let liar = at(8, vec![priced(1, 1), priced(3, 30)]);
        for told in [[honest.clone(), liar.clone()], [liar.clone(), honest.clone()]] {
            let agreed = Registry::agreed(&told, Some(&last)).unwrap();
            assert_eq!((prices(&agreed), agreed.slot), (vec![10, 20], 8));
            assert!(prices(&Registry::agreed(&told, None).unwrap()).is_empty());
        }
        let mut theirs = honest.clone();
        theirs.relayer.fee_bps += 1;
        assert!(Registry::agreed(&[honest.clone(), theirs.clone()], None).is_none());
        let agreed = Registry::agreed(&[theirs, honest], Some(&last)).unwrap();
        assert_eq!(agreed.relayer, last.relayer);
    }

    #[test]
    fn what_is_disputed_for_long_is_not_sold_any_more() {
        let (honest, liar) = (at(9, vec![priced(1, 10)]), at(9, vec![priced(1, 1)]));
        let later = |seconds: i64, registry: &Registry| Registry {
            unix_time: registry.unix_time + seconds,
            ..registry.clone()
        };
        let mut last = honest.clone();
        for (seconds, expected) in [(0, 1), (MAX_DISPUTE_SECONDS, 1), (MAX_DISPUTE_SECONDS + 1, 0)] {
            last = Registry::agreed(&[later(seconds, &honest), later(seconds, &liar)], Some(&last)).unwrap();
            assert_eq!(last.offers.len(), expected, "{seconds}");
        }
        last = Registry::agreed(&[later(500, &honest), later(500, &honest)], Some(&last)).unwrap();
        assert_eq!(last.offers.len(), 1, "and sold again once they agree");
        let mut theirs = later(900, &honest);
        theirs.relayer.fee_bps += 1;
        let aged = Registry::agreed(&[later(900, &honest), theirs], Some(&last)).unwrap();
        assert_eq!(aged.unix_time, last.unix_time, "without agreement on the relayer nothing is fresh any more");
        assert_eq!(aged.read_at, last.read_at);
    }

    #[test]
    fn a_reading_is_as_old_as_the_first_that_showed_the_same_time() {
        let reading = || at(9, vec![priced(1, 10)]);
        let last = reading();
        assert_eq!(
            Registry::agreed(&[reading()], Some(&last)).unwrap().read_at,
            last.read_at,
            "nodes that stand still"
        );
        let next = Registry { unix_time: last.unix_time + 1, ..reading() };
        assert!(Registry::agreed(&[next], Some(&last)).unwrap().read_at > last.read_at);
    }

    #[test]
    fn what_all_nodes_say_is_taken_over() {
        let last = at(5, vec![priced(1, 10), priced(2, 20)]);
        let told = [at(9, vec![priced(1, 11), priced(3, 30)]), at(9, vec![priced(1, 11), priced(3, 30)])];
        assert_eq!(prices(&Registry::agreed(&told, Some(&last)).unwrap()), [11, 30]);
        assert!(Registry::agreed(&[], Some(&last)).is_none());
        assert_eq!(prices(&Registry::agreed(&told[..1], None).unwrap()), [11, 30]);
    }
}
