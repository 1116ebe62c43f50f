//! The search for the settings of the baselines: each over its own grid, in markets that are not reported.

use crate::policy::Spec;
use crate::policy::health::Exclusion;
use crate::policy::latency::By;
use crate::policy::spec::Rule;
use crate::tournament::{TUNING_SEEDS, tournament};
use crate::verdict::{ORACLE, regret};
use anyhow::Result;
use std::ops::Range;

/// The baselines with the settings that [`search`] found best.
pub fn tuned() -> Vec<Spec> {
    let baseline = |rule, failures, seconds| Spec::Baseline(rule, Exclusion { failures, seconds });
    vec![
        baseline(Rule::Random, 1, 5.0),
        baseline(Rule::RoundRobin, 1, 5.0),
        baseline(Rule::Cheapest, 1, 30.0),
        baseline(Rule::Fastest { half_life: 5.0, exploration: 0.2 }, 1, 5.0),
        baseline(Rule::InversePrice { exponent: 1.0 }, 1, 5.0),
        baseline(Rule::LowestLatency { samples: 3, buffer: 2.0, by: By::PerToken }, 2, 5.0),
        baseline(Rule::LeastBusy, 2, 5.0),
        baseline(Rule::PeakEwma { decay: 10.0, per_token: false }, 4, 5.0),
        baseline(Rule::HealthScore, 4, 5.0),
        baseline(Rule::Learner { step: 0.2, exploration: 0.1 }, 1, 30.0),
    ]
}

/// The names of all baselines.
pub fn names() -> Vec<&'static str> {
    tuned().iter().map(Spec::name).collect()
}

/// Every setting of `name` that is looked at, the documented one first.
///
/// # Errors
/// Where there is no such baseline.
pub fn grid(name: &str) -> Result<Vec<Spec>> {
    let rules: Vec<Rule> = match name {
        "random" => vec![Rule::Random],
        "round robin" => vec![Rule::RoundRobin],
        "cheapest" => vec![Rule::Cheapest],
        "least busy" => vec![Rule::LeastBusy],
        "health score" => vec![Rule::HealthScore],
        "fastest" => pairs(&[60.0, 5.0, 15.0], &[0.02, 0.1, 0.2])
            .map(|(half_life, exploration)| Rule::Fastest { half_life, exploration })
            .collect(),
        "inverse price" => [2.0, 1.0, 4.0].map(|exponent| Rule::InversePrice { exponent }).to_vec(),
        "lowest latency" => pairs(&[10, 3], &[0.0, 0.25, 1.0, 2.0])
            .flat_map(|(samples, buffer)| {
                [By::FirstToken, By::PerToken].map(|by| Rule::LowestLatency { samples, buffer, by })
            })
            .collect(),
        "peak EWMA" => {
            pairs(&[10.0, 30.0], &[false, true]).map(|(decay, per_token)| Rule::PeakEwma { decay, per_token }).collect()
        }
        "plain learner" => pairs(&[0.1, 0.05, 0.2], &[0.05, 0.02, 0.1])
            .map(|(step, exploration)| Rule::Learner { step, exploration })
            .collect(),
        other => anyhow::bail!("no baseline `{other}`: one of {}", names().join(", ")),
    };
    let exclusions: Vec<Exclusion> =
        pairs(&[2, 1, 4], &[30.0, 5.0, 120.0]).map(|(failures, seconds)| Exclusion { failures, seconds }).collect();
    Ok(rules.into_iter().flat_map(|rule| exclusions.iter().map(move |e| Spec::Baseline(rule, *e))).collect())
}

fn pairs<A: Copy, B: Copy>(a: &[A], b: &[B]) -> impl Iterator<Item = (A, B)> {
    a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b)))
}

/// The settings of `name` and their mean regret in the markets of `seeds`, the best first.
///
/// # Errors
/// Where there is no such baseline.
pub fn search(name: &str, seeds: Range<u64>) -> Result<Vec<(Spec, f64)>> {
    debug_assert!(seeds.end <= TUNING_SEEDS.end);
    let mut specs = vec![Spec::Oracle];
    specs.extend(grid(name)?);
    let rows = tournament(&specs, seeds);
    let mut found: Vec<(Spec, f64)> = specs
        .into_iter()
        .enumerate()
        .filter(|(place, _)| *place != ORACLE)
        .map(|(place, spec)| (spec, regret(&rows, place).mean.mean))
        .collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    Ok(found)
}
