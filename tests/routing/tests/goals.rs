//! The claims of `docs/ROUTING.md`, on few seeds and short markets of every population: the scorer as it is now, with
//! its defaults, next to the tuned baselines.

use steam_simulator::document::{reduced, released};
use steam_simulator::market::POPULATIONS;
use steam_simulator::verdict::{BASELINES, ORACLE, misses, mixed_regret};

#[test]
fn the_claims_hold_in_every_population_on_few_seeds() {
    let specs = released();
    let all = reduced(&specs);
    assert_eq!(all.len(), POPULATIONS.len());
    let misses: Vec<String> = misses(&all, &specs).iter().map(ToString::to_string).collect();
    assert!(misses.is_empty(), "{misses:#?}");
    for (baseline, spec) in specs.iter().enumerate().skip(BASELINES) {
        let regret = mixed_regret(&all, baseline);
        assert!(regret.mean > 0.0, "{} is better than the oracle", spec.name());
    }
    for results in &all {
        let oracle = results.mean(ORACLE, |s| s.success).mean;
        assert!(oracle > 0.9, "{}: even the oracle fails", results.population.name);
    }
}
