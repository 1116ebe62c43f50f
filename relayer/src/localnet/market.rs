//! A small market of simulated providers that differ as real ones do: in price, speed, latency and reliability.

use super::bootstrap::ProviderSetup;
use super::provider::Behaviour;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use steam_protocol::units::Price;
use steam_router::state::{OfferTerms, Prices, capability};

/// The models on the market, the first served by all.
pub const MODELS: [&str; 2] = ["demo/large", "demo/small"];
/// Share of the large model's price that the small one costs, in percent.
const SMALL_PERCENT: u64 = 20;
/// What all of them can do.
const CAPABILITIES: u64 = capability::CHAT
    | capability::COMPLETIONS
    | capability::EMBEDDINGS
    | capability::STREAMING
    | capability::TOOLS
    | capability::JSON_MODE
    | capability::JSON_SCHEMA
    | capability::PROMPT_CACHE;

/// What kinds of providers there are: name, input and output price in USD per million tokens, milliseconds to the first
/// token, tokens a second, failures in a thousand.
const KINDS: [(&str, f64, f64, u64, f64, u32); 8] = [
    ("alder", 0.30, 1.20, 240, 90.0, 0),
    ("birch", 0.55, 2.20, 120, 160.0, 2),
    ("cedar", 1.20, 4.80, 60, 420.0, 0),
    ("dogwood", 0.22, 0.90, 420, 60.0, 60),
    ("elm", 0.40, 1.60, 180, 110.0, 5),
    ("fir", 0.80, 3.20, 90, 240.0, 1),
    ("ginkgo", 0.35, 1.40, 300, 140.0, 20),
    ("hazel", 0.65, 2.60, 75, 200.0, 10),
];

/// A provider of the market before it has an address.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// What it offers.
    pub offers: Vec<(String, OfferTerms)>,
}

impl Profile {
    /// Its registration, once it runs at `url`.
    pub fn at(&self, url: String) -> ProviderSetup {
        ProviderSetup { name: self.behaviour.name.clone(), url, offers: self.offers.clone() }
    }
}

/// A market of `count` providers, the same for the same seed.
pub fn profiles(count: usize, seed: u64) -> Vec<Profile> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|index| profile(index, &mut rng)).collect()
}

fn profile(index: usize, rng: &mut StdRng) -> Profile {
    let (name, input, output, ttft, speed, failures) = KINDS[index % KINDS.len()];
    let round = index / KINDS.len();
    let name = if round == 0 { name.to_owned() } else { format!("{name}-{}", round + 1) };
    // Each is a little different every time, without changing what kind it is.
    let mut near = |usual: f64| usual * rng.random_range(0.92..1.08);
    // Posted prices are round figures: whole cents a million tokens.
    let cents = |usd: f64| (usd * 100.0).round() as u64 * 10_000;
    let (input, output) = (cents(near(input)), cents(near(output)));
    let behaviour = Behaviour {
        name,
        models: MODELS.iter().take(if index % 3 == 2 { 1 } else { 2 }).map(ToString::to_string).collect(),
        ttft: Duration::from_millis(ttft).mul_f64(near(1.0)),
        tokens_per_second: near(speed),
        failure_rate: f64::from(failures) / 1_000.0,
        ..Behaviour::default()
    };
    let offer = |(model, percent): (&String, u64)| {
        // Some ask for a little for each request, too.
        let request = if index % 4 == 1 { 5 } else { 0 };
        let (input, output) = (input * percent / 100, output * percent / 100);
        let terms = OfferTerms {
            price: Price::basic(input, input / 4, output, request).into(),
            long_from: 0,
            long_price: Prices::default(),
            context_limit: 131_072,
            output_limit: 16_384,
            capabilities: CAPABILITIES,
        };
        (model.clone(), terms)
    };
    let offers = behaviour.models.iter().zip([100, SMALL_PERCENT]).map(offer).collect();
    Profile { behaviour, offers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_market_repeats_with_its_seed_and_every_provider_differs() {
        let market = profiles(20, 7);
        for (a, b) in market.iter().zip(profiles(20, 7)) {
            assert_eq!((&a.behaviour, &a.offers), (&b.behaviour, &b.offers));
        }
        assert_eq!(market.iter().map(|p| &p.behaviour.name).collect::<BTreeSet<_>>().len(), 20);
        assert_ne!(profiles(4, 1)[0].behaviour, profiles(4, 2)[0].behaviour);
    }

    #[test]
    fn prices_can_be_posted() {
        for (model, terms) in profiles(40, 3).iter().flat_map(|p| &p.offers) {
            assert!(terms.tariff().is_valid(), "{model} {terms:?}");
        }
    }
}
