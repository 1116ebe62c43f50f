//! What the board remembers across a restart, told to a scorer that knows nothing yet: who was verified before, who is
//! flagged, and how fast each was in the last hour, as a few answers spread over what was measured.

use super::{Board, PENALTY, seconds};
use crate::score::Scorer;
use tokio::time::Instant;

/// Tells `scorer` what `board` knows at `now_ms`, Unix milliseconds.
pub fn vouch(board: &Board, scorer: &Scorer, now_ms: i64) {
    let (mut state, now) = (board.lock(), Instant::now());
    for (offer, entry) in &mut state.entries {
        let [_, hour, hours72] = &mut entry.windows;
        let known = hours72.figures(seconds(now_ms));
        let answers = known.e2e_ms.map_or(0, |e2e| e2e.samples);
        scorer.vouch(offer, u32::try_from(answers).unwrap_or(u32::MAX));
        for answer in hour.typical(seconds(now_ms)) {
            scorer.observe(offer, &answer, now);
        }
        if entry.dossier.is_flagged() {
            scorer.penalise(offer, PENALTY);
        }
    }
}
