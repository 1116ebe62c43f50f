//! Policies in drawn markets: all runs, in parallel, in the same order whatever ends first.

use crate::draw::{Purpose, at};
use crate::market::{Market, drawn};
use crate::metrics::Summary;
use crate::policy::{Router, Spec};
use rand::Rng;
use rayon::prelude::*;
use std::ops::Range;

/// Seeds of markets that settings are chosen by: none of them is reported.
pub const TUNING_SEEDS: Range<u64> = 1..121;

/// Share of the requests that the oracle serves in a market that counts.
const SERVABLE: f64 = 0.985;

/// One market: the run of each policy, in the order of the specs.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the market was drawn from.
    pub seed: u64,
    /// The same, unless it was drawn again: see [`servable`].
    pub drawn: u64,
    /// By spec.
    pub runs: Vec<Summary>,
}

/// Runs every spec in the market of every seed.
pub fn tournament(specs: &[Spec], seeds: Range<u64>) -> Vec<Row> {
    let seeds: Vec<u64> = seeds.collect();
    seeds
        .into_par_iter()
        .map(|seed| {
            let market = servable(seed);
            let drawn = market.seed;
            Row { seed, drawn, runs: specs.iter().map(|spec| Summary::of(&market, &mut spec.build(seed))).collect() }
        })
        .collect()
}

/// The first market drawn from `seed` in which the oracle serves enough: in others there is nothing to choose.
pub fn servable(seed: u64) -> Market {
    let mut market = drawn::market(seed);
    let mut again = at(seed, Purpose::Again, 0, 0);
    while Summary::of(&market, &mut Router::Oracle).success < SERVABLE {
        market = drawn::market(again.random());
    }
    market
}
