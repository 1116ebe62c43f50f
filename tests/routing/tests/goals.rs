//! What the scorer is held to, in drawn markets that no setting was chosen by: the reduced form of what `docs/ROUTING.md`
//! reports.

use steam_simulator::document::{REDUCED, released};
use steam_simulator::tournament::tournament;
use steam_simulator::verdict::{BASELINES, ORACLE, STEAM, best_baseline, regret};

#[test]
fn the_scorer_has_less_regret_than_every_tuned_baseline() {
    let rows = tournament(&released(), REDUCED);
    let steam = regret(&rows, STEAM);
    let best = regret(&rows, best_baseline(&rows));
    assert!(steam.mean.mean < best.mean.mean, "{} of {}", steam.mean.mean, best.mean.mean);
    assert!(steam.median < 0.7 * best.median, "{} of {}", steam.median, best.median);
    for baseline in BASELINES..rows[0].runs.len() {
        assert!(regret(&rows, baseline).mean.mean > 0.0, "a baseline is better than the oracle");
    }
    assert!(rows.iter().all(|row| row.runs[ORACLE].success > 0.95), "even the oracle fails");
}
