//! Staged scenes: usual markets in which one thing happens at a known time, to see how policies take it.

use crate::draw::{Purpose, at};
use crate::market::population::usual;
use crate::market::{Effect, Episode, Market, Provider, traffic};
use crate::policy::Spec;
use crate::simulation::{Done, run};
use rayon::prelude::*;

/// Providers of a scene.
const SIZE: usize = 12;
/// Requests a second.
const RATE: f64 = 5.0;
/// How long a scene lasts, in seconds.
pub const HORIZON: f64 = 1_200.0;
/// When it happens, in seconds.
pub const HAPPENS: f64 = 400.0;
/// When it is over, if it ends.
pub const OVER: f64 = 700.0;
/// Width of a point in time, in seconds.
const STEP: f64 = 15.0;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The four best of the twelve stop answering, until [`OVER`].
    Outage,
    /// The best of the twelve becomes eight times slower, until [`OVER`].
    BrownOut,
    /// A newcomer is as fast as the fastest at half of the lowest price.
    Newcomer,
}

impl Scene {
    /// The provider it is about.
    const STAR: usize = 0;

    fn market(self, seed: u64) -> Market {
        let mut rng = at(seed, Purpose::Providers, 0, 0);
        let mut providers: Vec<Provider> = (0..SIZE).map(|_| usual(60.0, &mut rng)).collect();
        let value = |p: &Provider| (p.price.output as f64 / 1.2e6) + (p.ttft + 300.0 / p.speed) / 6.0;
        providers.sort_by(|a, b| value(a).total_cmp(&value(b)));
        let episode = |effect| Episode { from: HAPPENS, until: OVER, effect };
        match self {
            Self::Outage => {
                let outage = episode(Effect::Down { silent: true });
                providers.iter_mut().take(4).for_each(|provider| provider.episodes.push(outage));
            }
            Self::BrownOut => {
                let slow = Effect::Trouble { slower: 8.0, errors: 0.0, cuts: 0.0 };
                providers[Self::STAR].episodes.push(episode(slow));
            }
            Self::Newcomer => {
                let lowest = providers.iter().map(|p| p.price).min_by_key(|p| 3 * p.input + p.output);
                let fastest = providers.iter().map(|p| p.speed).fold(0.0, f64::max);
                let star = &mut providers[Self::STAR];
                star.price = lowest.map_or(star.price, |price| crate::market::provider::scaled(&price, 0.5));
                (star.speed, star.listed) = (fastest, HAPPENS);
            }
        }
        Market::of(seed, providers, traffic::requests(RATE, HORIZON, seed), HORIZON)
    }

    /// What is shown of a request: its objective, or whether the provider it is about served it.
    fn shown(self, done: &Done) -> f64 {
        match self {
            Self::Outage => done.objective,
            Self::BrownOut | Self::Newcomer => f64::from(u8::from(done.provider == Self::STAR)),
        }
    }

    /// The mean of what is shown, for each policy by time, over `seeds`.
    pub fn timelines(self, specs: &[Spec], seeds: std::ops::Range<u64>) -> Vec<Vec<(f64, f64)>> {
        let markets: Vec<Market> = seeds.map(|seed| self.market(seed)).collect();
        specs.par_iter().map(|spec| self.timeline(spec, &markets)).collect()
    }

    fn timeline(self, spec: &Spec, markets: &[Market]) -> Vec<(f64, f64)> {
        let mut bins = vec![(0.0, 0.0); (HORIZON / STEP) as usize];
        for market in markets {
            run(market, &mut spec.build(market.seed), |done| {
                if let Some((sum, count)) = bins.get_mut((done.at / STEP) as usize) {
                    *sum += self.shown(done);
                    *count += 1.0;
                }
            });
        }
        let points = bins.into_iter().enumerate().filter(|(_, (_, count))| *count > 0.0);
        points.map(|(bin, (sum, count))| ((bin as f64 + 0.5) * STEP, sum / count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_leaves_at_once_who_stops_answering_and_takes_up_a_better_newcomer() {
        let of = |scene: Scene| scene.timelines(&[Spec::Oracle], 1..2).remove(0);
        let newcomer = of(Scene::Newcomer);
        let share = |line: &[(f64, f64)], from: f64, until: f64| {
            let within: Vec<f64> = line.iter().filter(|p| (from..until).contains(&p.0)).map(|p| p.1).collect();
            within.iter().sum::<f64>() / within.len() as f64
        };
        assert_eq!(share(&newcomer, 0.0, HAPPENS - STEP), 0.0);
        assert!(share(&newcomer, HAPPENS + STEP, HORIZON) > 0.5);
        let brown_out = of(Scene::BrownOut);
        assert!(share(&brown_out, HAPPENS + STEP, OVER - STEP) < share(&brown_out, 0.0, HAPPENS - STEP) / 2.0);
    }
}
