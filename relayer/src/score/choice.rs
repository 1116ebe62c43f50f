//! One choice among the offers of a model, and its record: the record holds everything that the choice depends on, so that
//! anybody can make the choice again.

use super::ask::{Ask, CandidateScore, Draws, Measured, Ranking, Terms};
use super::coefficients::Coefficients;
use super::decide::decide;
use super::evaluation::Evaluation;
use super::late;
use super::market::MarketCandidates;
use super::order::HEAD;
use crate::chain::Pubkey;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// One choice. The evaluation of each candidate is computed only when it is asked for.
#[derive(Clone, Debug)]
pub struct Choice {
    coefficients: Arc<Coefficients>,
    ask: Ask,
    terms: Terms,
    /// `None` without candidates.
    candidates: Option<MarketCandidates>,
    draws: Draws,
    head: SmallVec<[u32; HEAD]>,
}

impl Choice {
    pub(super) fn new(
        coefficients: &Arc<Coefficients>,
        (ask, terms): (Ask, Terms),
        candidates: Option<MarketCandidates>,
        draws: Draws,
    ) -> Self {
        let mut head = SmallVec::new();
        if let Some(candidates) = &candidates {
            head = Evaluation::of(coefficients, &ask, &terms, candidates, &draws).head();
        }
        Self { coefficients: coefficients.clone(), ask, terms, candidates, draws, head }
    }

    /// The request.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The order in which candidates are tried, `most` of them at least or all: indices into the candidates. The first eight
    /// are ready, more are computed.
    pub fn order(&self, most: usize) -> Vec<usize> {
        if most <= HEAD || self.head.len() < HEAD {
            return self.head.iter().map(|&index| index as usize).collect();
        }
        self.ranking().order
    }

    /// What was known of each candidate.
    pub fn measured(&self) -> Vec<Measured> {
        self.candidates.as_ref().map(MarketCandidates::measured).unwrap_or_default()
    }

    /// Whether the breaker of the candidate at `index` is open.
    pub fn is_open(&self, index: usize) -> bool {
        self.candidates.as_ref().is_some_and(|candidates| candidates.is_open(index))
    }

    /// Whether `offer` is a candidate that is expected to serve: its breaker is closed, and it fails less than half the time.
    pub fn is_healthy(&self, offer: &Pubkey) -> bool {
        self.candidates.as_ref().is_some_and(|candidates| candidates.is_healthy(offer))
    }

    /// When `offer` is late, which was asked first: from then on `next` is raced against it. `None` if it never is.
    pub fn late_after(&self, offer: &Pubkey, next: &Pubkey) -> Option<Duration> {
        late::after(&self.ask, self.candidates.as_ref()?, offer, next)
    }

    /// Tokens that `offer` is expected to write a second, if it is a candidate.
    pub fn speed(&self, offer: &Pubkey) -> Option<f64> {
        self.candidates.as_ref()?.speed(offer)
    }

    /// Order, objectives and shares.
    pub fn ranking(&self) -> Ranking {
        decide(&self.coefficients, &self.ask, &self.terms, &self.measured(), &self.draws)
    }

    /// Everything that the choice depends on and what came of it, to be stored.
    pub fn record(&self) -> ChoiceRecord {
        let measured = self.measured();
        let Ranking { order, explored, .. } =
            decide(&self.coefficients, &self.ask, &self.terms, &measured, &self.draws);
        ChoiceRecord {
            coefficients: *self.coefficients,
            ask: self.ask,
            terms: self.terms,
            measured,
            draws: self.draws,
            ranking: RankingRecord { order, scores: None, explored },
        }
    }
}

/// The record of a choice, which anybody can check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChoiceRecord {
    /// How candidates were compared.
    pub coefficients: Coefficients,
    /// The request.
    pub ask: Ask,
    /// What a second and a failure are worth.
    pub terms: Terms,
    /// What was known of each candidate.
    pub measured: Vec<Measured>,
    /// The randomness.
    pub draws: Draws,
    /// The result.
    pub ranking: RankingRecord,
}

/// What is stored of a [`Ranking`]: the scores follow from the rest, and are computed when somebody reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RankingRecord {
    /// As [`Ranking::order`].
    pub order: Vec<usize>,
    /// As [`Ranking::scores`], in records of version 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<CandidateScore>>,
    /// As [`Ranking::explored`].
    pub explored: bool,
}

impl ChoiceRecord {
    /// Makes the choice again.
    pub fn again(&self) -> Ranking {
        decide(&self.coefficients, &self.ask, &self.terms, &self.measured, &self.draws)
    }
}
