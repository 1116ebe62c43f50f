//! Seeds a new scorer from the board after a restart: the answers verified so far, the flags, and the speed of the last hour
//! as a few answers that are spread over the measured distribution.

use super::{Board, PENALTY, seconds};
use crate::score::Scorer;
use tokio::time::Instant;

/// Seeds `scorer` from `board` at `now_ms`, Unix milliseconds.
pub fn seed_from_history(board: &Board, scorer: &Scorer, now_ms: i64) {
    let (mut state, now) = (board.lock(), Instant::now());
    for (offer, entry) in &mut state.entries {
        let [_, hour, hours72] = &mut entry.windows;
        let known = hours72.figures(seconds(now_ms));
        let answers = known.e2e_ms.map_or(0, |e2e| e2e.samples);
        scorer.seed_from_history(offer, u32::try_from(answers).unwrap_or(u32::MAX));
        for answer in hour.typical(seconds(now_ms)) {
            scorer.observe(offer, &answer, now);
        }
        if entry.dossier.is_flagged() {
            scorer.penalise(offer, PENALTY);
        }
    }
}
