//! A market of providers as it truly is: what they are like, what happens to them, who asks for what.

pub mod drawn;
pub mod episode;
pub mod objective;
pub mod provider;
pub mod recording;
pub mod traffic;

pub use episode::{Condition, Effect, Episode};
pub use objective::Exchange;
pub use provider::{Limit, Provider};
pub use traffic::Request;

use std::sync::Arc;
use steam::chain::Pubkey;
use steam::registry::Offer;

/// A market over its whole time, the same for every policy.
#[derive(Debug)]
pub struct Market {
    /// What all of it was drawn from.
    pub seed: u64,
    /// Who serves.
    pub providers: Vec<Provider>,
    /// What is asked, by time.
    pub requests: Vec<Request>,
    /// How long it lasts, in seconds.
    pub horizon: f64,
    /// What a second and a failure are worth in it.
    pub exchange: Exchange,
    /// Moments at which an offer appears, goes or changes its price, by time.
    pub changes: Vec<f64>,
}

impl Market {
    /// The market of these `providers` and `requests`.
    pub fn of(seed: u64, providers: Vec<Provider>, requests: Vec<Request>, horizon: f64) -> Self {
        let exchange = Exchange::of(&providers, &requests);
        let mut changes: Vec<f64> = providers
            .iter()
            .flat_map(|provider| {
                let repriced = provider.episodes.iter().filter(|e| matches!(e.effect, Effect::Price { .. }));
                repriced.flat_map(|e| [e.from, e.until]).chain([provider.listed])
            })
            .filter(|&at| at > 0.0 && at < horizon)
            .collect();
        changes.sort_by(f64::total_cmp);
        Self { seed, providers, requests, horizon, exchange, changes }
    }

    /// What the registry lists at `at`: offers, and whose they are.
    pub fn listed(&self, at: f64) -> (Vec<Arc<Offer>>, Vec<usize>) {
        let listed = self.providers.iter().enumerate().filter(|(_, provider)| provider.listed <= at);
        listed.map(|(id, provider)| (Arc::new(offer(id, provider, at)), id)).unzip()
    }
}

/// The address of a provider's only offer.
pub fn address(id: usize) -> Pubkey {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&(id as u64).to_le_bytes());
    Pubkey::from(bytes)
}

fn offer(id: usize, provider: &Provider, at: f64) -> Offer {
    let address = address(id);
    Offer {
        address,
        provider: address,
        provider_name: format!("p{id}"),
        provider_token: address,
        url: String::new(),
        model: "simulated".into(),
        price: provider.price_at(at).into(),
        version: 1,
        context_limit: 1 << 17,
        output_limit: 1 << 13,
        capabilities: u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::steady;

    #[test]
    fn a_seed_gives_the_same_market_again_and_another_seed_another() {
        let [one, same, other] = [1, 1, 2].map(|seed| format!("{:?}", drawn::market(seed)));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn the_registry_lists_an_offer_once_it_is_there_at_the_price_of_the_moment() {
        let sale = Episode { from: 10.0, until: 20.0, effect: Effect::Price { factor: 0.5 } };
        let providers = vec![Provider { episodes: vec![sale], ..steady() }, Provider { listed: 15.0, ..steady() }];
        let market = Market::of(1, providers, Vec::new(), 100.0);
        assert_eq!(market.changes, [10.0, 15.0, 20.0]);
        let prices = |at: f64| market.listed(at).0.iter().map(|o| o.price.standard.output).collect::<Vec<_>>();
        assert_eq!(prices(9.0), [2_000_000]);
        assert_eq!(prices(10.0), [1_000_000], "a change is seen when it comes");
        assert_eq!(prices(20.0), [2_000_000; 2]);
    }
}
