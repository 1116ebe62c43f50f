//! The coefficients of the choice. The record of a choice has them, so that the choice can be computed again later.

use crate::config::Routing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How candidates are compared. Operators set them in [`Routing`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Coefficients {
    /// What the time of the market's middle is worth, in its prices.
    pub time_weight: f64,
    /// What an answer that breaks off costs, in prices of the market's middle.
    pub broken_weight: f64,
    /// By how much times are expected to grow with the load: 1 is in proportion to it.
    pub load_weight: f64,
    /// Most of the traffic that may explore, as a share.
    pub exploration: f64,
    /// For how many seconds what is learned stays true.
    pub memory: f64,
    /// Verified answers before a newcomer may have more requests under way than it has answered, and one.
    pub newcomer_answers: u32,
}

/// By how much what is usual pulls on what is learned. What a choice goes by is in its record, however it was learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Priors {
    /// On the lengths of answers, in answers.
    pub lengths: f64,
}

impl Default for Priors {
    fn default() -> Self {
        Self { lengths: 5.0 }
    }
}

impl Default for Coefficients {
    fn default() -> Self {
        Self::from(&Routing::default())
    }
}

impl From<&Routing> for Coefficients {
    fn from(routing: &Routing) -> Self {
        Self {
            time_weight: routing.time_weight,
            broken_weight: routing.broken_weight,
            load_weight: routing.load_weight,
            exploration: routing.exploration,
            memory: routing.memory,
            newcomer_answers: routing.newcomer_answers,
        }
    }
}

impl Coefficients {
    /// Each within the range in which the formulas hold: what is stored may come from anybody.
    pub fn sane(self) -> Self {
        let within = |x: f64, low: f64, high: f64| if x.is_finite() { x.clamp(low, high) } else { low };
        Self {
            time_weight: within(self.time_weight, 0.0, 100.0),
            broken_weight: within(self.broken_weight, 0.0, 1e3),
            load_weight: within(self.load_weight, 0.0, 100.0),
            exploration: within(self.exploration, 0.0, 0.5),
            memory: within(self.memory, 0.0, 3_600.0),
            newcomer_answers: self.newcomer_answers,
        }
    }
}
