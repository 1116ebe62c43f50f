//! What is run: a drawn market, one with recorded requests, or a scene. Every process that takes part is given its name and
//! makes the same market of it.

use crate::scenes::Scene;
use anyhow::{Context, Result};
use rand::Rng;
use std::fmt;
use std::str::FromStr;
use steam_simulator::draw::{Purpose, at};
use steam_simulator::market::{Market, drawn};
use steam_simulator::metrics::Summary;
use steam_simulator::policy::Router;

/// Share of the requests that the oracle serves in a market that counts: in others there is nothing to choose.
const SERVABLE: f64 = 0.985;
/// Seconds that the market's middle takes for the mean request at most: of longer ones two minutes have too few.
const LONGEST: f64 = 12.0;
/// Answers under way at once of one policy, on average, at most: what two cores can stream for all policies.
const AT_ONCE: f64 = 25.0;
/// Requests at least: of fewer nothing can be learned.
const FEWEST: usize = 100;

/// What is run.
#[derive(Clone, Debug, PartialEq)]
pub enum Scenario {
    /// The market of a seed, for so many seconds.
    Drawn(u64, f64),
    /// The same with recorded requests.
    Recorded(u64, f64),
    /// A market made for one question.
    Scene(Scene),
}

impl Scenario {
    /// Its market.
    pub fn market(&self) -> Market {
        match self {
            Self::Drawn(seed, seconds) => drawn::lasting(*seed, *seconds),
            Self::Recorded(seed, seconds) => drawn::recorded(*seed, *seconds),
            Self::Scene(scene) => scene.market(),
        }
    }

    /// Models in it: provider and conversation `n` are of model `n` modulo that.
    pub fn models(&self) -> usize {
        match self {
            Self::Drawn(..) | Self::Recorded(..) => 1,
            Self::Scene(scene) => scene.models(),
        }
    }

    /// The scenario in place `number` of those drawn from `seed`: the first that two minutes on one machine can tell something of.
    pub fn draw(seed: u64, number: u64, seconds: f64, recorded: bool) -> Self {
        let mut rng = at(seed, Purpose::Again, number, 0);
        loop {
            let seed = rng.random_range(0..1_000_000_000);
            let drawn = if recorded { Self::Recorded(seed, seconds) } else { Self::Drawn(seed, seconds) };
            if fits(&drawn.market()) {
                return drawn;
            }
        }
    }
}

fn fits(market: &Market) -> bool {
    let seconds = market.exchange.middle / market.exchange.second;
    let at_once = market.requests.len() as f64 / market.horizon * seconds;
    if market.requests.len() < FEWEST || seconds > LONGEST || at_once > AT_ONCE {
        return false;
    }
    Summary::of(market, &mut Router::Oracle).success >= SERVABLE
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drawn(seed, seconds) => write!(f, "drawn:{seed}:{seconds}"),
            Self::Recorded(seed, seconds) => write!(f, "recorded:{seed}:{seconds}"),
            Self::Scene(scene) => write!(f, "scene:{}", scene.name()),
        }
    }
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || format!("`{text}` is not like drawn:SEED:SECONDS, recorded:SEED:SECONDS or scene:NAME");
        let (kind, rest) = text.split_once(':').with_context(unknown)?;
        if kind == "scene" {
            return Ok(Self::Scene(Scene::named(rest)?));
        }
        let (seed, seconds) = rest.split_once(':').with_context(unknown)?;
        let (seed, seconds) = (seed.parse().with_context(unknown)?, seconds.parse().with_context(unknown)?);
        match kind {
            "drawn" => Ok(Self::Drawn(seed, seconds)),
            "recorded" => Ok(Self::Recorded(seed, seconds)),
            _ => anyhow::bail!(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_the_same_in_every_process_that_is_given_its_name() {
        let names = ["drawn:7:120", "recorded:7:12.5", "scene:crowd"];
        for name in names {
            let scenario: Scenario = name.parse().expect("a scenario");
            assert_eq!(scenario.to_string(), name);
            let again: Scenario = scenario.to_string().parse().expect("a scenario");
            assert_eq!(format!("{:?}", scenario.market()), format!("{:?}", again.market()));
        }
        for wrong in ["drawn:7", "drawn:x:1", "scene:none", "other:1:2", ""] {
            assert!(wrong.parse::<Scenario>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_drawn_fits_one_machine_and_repeats_with_its_seed() {
        let drawn = Scenario::draw(1, 0, 120.0, false);
        assert_eq!(drawn, Scenario::draw(1, 0, 120.0, false));
        assert_ne!(drawn, Scenario::draw(1, 1, 120.0, false));
        assert!(fits(&drawn.market()) && drawn.market().horizon == 120.0);
        assert!(fits(&Scenario::draw(1, 0, 120.0, true).market()));
    }
}
