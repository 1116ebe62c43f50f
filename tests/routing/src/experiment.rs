//! Policies in markets, over seeds: all runs, in parallel, in the same order whatever ends first.

use crate::market::{Market, Population};
use crate::metrics::{Summary, Tally};
use crate::policy::Spec;
use crate::simulation::run;
use crate::stats::Mean;
use rayon::prelude::*;

/// Seeds for searching settings.
pub const TUNING_SEEDS: std::ops::Range<u64> = 1..5;
/// Seeds for reporting: none that a setting was chosen by.
pub const REPORTING_SEEDS: std::ops::Range<u64> = 1_001..1_011;

/// Results of all `specs` in one population: by spec, then by seed.
#[derive(Clone, Debug)]
pub struct Results {
    /// The population.
    pub population: &'static Population,
    /// By spec, then by seed.
    pub runs: Vec<Vec<Summary>>,
}

/// Runs every spec in every population with every seed, for `length` of its usual time.
pub fn experiment(
    populations: &[&'static Population],
    specs: &[Spec],
    seeds: std::ops::Range<u64>,
    length: f64,
) -> Vec<Results> {
    let seeds: Vec<u64> = seeds.collect();
    let markets = populations.iter().flat_map(|population| seeds.iter().map(move |&seed| (*population, seed)));
    let all: Vec<Vec<Summary>> = markets
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|(population, seed)| {
            let market = Market::draw(population, seed, length);
            specs.par_iter().map(|spec| summary(&market, spec)).collect()
        })
        .collect();
    let by_population = all.chunks(seeds.len()).zip(populations);
    by_population
        .map(|(of_seed, population)| Results {
            population,
            runs: (0..specs.len()).map(|spec| of_seed.iter().map(|runs| runs[spec]).collect()).collect(),
        })
        .collect()
}

/// One policy in one market.
pub fn summary(market: &Market, spec: &Spec) -> Summary {
    let mut tally = Tally::default();
    run(market, &mut spec.build(market.seed), |done| tally.add(done));
    tally.summary()
}

impl Results {
    /// `of` of the spec in place `spec`, over the seeds.
    pub fn mean(&self, spec: usize, of: impl Fn(&Summary) -> f64) -> Mean {
        Mean::of(&self.runs[spec].iter().map(of).collect::<Vec<_>>())
    }

    /// `of` of one spec minus that of another in the same market, over the seeds.
    pub fn difference(&self, spec: usize, other: usize, of: impl Fn(&Summary) -> f64) -> Mean {
        let pairs = self.runs[spec].iter().zip(&self.runs[other]);
        Mean::of(&pairs.map(|(a, b)| of(a) - of(b)).collect::<Vec<_>>())
    }
}
