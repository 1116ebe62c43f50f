//! Markets nobody tuned for: everything that describes one is itself drawn by the seed, from ranges that are wide on
//! purpose. `range` is uniform and `scale` is uniform in the logarithm.

use super::provider::{Tail, scaled};
use super::traffic::{self, Workload};
use super::{Effect, Episode, Limit, Market, Provider, Request, recording};
use crate::draw::{Purpose, at, exponential};
use crate::stats::median;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use steam_protocol::units::Price;

/// Requests of a market, about.
const REQUESTS: f64 = 2_400.0;
/// How long a market lasts, in seconds.
const LASTS: (f64, f64) = (240.0, 2_400.0);

/// What kind of market it is: parameters of the distributions that its providers are drawn from.
#[derive(Clone, Debug)]
struct Kind {
    /// Spread of prices, of times to the first token and of speeds: the lognormals' sigmas.
    spread: [f64; 3],
    /// How much better providers are dearer, −1 to 1.
    dearer: f64,
    /// How much those with an early first token also write fast, −1 to 1.
    together: f64,
    price: f64,
    output_ratio: f64,
    ttft: f64,
    prefill: f64,
    speed: f64,
    jitter: f64,
    capacity: f64,
    others: f64,
    /// Mean rates of errors, hangs and cut answers.
    failures: [f64; 3],
    /// Shares of providers with each trouble.
    shares: Shares,
}

/// Shares of the providers that have a trouble, 0 to 1.
#[derive(Clone, Debug)]
struct Shares {
    tails: f64,
    failing: f64,
    limited: f64,
    crowded: f64,
    liars: f64,
    late: f64,
    brown: f64,
    slow: f64,
    fading: f64,
    repriced: f64,
    outages: f64,
}

/// The market of `seed`.
pub fn market(seed: u64) -> Market {
    drawn((seed, seed), None, None)
}

/// The market of `seed` with other requests, outages and luck, as `luck` draws them.
pub fn again(seed: u64, luck: u64) -> Market {
    drawn((seed, luck), None, None)
}

/// The market of `seed` as it would be if it lasted `horizon` seconds, for as many requests as come in that time.
pub fn lasting(seed: u64, horizon: f64) -> Market {
    drawn((seed, seed), Some(horizon), None)
}

/// The market of `seed`, lasting `horizon` seconds, with requests that somebody recorded: their number, moments and lengths.
pub fn recorded(seed: u64, horizon: f64) -> Market {
    drawn((seed, seed), Some(horizon), Some(recording::requests(seed, horizon)))
}

fn drawn((seed, luck): (u64, u64), lasts: Option<f64>, recorded: Option<Vec<Request>>) -> Market {
    let mut rng = at(seed, Purpose::Market, 0, 0);
    let rate = scale(&mut rng, 0.25, 12.0);
    let horizon = lasts.unwrap_or_else(|| (REQUESTS / rate).clamp(LASTS.0, LASTS.1));
    let mut workload = workload(&mut rng, rate);
    let requests = match recorded {
        Some(requests) => {
            workload.rate = requests.len() as f64 / horizon;
            workload.output.0 = median(requests.iter().map(|request| f64::from(request.output)));
            requests
        }
        None => traffic::requests(&workload, horizon, luck),
    };
    let size = scale(&mut rng, 2.0, 40.0).round() as usize;
    let kind = kind(&mut rng, &workload, size);
    let mut providers: Vec<Provider> = (0..size).map(|_| provider(&kind, &mut rng)).collect();
    let mut rng = at(luck, Purpose::Episodes, 0, 0);
    troubles(&mut providers, &kind.shares, workload.rate, horizon, &mut rng);
    // Somebody is there from the beginning.
    providers[0].listed = 0.0;
    Market::of(luck, providers, requests, horizon)
}

fn workload(rng: &mut Pcg64Mcg, rate: f64) -> Workload {
    Workload {
        rate,
        swing: rng.random_range(0.0..0.9),
        continued: rng.random_range(0.0..0.9),
        streamed: rng.random_range(0.4..1.0),
        limited: rng.random_range(0.0..0.8),
        generous: scale(rng, 1.2, 20.0),
        fresh: (scale(rng, 60.0, 6_000.0), rng.random_range(0.3..1.6)),
        added: (scale(rng, 20.0, 1_500.0), rng.random_range(0.3..1.3)),
        output: (scale(rng, 15.0, 1_200.0), rng.random_range(0.2..1.3)),
    }
}

fn kind(rng: &mut Pcg64Mcg, workload: &Workload, size: usize) -> Kind {
    let ttft = scale(rng, 0.15, 2.5);
    let speed = scale(rng, 20.0, 200.0);
    let at_once = workload.rate * (ttft + workload.output.0 * 1.3 / speed);
    // What all are built for, in multiples of what is asked.
    let room = scale(rng, 2.0, 60.0);
    let mut share =
        |likely: f64, most: f64| if rng.random::<f64>() < likely { rng.random_range(0.0..most) } else { 0.0 };
    let shares = Shares {
        tails: share(0.4, 0.7),
        failing: share(0.4, 0.5),
        limited: share(0.35, 0.8),
        crowded: share(0.25, 0.8),
        liars: share(0.2, 0.4),
        late: share(0.35, 0.6),
        brown: share(0.35, 0.8),
        slow: share(0.35, 0.8),
        fading: share(0.2, 0.5),
        repriced: share(0.25, 0.8),
        outages: share(0.35, 0.8),
    };
    Kind {
        spread: [scale(rng, 0.05, 0.8), scale(rng, 0.1, 1.0), scale(rng, 0.1, 0.8)],
        dearer: rng.random_range(-0.5..1.0),
        together: rng.random_range(-0.9..0.9),
        price: scale(rng, 30_000.0, 5_000_000.0),
        output_ratio: rng.random_range(1.0..6.0),
        ttft,
        prefill: scale(rng, 1_500.0, 30_000.0),
        speed,
        jitter: scale(rng, 0.05, 0.7),
        capacity: (room * at_once / size as f64).max(1.5),
        others: rng.random_range(0.0..0.5),
        failures: [scale(rng, 2e-4, 0.02), scale(rng, 1e-5, 2e-3), scale(rng, 1e-4, 5e-3)],
        shares,
    }
}

fn provider(kind: &Kind, rng: &mut Pcg64Mcg) -> Provider {
    let [early, own, noise, reading, size, input] = std::array::from_fn(|_| StandardNormal.sample(rng));
    let mix = |a: f64, b: f64, with: f64| with * a + (1.0 - with * with).sqrt() * b;
    let fast: f64 = mix(early, own, kind.together);
    let dear = mix((early + fast) / 1.5, noise, kind.dearer);
    let price = kind.price * (kind.spread[0] * dear).exp();
    let input = (price * (0.1 * input).exp()).round();
    let cached = [0.1, 0.25, 0.5, 1.0][rng.random_range(0..4)];
    Provider {
        price: Price::basic(input as u64, (input * cached) as u64, (price * kind.output_ratio).round() as u64, 0),
        ttft: kind.ttft * (-kind.spread[1] * early).exp(),
        prefill: kind.prefill * (0.4 * reading).exp(),
        speed: kind.speed * (kind.spread[2] * fast).exp(),
        jitter: kind.jitter * rng.random_range(0.5..1.5),
        tail: None,
        capacity: (kind.capacity * (0.5 * size).exp()).max(1.0),
        at_once: None,
        others: (kind.others * rng.random_range(0.3..1.7), rng.random_range(0.0..0.3), rng.random()),
        errors: exponential(rng, kind.failures[0]).min(0.1),
        hangs: exponential(rng, kind.failures[1]).min(0.01),
        cuts: exponential(rng, kind.failures[2]).min(0.03),
        limit: None,
        cache: (cached < 1.0).then(|| rng.random_range(60.0..600.0)),
        inflation: 1.0,
        listed: 0.0,
        episodes: Vec::new(),
    }
}

fn troubles(all: &mut [Provider], shares: &Shares, rate: f64, horizon: f64, rng: &mut Pcg64Mcg) {
    let together = outages(rng, horizon);
    let per_provider = rate / all.len() as f64;
    for provider in all {
        let mut has = |share: f64| rng.random::<f64>() < share;
        let [tails, failing, limited, crowded, liars, late] =
            [shares.tails, shares.failing, shares.limited, shares.crowded, shares.liars, shares.late].map(&mut has);
        let [brown, slow, fading, repriced, down] =
            [shares.brown, shares.slow, shares.fading, shares.repriced, shares.outages].map(&mut has);
        if tails {
            provider.tail = Some(Tail { share: scale(rng, 0.02, 0.35), seconds: scale(rng, 1.0, 12.0) });
        }
        if failing {
            let share = scale(rng, 0.03, 0.5);
            *if rng.random() { &mut provider.errors } else { &mut provider.cuts } = share;
            // A trap has a bait.
            tempt(provider, rng);
        }
        if limited {
            let rate = (rate.min(4.0 * per_provider) * scale(rng, 0.1, 2.0)).max(0.02);
            provider.limit = Some(Limit { rate, burst: rng.random_range(1.0..15.0), says_when: rng.random() });
        }
        if crowded {
            provider.at_once = Some((provider.capacity * scale(rng, 0.1, 1.0)).ceil() as u32);
        }
        if liars {
            provider.inflation = rng.random_range(1.2..3.0);
            provider.price = scaled(&provider.price, rng.random_range(0.4..0.9));
        }
        if late {
            provider.listed = rng.random_range(0.05..0.7) * horizon;
            if rng.random() {
                tempt(provider, rng);
            }
        }
        let lasts = (scale(rng, 60.0, 600.0), 20.0..scale(rng, 30.0, 300.0));
        if brown {
            now_and_then(provider, rng, horizon, &lasts, trouble);
        }
        if slow {
            now_and_then(provider, rng, horizon, &lasts, |rng| Effect::Trouble {
                slower: scale(rng, 2.0, 15.0),
                errors: 0.0,
                cuts: 0.0,
            });
        }
        if fading {
            let from = rng.random_range(0.1..0.7) * horizon;
            let effect = Effect::Fading { slower: scale(rng, 2.0, 8.0) };
            provider.episodes.push(Episode { from, until: from + 0.25 * horizon, effect });
        }
        if repriced {
            now_and_then(provider, rng, horizon, &lasts, |rng| Effect::Price { factor: scale(rng, 0.4, 2.5) });
        }
        if down {
            provider.episodes.extend(together[rng.random_range(0..together.len())].iter().copied());
        }
    }
}

/// Cheaper and faster than it would be.
fn tempt(provider: &mut Provider, rng: &mut Pcg64Mcg) {
    provider.price = scaled(&provider.price, rng.random_range(0.5..1.0));
    provider.speed *= rng.random_range(1.0..1.7);
    provider.ttft /= rng.random_range(1.0..1.7);
}

fn trouble(rng: &mut Pcg64Mcg) -> Effect {
    Effect::Trouble {
        slower: scale(rng, 1.5, 10.0),
        errors: rng.random_range(0.0..0.6),
        cuts: rng.random_range(0.0..0.15),
    }
}

/// Outages of groups that fail as one.
fn outages(rng: &mut Pcg64Mcg, horizon: f64) -> Vec<Vec<Episode>> {
    (0..rng.random_range(1..4))
        .map(|_| {
            let (pause, longest) = (scale(rng, 100.0, 900.0), scale(rng, 30.0, 240.0));
            let mut group = Vec::new();
            let mut from = exponential(rng, pause);
            while from < horizon {
                let until = from + rng.random_range(10.0..longest);
                group.push(Episode { from, until, effect: Effect::Down { silent: rng.random() } });
                from = until + exponential(rng, pause);
            }
            group
        })
        .collect()
}

fn now_and_then(
    provider: &mut Provider,
    rng: &mut Pcg64Mcg,
    horizon: f64,
    (pause, lasts): &(f64, std::ops::Range<f64>),
    effect: impl Fn(&mut Pcg64Mcg) -> Effect,
) {
    let mut from = exponential(rng, *pause);
    while from < horizon {
        let until = from + rng.random_range(lasts.clone());
        provider.episodes.push(Episode { from, until, effect: effect(rng) });
        from = until + exponential(rng, *pause);
    }
}

/// Uniform in the logarithm.
fn scale(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low * (high / low).powf(rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markets_differ_widely_and_each_can_be_served() {
        let markets: Vec<Market> = (1..60).map(market).collect();
        let sizes: Vec<usize> = markets.iter().map(|m| m.providers.len()).collect();
        assert!(sizes.iter().min() < Some(&4) && sizes.iter().max() > Some(&25), "{sizes:?}");
        let has = |of: fn(&Provider) -> bool| markets.iter().filter(|m| m.providers.iter().any(of)).count();
        let traps = [
            has(|p| p.tail.is_some()),
            has(|p| p.errors > 0.15 || p.cuts > 0.15),
            has(|p| p.limit.is_some()),
            has(|p| p.at_once.is_some()),
            has(|p| p.inflation > 1.0),
            has(|p| p.listed > 0.0),
            has(|p| p.episodes.iter().any(|e| matches!(e.effect, Effect::Down { .. }))),
        ];
        assert!(traps.iter().all(|&markets| (5..50).contains(&markets)), "{traps:?}");
        for market in &markets {
            assert!((150..6_000).contains(&market.requests.len()), "{}", market.requests.len());
            assert!(market.providers.iter().any(|p| p.listed == 0.0));
        }
    }
}
