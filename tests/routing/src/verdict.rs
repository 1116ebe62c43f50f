//! What is claimed of the scorer, and whether the runs bear it out.

use crate::experiment::Results;
use crate::metrics::Summary;
use crate::policy::Spec;
use crate::stats::Mean;

/// Places of the policies among the specs of an experiment: oracle and scorer first, then the baselines.
pub const ORACLE: usize = 0;
/// The scorer's place.
pub const STEAM: usize = 1;
/// The first baseline's place.
pub const BASELINES: usize = 2;

/// A baseline may have an objective this much lower before the scorer counts as beaten.
pub const TOLERANCE: f64 = 0.05;
/// The scorer's regret is at most this part of the best baseline's, over all populations.
pub const REGRET: f64 = 0.5;

/// The order of specs the verdict relies on.
pub fn specs(steam: Spec, baselines: Vec<Spec>) -> Vec<Spec> {
    [Spec::Oracle, steam].into_iter().chain(baselines).collect()
}

/// Where a claim does not hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Miss {
    /// A baseline serves more requests, beyond chance; see [`safer`].
    Success {
        /// Where.
        population: &'static str,
        /// Which.
        baseline: &'static str,
        /// By how much.
        by: Mean,
    },
    /// A baseline has an objective more than [`TOLERANCE`] below the scorer's.
    Objective {
        /// Where.
        population: &'static str,
        /// Which.
        baseline: &'static str,
        /// The scorer's over the baseline's.
        ratio: f64,
    },
    /// The regret over all populations is more than [`REGRET`] of a baseline's.
    Regret {
        /// Which.
        baseline: &'static str,
        /// The scorer's over the baseline's.
        ratio: f64,
    },
}

/// Objective above the oracle's in the same market: what not knowing the future costs.
pub fn regret(results: &Results, spec: usize) -> Mean {
    results.difference(spec, ORACLE, |s| s.objective)
}

/// Mean regret over all populations, each counting alike, by seed.
pub fn mixed_regret(all: &[Results], spec: usize) -> Mean {
    let seeds = all.first().map_or(0, |results| results.runs[ORACLE].len());
    let of_seed = |seed: usize| {
        let each = all.iter().map(|r| r.runs[spec][seed].objective - r.runs[ORACLE][seed].objective);
        each.sum::<f64>() / all.len() as f64
    };
    Mean::of(&(0..seeds).map(of_seed).collect::<Vec<_>>())
}

/// The baseline with the lowest `of`.
pub fn best_baseline(results: &Results, of: impl Fn(&Summary) -> f64 + Copy) -> usize {
    let places = BASELINES..results.runs.len();
    let best = places.min_by(|&a, &b| results.mean(a, of).mean.total_cmp(&results.mean(b, of).mean));
    best.unwrap_or(ORACLE)
}

/// Whether `baseline` serves more requests than the scorer, beyond chance: beyond the 95 % interval of the difference by
/// seed, and beyond what the numbers of failures allow. The first alone is fooled by a failure or two that fall alike on
/// few seeds.
pub fn safer(results: &Results, baseline: usize) -> bool {
    let failures = |spec: usize| results.runs[spec].iter().map(|s| (1.0 - s.success) * s.requests).sum::<f64>();
    let (steam, other) = (failures(STEAM), failures(baseline));
    // The difference of two Poisson counts has their sum as its variance; corrected for continuity, as counts are few.
    let counted = steam - other - 1.0 > 1.96 * (steam + other).sqrt();
    counted && results.difference(baseline, STEAM, |s| s.success).is_positive()
}

/// Every claim that `all` does not bear out.
pub fn misses(all: &[Results], specs: &[Spec]) -> Vec<Miss> {
    let mut misses = Vec::new();
    for (baseline, spec) in specs.iter().enumerate().skip(BASELINES) {
        for results in all {
            let population = results.population.name;
            let by = results.difference(baseline, STEAM, |s| s.success);
            if safer(results, baseline) {
                misses.push(Miss::Success { population, baseline: spec.name(), by });
            }
            let objective = |place| results.mean(place, |s: &Summary| s.objective).mean;
            let ratio = objective(STEAM) / objective(baseline);
            if ratio * (1.0 - TOLERANCE) > 1.0 {
                misses.push(Miss::Objective { population, baseline: spec.name(), ratio });
            }
        }
        let ratio = mixed_regret(all, STEAM).mean / mixed_regret(all, baseline).mean;
        if ratio > REGRET {
            misses.push(Miss::Regret { baseline: spec.name(), ratio });
        }
    }
    misses
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success { population, baseline, by } => write!(
                f,
                "{population}: {baseline} serves {:.3} ± {:.3} percentage points more requests",
                by.mean * 100.0,
                by.half * 100.0
            ),
            Self::Objective { population, baseline, ratio } => {
                write!(f, "{population}: the objective is {ratio:.3} times that of {baseline}")
            }
            Self::Regret { baseline, ratio } => write!(f, "all: the regret is {ratio:.2} times that of {baseline}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::POPULATIONS;
    use crate::search::tuned;
    use steam::score::Coefficients;

    fn summary(objective: f64, success: f64) -> Summary {
        Summary { requests: 10_000.0, cost: 1.0, p50: 1.0, p99: 1.0, first_try: 1.0, success, objective }
    }

    /// Two seeds of oracle, scorer and one baseline.
    fn misses_of(steam: [(f64, f64); 2], baseline: [(f64, f64); 2]) -> Vec<Miss> {
        let runs = [[(1.0, 1.0); 2], steam, baseline].map(|of| of.map(|(o, s)| summary(o, s)).to_vec()).to_vec();
        let results = Results { population: &POPULATIONS[0], runs };
        let specs = specs(Spec::Steam(Coefficients::default()), tuned()[..1].to_vec());
        misses(&[results], &specs)
    }

    #[test]
    fn twice_as_close_to_the_oracle_as_the_baseline_is_enough() {
        assert_eq!(misses_of([(1.2, 0.99); 2], [(1.4, 0.99); 2]), vec![]);
        let closer = misses_of([(1.21, 0.99); 2], [(1.4, 0.99); 2]);
        assert!(matches!(closer[..], [Miss::Regret { .. }]), "{closer:?}");
    }

    #[test]
    fn an_objective_beaten_by_more_than_the_tolerance_is_told() {
        let beaten = misses_of([(2.0, 0.99); 2], [(1.89, 0.99); 2]);
        assert!(matches!(beaten[0], Miss::Objective { .. }), "{beaten:?}");
        let close = misses_of([(2.0, 0.99); 2], [(1.91, 0.99); 2]);
        assert!(!close.iter().any(|miss| matches!(miss, Miss::Objective { .. })), "{close:?}");
    }

    #[test]
    fn more_success_counts_once_it_is_beyond_the_interval() {
        let sure = misses_of([(1.1, 0.99), (1.1, 0.98)], [(1.4, 0.995), (1.4, 0.985)]);
        assert!(matches!(sure[..], [Miss::Success { .. }]), "{sure:?}");
        assert_eq!(misses_of([(1.1, 0.99), (1.1, 0.98)], [(1.4, 0.999), (1.4, 0.979)]), vec![]);
        let one_in_ten_thousand = misses_of([(1.1, 0.9999), (1.1, 0.9999)], [(1.4, 1.0), (1.4, 1.0)]);
        assert_eq!(one_in_ten_thousand, vec![], "a failure on each of two seeds is chance");
        let two_each = misses_of([(1.1, 0.9998), (1.1, 0.9998)], [(1.4, 1.0), (1.4, 1.0)]);
        assert_eq!(two_each, vec![], "so are two: four of four fall on one side by chance one time in eight");
    }
}
