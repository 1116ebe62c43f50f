//! The distribution of regret over drawn markets, and what is claimed of it.

use crate::stats::{Mean, quantile};
use crate::tournament::Row;

/// Place of the oracle among the specs of a tournament.
pub const ORACLE: usize = 0;
/// The scorer's place.
pub const STEAM: usize = 1;
/// The first baseline's place.
pub const BASELINES: usize = 2;
/// Share of the markets that are the worst.
const WORST: f64 = 0.05;

/// How far a policy is from the oracle, over markets, in dollars for each dollar that a market's middle takes.
#[derive(Clone, Copy, Debug)]
pub struct Regret {
    /// The mean over markets, with its 95 % interval.
    pub mean: Mean,
    /// The median.
    pub median: f64,
    /// The mean of the worst twentieth of the markets.
    pub worst: f64,
    /// Dollars a thousand requests, the mean over markets.
    pub usd: f64,
    /// Share of requests served, the mean over markets.
    pub success: f64,
}

/// The regret of the policy in place `spec`.
pub fn regret(rows: &[Row], spec: usize) -> Regret {
    let of = |row: &Row| row.runs[spec].loss - row.runs[ORACLE].loss;
    let mut each: Vec<f32> = rows.iter().map(|row| of(row) as f32).collect();
    let mean = Mean::of(&rows.iter().map(of).collect::<Vec<_>>());
    each.sort_by(f32::total_cmp);
    let worst = &each[each.len() - ((each.len() as f64 * WORST).ceil() as usize).clamp(1, each.len())..];
    let count = rows.len() as f64;
    Regret {
        mean,
        median: quantile(&each, 0.5),
        worst: worst.iter().copied().map(f64::from).sum::<f64>() / worst.len() as f64,
        usd: rows.iter().map(|row| of(row) * row.runs[spec].middle).sum::<f64>() / count * 1e3,
        success: rows.iter().map(|row| row.runs[spec].success).sum::<f64>() / count,
    }
}

/// The place of the baseline with the lowest mean regret.
pub fn best_baseline(rows: &[Row]) -> usize {
    let places = BASELINES..rows.first().map_or(0, |row| row.runs.len());
    places.min_by(|&a, &b| regret(rows, a).mean.mean.total_cmp(&regret(rows, b).mean.mean)).unwrap_or(ORACLE)
}
