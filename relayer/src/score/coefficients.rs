//! The coefficients of the choice. The record of a choice has them, so that the choice can be computed again later.

use crate::config::Routing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How candidates are compared. Operators set them in [`Routing`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Coefficients {
    /// `k`: traffic share ∝ `J^−k`. A multiple of ½, so that powers are products and square roots, which every machine
    /// rounds alike.
    pub exponent: f64,
    /// How much worse than the best, as a part of it, an objective may be for any share beyond exploration. Many that are
    /// far off would otherwise get more together than the few that are best.
    pub reach: f64,
    /// `w`: weight of time against cost.
    pub time_weight: f64,
    /// `b`: what a broken answer counts, in objectives: a request at the market's middle is `1 + w`.
    pub broken_weight: f64,
    /// `l`: by how much a provider is expected to slow down when it works on twice as much as it usually does, where
    /// that is a lot.
    pub load_weight: f64,
    /// `q`: which quantile of the measurements counts, 0 to 1.
    pub quantile: f64,
    /// The quantile that counts where throughput is asked for: its tail, not its typical case.
    pub tail_quantile: f64,
    /// `ε`: share of the traffic that may explore.
    pub exploration: f64,
    /// Most that exploration may add to the expected cost of a request, as a part of the best candidate's or of a tenth
    /// of the median, whichever is more: beside one that is almost free everybody would be too dear to look at.
    pub exploration_premium: f64,
    /// Verified answers before a newcomer gets more than its part of the exploration.
    pub newcomer_answers: u32,
    /// Share of the traffic that probes offers whose breaker is half-open, all of them together.
    pub probe_share: f64,
    /// Objectives this close are equals, between which the load decides: 0.05 is 5 %.
    pub near: f64,
    /// How much better a challenger must be than the incumbent to take the lead.
    pub hysteresis: f64,
    /// Share of a prompt's tokens expected from the cache of the offer that served its prefix last, until measured.
    pub sticky_hits: f64,
}

impl Default for Coefficients {
    fn default() -> Self {
        Self::from(&Routing::default())
    }
}

impl From<&Routing> for Coefficients {
    fn from(routing: &Routing) -> Self {
        Self {
            exponent: routing.exponent,
            reach: routing.reach,
            time_weight: routing.time_weight,
            broken_weight: routing.broken_weight,
            load_weight: routing.load_weight,
            quantile: routing.quantile,
            tail_quantile: routing.tail_quantile,
            exploration: routing.exploration,
            exploration_premium: routing.exploration_premium,
            newcomer_answers: routing.newcomer_answers,
            probe_share: routing.probe_share,
            near: routing.near,
            hysteresis: routing.hysteresis,
            sticky_hits: routing.sticky_hits,
        }
    }
}

impl Coefficients {
    /// Each within the range in which the formulas hold: what is stored may come from anybody.
    pub fn sane(self) -> Self {
        let within = |x: f64, low: f64, high: f64| if x.is_finite() { x.clamp(low, high) } else { low };
        Self {
            exponent: (within(self.exponent, 0.0, 40.0) * 2.0).round() / 2.0,
            reach: within(self.reach, 0.01, 1e9),
            time_weight: within(self.time_weight, 0.0, 100.0),
            broken_weight: within(self.broken_weight, 0.0, 1e3),
            load_weight: within(self.load_weight, 0.0, 100.0),
            quantile: within(self.quantile, 0.01, 0.99),
            tail_quantile: within(self.tail_quantile, 0.01, 0.99),
            exploration: within(self.exploration, 0.0, 0.2),
            exploration_premium: within(self.exploration_premium, 0.0, 10.0),
            newcomer_answers: self.newcomer_answers,
            probe_share: within(self.probe_share, 0.0, 0.2),
            near: within(self.near, 0.0, 1.0),
            hysteresis: within(self.hysteresis, 0.0, 0.5),
            sticky_hits: within(self.sticky_hits, 0.0, 1.0),
        }
    }
}
