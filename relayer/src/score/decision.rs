//! A decision as it was made: what went into it, from which what came out can be computed again.

use super::ask::{Ask, Draws, Measured, Ranking, ScoreLine};
use super::coefficients::Coefficients;
use super::decide::decide;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One choice. The lines behind it are only computed when asked for.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(super) coefficients: Arc<Coefficients>,
    pub(super) ask: Ask,
    pub(super) measured: Vec<Measured>,
    pub(super) draws: Draws,
}

impl Decision {
    /// The request.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The order in which candidates are tried, `most` of them: indices into the candidates.
    pub fn order(&self, most: usize) -> Vec<usize> {
        let mut order = self.ranking().order;
        order.truncate(most);
        order
    }

    /// Order, objectives and shares.
    pub fn ranking(&self) -> Ranking {
        decide(&self.coefficients, &self.ask, &self.measured, &self.draws)
    }

    /// Everything, to be stored.
    pub fn record(&self) -> Record {
        Record {
            coefficients: *self.coefficients,
            ask: self.ask,
            measured: self.measured.clone(),
            draws: self.draws,
            ranking: self.ranking(),
        }
    }
}

/// A decision that anybody can check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How candidates were compared.
    pub coefficients: Coefficients,
    /// The request.
    pub ask: Ask,
    /// What was known of each candidate.
    pub measured: Vec<Measured>,
    /// The randomness.
    pub draws: Draws,
    /// What followed from all that.
    pub ranking: Ranking,
}

impl Record {
    /// Whether the ranking follows from the rest: the order exactly, the figures but for the last digits, which not
    /// every reader of JSON keeps.
    pub fn holds(&self) -> bool {
        let again = decide(&self.coefficients, &self.ask, &self.measured, &self.draws);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        let same = |(a, b): (&ScoreLine, &ScoreLine)| {
            a.offer == b.offer
                && [(a.cost, b.cost), (a.time, b.time), (a.score, b.score), (a.share, b.share)]
                    .into_iter()
                    .all(|(a, b)| close(a, b))
        };
        again.order == self.ranking.order
            && again.explored == self.ranking.explored
            && again.scores.len() == self.ranking.scores.len()
            && again.scores.iter().zip(&self.ranking.scores).all(same)
    }
}
