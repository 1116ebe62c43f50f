//! The populations the policies are compared on: what each is made of, with its numbers.

use super::provider::scaled;
use super::{Effect, Episode, Limit, Provider};
use crate::draw::{Purpose, at, exponential, lognormal};
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use steam_protocol::units::Price;

/// A kind of market.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// Its name in tables.
    pub name: &'static str,
    /// What it is like, in a sentence.
    pub about: &'static str,
    /// Providers.
    pub size: usize,
    /// Requests a second, on average over the day.
    pub rate: f64,
    /// How long it lasts, in seconds.
    pub horizon: f64,
    /// Median of the requests at once a provider is built for.
    capacity: f64,
    /// What makes it special, done to usual providers.
    special: fn(&mut [Provider], &mut Pcg64Mcg, f64),
}

/// All populations, in the order of the tables.
pub const POPULATIONS: &[Population] = &[
    Population {
        name: "ten",
        about: "10 providers, nothing special",
        size: 10,
        rate: 3.0,
        special: |_, _, _| {},
        ..USUAL
    },
    Population {
        name: "fifty",
        about: "50 providers, nothing special",
        size: 50,
        rate: 6.0,
        special: |_, _, _| {},
        ..USUAL
    },
    Population {
        name: "brown-outs",
        about: "each is 3 to 10 times slower for 1 to 5 minutes of every 15, with up to 50 % errors and 10 % cut streams",
        size: 30,
        rate: 5.0,
        special: brown_outs,
        ..USUAL
    },
    Population {
        name: "price war",
        about: "each changes its price every few minutes, to between 0.4 and 2 times the usual",
        special: price_war,
        ..USUAL
    },
    Population {
        name: "newcomers",
        about: "half appear during the day; a third of those are cheap and fast, a third cheap and bad",
        size: 30,
        rate: 5.0,
        special: newcomers,
        ..USUAL
    },
    Population {
        name: "rate limits",
        about: "the cheaper 12 let in one request every 2 to 10 seconds, half of them with `Retry-After`",
        special: rate_limits,
        ..USUAL
    },
    Population {
        name: "liars",
        about: "6 post 0.6 times the usual price and bill 1.6 to 3 tokens for each",
        special: liars,
        ..USUAL
    },
    Population {
        name: "dropper",
        about: "one of 10 is faster than most, at 0.6 times the lowest price, and cuts 5 % of its streams",
        size: 10,
        rate: 3.0,
        special: dropper,
        ..USUAL
    },
    Population {
        name: "outages together",
        about: "3 groups of 10 fail as one, several times for 1 to 4 minutes, refusing or silent",
        size: 30,
        rate: 5.0,
        special: outages_together,
        ..USUAL
    },
    Population {
        name: "fading",
        about: "the best 8 become up to 6 times slower over a quarter of the day, then recover",
        special: fading,
        ..USUAL
    },
    Population {
        name: "crowd",
        about: "the load of the peak is about what all together are built for",
        size: 15,
        rate: 8.0,
        capacity: 22.0,
        special: |_, _, _| {},
        ..USUAL
    },
    Population {
        name: "hundred",
        about: "100 providers, a share of each trouble above",
        size: 100,
        rate: 8.0,
        special: everything,
        ..USUAL
    },
    Population {
        name: "five hundred",
        about: "500 providers, a share of each trouble above",
        size: 500,
        rate: 12.0,
        special: everything,
        ..USUAL
    },
];

/// What a population has unless it says otherwise.
const USUAL: Population =
    Population { name: "", about: "", size: 20, rate: 4.0, horizon: 3_600.0, capacity: 60.0, special: |_, _, _| {} };

impl Population {
    /// Its providers, with what happens to them until `horizon`.
    pub fn providers(&self, seed: u64, horizon: f64) -> Vec<Provider> {
        let mut rng = at(seed, Purpose::Providers, 0, 0);
        let mut providers: Vec<Provider> = (0..self.size).map(|_| usual(self.capacity, &mut rng)).collect();
        (self.special)(&mut providers, &mut at(seed, Purpose::Episodes, 0, 0), horizon);
        providers
    }
}

/// A usual provider. Better ones tend to cost more.
pub fn usual(capacity: f64, rng: &mut Pcg64Mcg) -> Provider {
    let better = lognormal(rng, 1.0, 0.3);
    let dearer = lognormal(rng, 1.0, 0.3) * better.sqrt();
    let cached = [0.1, 0.25, 0.5, 1.0][rng.random_range(0..4)];
    let input = (300_000.0 * dearer * lognormal(rng, 1.0, 0.1)).round();
    let output = (1_200_000.0 * dearer * lognormal(rng, 1.0, 0.1)).round();
    Provider {
        price: Price::basic(input as u64, (input * cached) as u64, output as u64, 0),
        ttft: lognormal(rng, 0.5, 0.45) / better.sqrt(),
        prefill: lognormal(rng, 6_000.0, 0.4),
        speed: lognormal(rng, 60.0, 0.35) * better,
        jitter: rng.random_range(0.1..0.4),
        capacity: lognormal(rng, capacity, 0.5).max(2.0),
        others: (rng.random_range(0.1..0.5), rng.random_range(0.0..0.3), rng.random()),
        errors: exponential(rng, 0.004).min(0.1),
        hangs: exponential(rng, 0.000_1).min(0.01),
        cuts: exponential(rng, 0.001).min(0.02),
        limit: None,
        cache: (cached < 1.0).then_some(300.0),
        inflation: 1.0,
        listed: 0.0,
        episodes: Vec::new(),
    }
}

/// Episodes of `effect` that follow each other with pauses of `pause` seconds on average.
fn now_and_then(
    provider: &mut Provider,
    rng: &mut Pcg64Mcg,
    horizon: f64,
    (pause, lasts): (f64, std::ops::Range<f64>),
    effect: impl Fn(&mut Pcg64Mcg) -> Effect,
) {
    let mut from = exponential(rng, pause);
    while from < horizon {
        let until = from + rng.random_range(lasts.clone());
        provider.episodes.push(Episode { from, until, effect: effect(rng) });
        from = until + exponential(rng, pause);
    }
}

fn trouble(rng: &mut Pcg64Mcg) -> Effect {
    Effect::Trouble {
        slower: rng.random_range(3.0..10.0),
        errors: rng.random_range(0.0..0.5),
        cuts: rng.random_range(0.0..0.1),
    }
}

fn brown_outs(providers: &mut [Provider], rng: &mut Pcg64Mcg, horizon: f64) {
    for provider in providers {
        now_and_then(provider, rng, horizon, (720.0, 60.0..300.0), trouble);
    }
}

fn price_war(providers: &mut [Provider], rng: &mut Pcg64Mcg, horizon: f64) {
    for provider in providers {
        now_and_then(provider, rng, horizon, (240.0, 120.0..600.0), |rng| {
            let cut = rng.random::<f64>() < 0.75;
            Effect::Price { factor: if cut { rng.random_range(0.4..0.9) } else { rng.random_range(1.2..2.0) } }
        });
    }
}

fn newcomers(providers: &mut [Provider], rng: &mut Pcg64Mcg, horizon: f64) {
    let half = providers.len() / 2;
    for (index, provider) in providers[half..].iter_mut().enumerate() {
        provider.listed = rng.random_range(0.1..0.8) * horizon;
        match index % 3 {
            0 => {
                provider.price = scaled(&provider.price, 0.6);
                provider.speed *= 1.5;
            }
            1 => {
                provider.price = scaled(&provider.price, 0.5);
                provider.speed *= 0.3;
                provider.ttft *= 3.0;
                provider.errors = 0.3;
                provider.cuts = 0.1;
            }
            _ => {}
        }
    }
}

/// Indices from cheapest to dearest.
fn by_price(providers: &[Provider]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..providers.len()).collect();
    order.sort_by_key(|&i| 3 * providers[i].price.input + providers[i].price.output);
    order
}

fn limit(rng: &mut Pcg64Mcg) -> Limit {
    Limit { rate: rng.random_range(0.1..0.5), burst: rng.random_range(3.0..10.0), says_when: rng.random() }
}

fn rate_limits(providers: &mut [Provider], rng: &mut Pcg64Mcg, _: f64) {
    for index in by_price(providers).into_iter().take(12) {
        providers[index].limit = Some(limit(rng));
    }
}

fn lie(provider: &mut Provider, rng: &mut Pcg64Mcg) {
    provider.price = scaled(&provider.price, 0.6);
    provider.inflation = rng.random_range(1.6..3.0);
}

fn liars(providers: &mut [Provider], rng: &mut Pcg64Mcg, _: f64) {
    providers.iter_mut().take(6).for_each(|provider| lie(provider, rng));
}

fn drop_streams(provider: &mut Provider, price: &Price) {
    provider.price = scaled(price, 0.6);
    provider.cuts = 0.05;
    provider.speed = provider.speed.max(70.0);
}

fn dropper(providers: &mut [Provider], _: &mut Pcg64Mcg, _: f64) {
    let cheapest = providers[by_price(providers)[0]].price;
    drop_streams(&mut providers[0], &cheapest);
}

fn outages_together(providers: &mut [Provider], rng: &mut Pcg64Mcg, horizon: f64) {
    for group in 0..3 {
        let mut shared = providers[group].clone();
        now_and_then(&mut shared, rng, horizon, (900.0, 60.0..240.0), |rng| Effect::Down { silent: rng.random() });
        providers.iter_mut().skip(group).step_by(3).for_each(|provider| provider.episodes.clone_from(&shared.episodes));
    }
}

fn fade(provider: &mut Provider, rng: &mut Pcg64Mcg, horizon: f64) {
    let from = rng.random_range(0.1..0.6) * horizon;
    let slower = rng.random_range(3.0..6.0);
    provider.episodes.push(Episode { from, until: from + 0.25 * horizon, effect: Effect::Fading { slower } });
}

fn fading(providers: &mut [Provider], rng: &mut Pcg64Mcg, horizon: f64) {
    // Value for money and time of a usual answer.
    let value = |p: &Provider| (p.price.output as f64 / 1.2e6) + (p.ttft + 300.0 / p.speed) / 6.0;
    let mut order: Vec<usize> = (0..providers.len()).collect();
    order.sort_by(|&a, &b| value(&providers[a]).total_cmp(&value(&providers[b])));
    order.into_iter().take(8).for_each(|index| fade(&mut providers[index], rng, horizon));
}

/// One provider in five has no trouble, each of the others one of eight.
fn everything(providers: &mut [Provider], rng: &mut Pcg64Mcg, horizon: f64) {
    let shared = {
        let mut one = providers[0].clone();
        now_and_then(&mut one, rng, horizon, (900.0, 60.0..240.0), |rng| Effect::Down { silent: rng.random() });
        one.episodes
    };
    for (index, provider) in providers.iter_mut().enumerate() {
        match index % 10 {
            0 => brown_outs(std::slice::from_mut(provider), rng, horizon),
            1 => price_war(std::slice::from_mut(provider), rng, horizon),
            2 => provider.listed = rng.random_range(0.1..0.8) * horizon,
            3 => provider.limit = Some(limit(rng)),
            4 => lie(provider, rng),
            5 => {
                let price = provider.price;
                drop_streams(provider, &price);
            }
            6 => provider.episodes.clone_from(&shared),
            7 => fade(provider, rng, horizon),
            _ => {}
        }
    }
}
