//! In which markets a baseline serves more requests than the scorer, beyond chance.

use crate::market::drawn;
use crate::metrics::Summary;
use crate::policy::Spec;
use crate::stats::Mean;
use crate::tournament::Row;
use crate::verdict::{BASELINES, STEAM};
use rayon::prelude::*;

/// Standard deviations from which on a market is looked at again. Of so many markets and baselines some differ by more than that
/// by chance alone.
const SIGMAS: f64 = 3.5;
/// How often it is looked at again.
const TIMES: u64 = 40;

/// The seeds of the markets in which the baseline in place `spec` serves more than the scorer: in the market itself by so much
/// that chance seldom does it, and on average also when the same market has other outages, other requests and other luck.
/// Failures come in clusters, since what is under way at a provider that goes down breaks off together, so that one run
/// alone proves nothing.
pub fn safer(rows: &[Row], specs: &[Spec], spec: usize) -> Vec<u64> {
    if spec < BASELINES {
        return Vec::new();
    }
    let looked_at = rows.par_iter().filter(|row| differs(&row.runs[spec], &row.runs[STEAM]));
    looked_at.filter(|row| holds(row, specs, spec)).map(|row| row.seed).collect()
}

/// Whether `other` failed less often than `one` by more than [`SIGMAS`]: the difference of two Poisson counts has their sum as
/// its variance.
fn differs(other: &Summary, one: &Summary) -> bool {
    let failures = |s: &Summary| (1.0 - s.success) * s.requests;
    let (own, others) = (failures(one), failures(other));
    own - others - 1.0 > SIGMAS * (own + others).sqrt()
}

/// Whether the baseline serves more with other luck as well: the 95 % interval of the difference is above nothing.
fn holds(row: &Row, specs: &[Spec], spec: usize) -> bool {
    let more = |luck: u64| {
        let market = drawn::again(row.drawn, luck);
        let success = |place: usize| Summary::of(&market, &mut specs[place].build(luck)).success;
        success(spec) - success(STEAM)
    };
    let more = Mean::of(&(0..TIMES).map(|luck| more(row.drawn ^ (luck + 1))).collect::<Vec<f64>>());
    more.mean > more.half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::tuned;
    use crate::tournament::tournament;
    use steam::score::Coefficients;

    fn summary(failures: f64) -> Summary {
        Summary { requests: 1_000.0, cost: 1.0, loss: 1.0, middle: 1.0, success: 1.0 - failures / 1_000.0 }
    }

    #[test]
    fn a_market_is_looked_at_again_from_a_difference_on_that_chance_seldom_makes() {
        assert!(differs(&summary(0.0), &summary(16.0)) && differs(&summary(10.0), &summary(40.0)));
        assert!(!differs(&summary(0.0), &summary(12.0)) && !differs(&summary(30.0), &summary(50.0)));
        assert!(!differs(&summary(40.0), &summary(10.0)), "in the other direction");
    }

    #[test]
    fn what_is_safer_is_found_and_what_is_not_is_not() {
        // The scorer's place has one that takes the cheapest, which often fails.
        let cheapest = tuned().into_iter().find(|spec| spec.name() == "cheapest").expect("a baseline");
        let steam = Spec::Steam(Coefficients::default());
        let specs = [Spec::Oracle, cheapest.clone(), steam, cheapest];
        let rows = tournament(&specs, 1..4);
        assert!(!safer(&rows, &specs, BASELINES).is_empty());
        assert_eq!(safer(&rows, &specs, BASELINES + 1), Vec::<u64>::new(), "itself");
    }
}
