//! The search for settings: every policy over its own grid, on seeds that are not reported.

use crate::draw::{Purpose, at};
use crate::experiment::{TUNING_SEEDS, experiment};
use crate::market::{POPULATIONS, Population};
use crate::policy::health::Exclusion;
use crate::policy::latency::By;
use crate::policy::spec::Rule;
use crate::policy::{Spec, coefficients};
use anyhow::Result;
use rand::Rng;

/// Settings tried of each policy at most; larger grids are sampled.
const MOST: usize = 80;
/// Part of a population's usual time that a setting is tried for.
const LENGTH: f64 = 0.5;

/// The baselines with the settings that [`search`] found best over all populations.
pub fn tuned() -> Vec<Spec> {
    let baseline = |rule, failures, seconds| Spec::Baseline(rule, Exclusion { failures, seconds });
    vec![
        baseline(Rule::Random, 1, 120.0),
        baseline(Rule::RoundRobin, 1, 120.0),
        baseline(Rule::Cheapest, 1, 30.0),
        baseline(Rule::Fastest { half_life: 5.0, exploration: 0.2 }, 4, 30.0),
        baseline(Rule::InversePrice { exponent: 0.5 }, 1, 120.0),
        baseline(Rule::LowestLatency { samples: 3, buffer: 2.0, by: By::PerToken }, 4, 30.0),
        baseline(Rule::PeakEwma { decay: 30.0, per_token: true }, 1, 120.0),
    ]
}

/// Every setting of `name` that is looked at, the documented one first.
///
/// # Errors
/// Where there is no such policy.
pub fn grid(name: &str) -> Result<Vec<Spec>> {
    let rules: Vec<Rule> = match name {
        "random" => vec![Rule::Random],
        "round robin" => vec![Rule::RoundRobin],
        "cheapest" => vec![Rule::Cheapest],
        "fastest" => pairs(&[60.0, 5.0, 15.0, 240.0], &[0.02, 0.0, 0.1, 0.2])
            .map(|(half_life, exploration)| Rule::Fastest { half_life, exploration })
            .collect(),
        "inverse price" => [2.0, 0.5, 1.0, 3.0, 5.0].map(|exponent| Rule::InversePrice { exponent }).to_vec(),
        "lowest latency" => pairs(&[10, 3, 5, 30], &[0.0, 0.1, 0.25, 0.5, 1.0, 2.0])
            .flat_map(|(samples, buffer)| {
                [By::FirstToken, By::PerToken].map(|by| Rule::LowestLatency { samples, buffer, by })
            })
            .collect(),
        "peak EWMA" => pairs(&[10.0, 3.0, 30.0, 100.0], &[false, true])
            .map(|(decay, per_token)| Rule::PeakEwma { decay, per_token })
            .collect(),
        "steam" => return coefficients::grid(),
        other => anyhow::bail!(
            "no policy `{other}`: one of random, round robin, cheapest, fastest, inverse price, lowest latency, peak EWMA, steam"
        ),
    };
    let exclusions: Vec<Exclusion> = pairs(&[1, 2, 4], &[30.0, 5.0, 120.0, 300.0])
        .map(|(failures, seconds)| Exclusion { failures, seconds })
        .collect();
    Ok(rules.into_iter().flat_map(|rule| exclusions.iter().map(move |e| Spec::Baseline(rule, *e))).collect())
}

fn pairs<A: Copy, B: Copy>(a: &[A], b: &[B]) -> impl Iterator<Item = (A, B)> {
    a.iter().flat_map(move |&a| b.iter().map(move |&b| (a, b)))
}

/// The settings of `name` in the order of their mean objective over all populations, each of which counts alike.
///
/// # Errors
/// Where there is no such policy.
pub fn search(name: &str) -> Result<Vec<(Spec, f64, Vec<f64>)>> {
    let specs = sampled(grid(name)?);
    let populations: Vec<&Population> = POPULATIONS.iter().collect();
    let results = experiment(&populations, &specs, TUNING_SEEDS, LENGTH);
    let mut found: Vec<(Spec, f64, Vec<f64>)> = specs
        .into_iter()
        .enumerate()
        .map(|(place, spec)| {
            let each: Vec<f64> = results.iter().map(|r| r.mean(place, |s| s.objective).mean).collect();
            (spec, each.iter().sum::<f64>() / each.len() as f64, each)
        })
        .collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    Ok(found)
}

/// The first, and others by chance.
fn sampled(mut specs: Vec<Spec>) -> Vec<Spec> {
    let mut rng = at(0, Purpose::Search, 0, 0);
    for place in 1..specs.len().min(MOST) {
        let other = rng.random_range(place..specs.len());
        specs.swap(place, other);
    }
    specs.truncate(MOST);
    specs
}
