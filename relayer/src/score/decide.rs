//! The choice itself, pure: the same candidates, coefficients, request and draws give the same order on every machine,
//! because only sums, products, quotients and square roots are used, which IEEE 754 rounds in one way.

use super::ask::{Ask, CandidateScore, Draws, Measured, Ranking, Terms};
use super::candidate::{Candidates, Live, Profile, Sticky, WORST_FAILURE, within};
use super::coefficients::Coefficients;
use super::evaluation::Evaluation;

/// A figure for the record: with so few decimal digits that every reader of JSON takes it for the same number.
fn told(x: f64) -> f64 {
    if x.abs() < 1e5 { (x * 1e9).round() / 1e9 } else { x.round() }
}

/// Ranks `candidates` for `ask` on `terms`.
pub fn decide(
    coefficients: &Coefficients,
    ask: &Ask,
    terms: &Terms,
    candidates: &[Measured],
    draws: &Draws,
) -> Ranking {
    struct Stored<'a> {
        measured: &'a [Measured],
        profiles: Vec<Profile>,
    }
    impl Candidates for Stored<'_> {
        fn len(&self) -> usize {
            self.measured.len()
        }
        fn profile(&self, index: usize) -> &Profile {
            &self.profiles[index]
        }
        fn live(&self, index: usize) -> Live {
            Live::of(&self.measured[index])
        }
        fn sticky(&self) -> Option<Sticky> {
            let index = self.measured.iter().position(|m| m.sticky.is_some())?;
            let m = &self.measured[index];
            Some(Sticky::of(index, m, m.sticky?))
        }
    }
    let stored = Stored { measured: candidates, profiles: candidates.iter().map(Profile::of).collect() };
    let coefficients = coefficients.sane();
    let evaluation = Evaluation::of(&coefficients, ask, terms, &stored, draws);
    let scores = candidates.iter().enumerate().map(|(i, m)| {
        let (profile, candidate) = (&stored.profiles[i], &evaluation.evaluated[i]);
        let (share, explored_share) = evaluation.share(&coefficients, i);
        CandidateScore {
            offer: m.offer,
            cost: told(candidate.cost),
            time: told(candidate.time),
            failure: told(within(m.failure.into(), 0.0, WORST_FAILURE)),
            score: told(candidate.score),
            share: told(share),
            explored_share: told(explored_share),
            samples: m.samples,
            ttft: told(profile.ttft),
            speed: told(profile.token.recip()),
            outstanding: m.outstanding_tokens,
            available: candidate.group.available(),
        }
    });
    Ranking { scores: scores.collect(), order: evaluation.order(), explored: evaluation.explored }
}
