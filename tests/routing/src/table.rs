//! Tables.

use crate::experiment::Results;
use crate::policy::Spec;
use std::fmt::Write as _;

/// The policies in one population, for a terminal.
pub fn plain(results: &Results, specs: &[Spec]) -> String {
    let mut text = format!("{:16} objective    usd/1k    p50    p99  first try   success\n", results.population.name);
    for (place, spec) in specs.iter().enumerate() {
        let mean = |of: fn(&crate::metrics::Summary) -> f64| results.mean(place, of).mean;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:16} {:9.3} {:9.3} {:6.2} {:6.1} {:10.4} {:9.5}",
            spec.name(),
            mean(|s| s.objective),
            mean(|s| s.cost),
            mean(|s| s.p50),
            mean(|s| s.p99),
            mean(|s| s.first_try),
            mean(|s| s.success)
        );
    }
    text
}
