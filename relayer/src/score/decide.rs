//! The choice itself, pure: the same candidates, coefficients, request and draws give the same order on every machine,
//! because only sums, products, quotients and square roots are used, which IEEE 754 rounds in one way.

use super::ask::{Ask, Draws, Measured, Ranking, ScoreLine};
use super::candidate::{Candidates, Live, Row, Sticky, WORST_FAILURE, within};
use super::coefficients::Coefficients;
use super::verdict::Verdict;

/// A figure for the record: with so few decimal digits that every reader of JSON takes it for the same number.
fn told(x: f64) -> f64 {
    if x.abs() < 1e5 { (x * 1e9).round() / 1e9 } else { x.round() }
}

/// Ranks `candidates` for `ask`.
pub fn decide(coefficients: &Coefficients, ask: &Ask, candidates: &[Measured], draws: &Draws) -> Ranking {
    struct Stored<'a> {
        measured: &'a [Measured],
        rows: Vec<Row>,
    }
    impl Candidates for Stored<'_> {
        fn len(&self) -> usize {
            self.measured.len()
        }
        fn row(&self, index: usize) -> &Row {
            &self.rows[index]
        }
        fn live(&self, index: usize) -> Live {
            Live::of(&self.measured[index])
        }
        fn incumbent(&self) -> Option<usize> {
            self.measured.iter().position(|m| m.incumbent)
        }
        fn sticky(&self) -> Option<Sticky> {
            let index = self.measured.iter().position(|m| m.sticky.is_some())?;
            let m = &self.measured[index];
            Some(Sticky::of(index, m, m.sticky?))
        }
    }
    let stored = Stored { measured: candidates, rows: candidates.iter().map(Row::of).collect() };
    let verdict = Verdict::of(&coefficients.sane(), ask, &stored, draws);
    let scores = candidates.iter().enumerate().map(|(i, m)| {
        let (row, line) = (&stored.rows[i], &verdict.lines[i]);
        ScoreLine {
            offer: m.offer,
            cost: told(line.cost),
            time: told(line.time),
            failure: told(within(m.failure.into(), 0.0, WORST_FAILURE)),
            score: told(line.score),
            share: told(line.floor + verdict.exploit * line.weight),
            explored_share: told(line.floor),
            samples: m.samples,
            ttft: told(row.ttft),
            speed: told(row.token.recip()),
            outstanding: m.outstanding_tokens,
            available: line.group.available(),
        }
    });
    Ranking { scores: scores.collect(), order: verdict.order(), explored: verdict.explored }
}
