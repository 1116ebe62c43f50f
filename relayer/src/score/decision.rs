//! A decision as it was made: what went into it, from which what came out can be computed again.

use super::ask::{Ask, Draws, Measured, Ranking, ScoreLine};
use super::coefficients::Coefficients;
use super::decide::decide;
use super::market::Field;
use super::order::HEAD;
use super::verdict::Verdict;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// One choice. The lines behind it are only computed when asked for.
#[derive(Clone, Debug)]
pub struct Decision {
    coefficients: Arc<Coefficients>,
    ask: Ask,
    /// `None` without candidates.
    field: Option<Field>,
    draws: Draws,
    head: SmallVec<[u32; HEAD]>,
}

impl Decision {
    pub(super) fn new(coefficients: &Arc<Coefficients>, ask: &Ask, field: Option<Field>, draws: Draws) -> Self {
        let mut head = SmallVec::new();
        if let Some(field) = &field {
            let verdict = Verdict::of(coefficients, ask, field, &draws);
            if let Some(best) = verdict.best {
                field.lead(ask.sort, best);
            }
            head = verdict.head();
        }
        Self { coefficients: coefficients.clone(), ask: *ask, field, draws, head }
    }

    /// The request.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The order in which candidates are tried, `most` of them: indices into the candidates. The first eight are ready,
    /// more are computed.
    pub fn order(&self, most: usize) -> Vec<usize> {
        if most <= self.head.len() || self.head.len() < HEAD {
            return self.head.iter().map(|&index| index as usize).take(most).collect();
        }
        let mut order = self.ranking().order;
        order.truncate(most);
        order
    }

    /// What was known of each candidate.
    pub fn measured(&self) -> Vec<Measured> {
        self.field.as_ref().map(Field::measured).unwrap_or_default()
    }

    /// Order, objectives and shares.
    pub fn ranking(&self) -> Ranking {
        decide(&self.coefficients, &self.ask, &self.measured(), &self.draws)
    }

    /// Everything, to be stored.
    pub fn record(&self) -> Record {
        let measured = self.measured();
        let ranking = decide(&self.coefficients, &self.ask, &measured, &self.draws);
        Record { coefficients: *self.coefficients, ask: self.ask, measured, draws: self.draws, ranking }
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
