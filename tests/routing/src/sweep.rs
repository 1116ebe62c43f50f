//! What each of the scorer's coefficients does: the defaults with one of them changed, on seeds that are not reported.

use crate::experiment::{Results, TUNING_SEEDS, experiment};
use crate::market::{POPULATIONS, Population};
use crate::policy::{Spec, coefficients};
use crate::stats::Mean;
use crate::verdict::{ORACLE, STEAM, mixed_regret, regret, specs};
use anyhow::{Context, Result};
use rayon::prelude::*;
use std::fmt::Write as _;
use steam::score::Coefficients;

/// The population in which load decides nearly everything: beside its regrets those of the others would not be seen.
const CROWD: &str = "crowd";

/// Part of a population's usual time for which each value is tried.
const LENGTH: f64 = 0.25;

/// Values of each coefficient that a balanced request depends on, the default among them.
const VALUES: &[(&str, &[f64])] = &[
    ("exponent", &[2.0, 6.0, 12.0, 20.0, 30.0]),
    ("reach", &[0.1, 0.2, 0.4, 0.8, 2.0]),
    ("time_weight", &[0.5, 0.75, 1.0, 1.5, 2.0]),
    ("broken_weight", &[0.0, 10.0, 20.0, 30.0, 60.0]),
    ("load_weight", &[0.0, 1.0, 2.0, 4.0, 8.0]),
    ("quantile", &[0.3, 0.5, 0.6, 0.75]),
    ("exploration", &[0.0, 0.01, 0.02, 0.05]),
    ("exploration_premium", &[0.0, 0.01, 0.05]),
    ("newcomer_answers", &[0.0, 5.0, 10.0, 30.0]),
    ("probe_share", &[0.0, 0.02, 0.05, 0.1]),
    ("near", &[0.0, 0.02, 0.05, 0.1, 0.2]),
    ("hysteresis", &[0.0, 0.03, 0.1]),
    ("sticky_hits", &[0.0, 0.25, 0.5, 0.8]),
];

/// One value of one coefficient, and what came of it.
#[derive(Clone, Copy, Debug)]
struct Tried {
    name: &'static str,
    value: f64,
    default: bool,
    /// Mean regret over all populations but the crowd.
    usual: Mean,
    /// The same minus that of the defaults, in the same markets.
    change: Mean,
    /// Mean regret in the crowd.
    crowd: Mean,
}

/// The table of the document.
///
/// # Errors
/// Where a coefficient is gone.
pub fn table() -> Result<String> {
    let variants = variants()?;
    let changed = variants.iter().map(|(.., changed)| Spec::Steam(*changed)).collect();
    let specs = specs(Spec::Steam(Coefficients::default()), changed);
    let (crowd, usual): (Vec<&Population>, Vec<&Population>) = POPULATIONS.iter().partition(|p| p.name == CROWD);
    let (usual, crowd) = rayon::join(
        || experiment(&usual, &specs, TUNING_SEEDS, LENGTH),
        || experiment(&crowd, &specs, TUNING_SEEDS, LENGTH),
    );
    let crowd = crowd.first().context("there is no crowd")?;
    let tried = variants.into_par_iter().enumerate().map(|(place, (name, value, c))| {
        let place = STEAM + 1 + place;
        let default = c == Coefficients::default();
        let change = difference(&usual, place);
        Tried { name, value, default, usual: mixed_regret(&usual, place), change, crowd: regret(crowd, place) }
    });
    Ok(rows(&tried.collect::<Vec<_>>()))
}

/// The coefficients whose row in `table` is of another default than today's.
///
/// # Errors
/// Where a coefficient is gone.
pub fn outdated(table: &str) -> Result<Vec<&'static str>> {
    let defaults = variants()?.into_iter().filter(|(.., changed)| *changed == Coefficients::default());
    let is_there = |name: &str, value: f64| {
        let mut rows = table.lines().filter(|row| row.starts_with(&format!("| `{name}` |")));
        rows.any(|row| row.contains(&format!("**{value}:")))
    };
    Ok(defaults.filter(|(name, value, _)| !is_there(name, *value)).map(|(name, ..)| name).collect())
}

/// Every value of every coefficient, as a change of the defaults.
fn variants() -> Result<Vec<(&'static str, f64, Coefficients)>> {
    let each = VALUES.iter().flat_map(|(name, values)| values.iter().map(move |value| (*name, *value)));
    each.map(|(name, value)| Ok((name, value, coefficients::with(Coefficients::default(), &[change(name, value)])?)))
        .collect()
}

fn change(name: &str, value: f64) -> String {
    format!("{name}={value}")
}

/// Mean regret over `all` of the spec in `place` minus that of the defaults, by seed.
fn difference(all: &[Results], place: usize) -> Mean {
    let seeds = all.first().map_or(0, |results| results.runs[ORACLE].len());
    let of_seed = |seed: usize| {
        let each = all.iter().map(|r| r.runs[place][seed].objective - r.runs[STEAM][seed].objective);
        each.sum::<f64>() / all.len() as f64
    };
    Mean::of(&(0..seeds).map(of_seed).collect::<Vec<_>>())
}

/// One row a coefficient; the default is bold, and what is better or worse than it beyond chance is marked.
fn rows(tried: &[Tried]) -> String {
    let mut text = String::from("| coefficient | value: regret |\n|---|---|\n");
    for of_one in tried.chunk_by(|a, b| a.name == b.name) {
        let cells: Vec<String> = of_one.iter().map(cell).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{}` | {} |", of_one[0].name, cells.join(" · "));
    }
    text
}

fn cell(tried: &Tried) -> String {
    let Tried { value, default, usual, change, crowd, .. } = tried;
    let mark = if change.mean - change.half > 0.0 {
        " ▲"
    } else if change.mean + change.half < 0.0 {
        " ▼"
    } else {
        ""
    };
    let bold = if *default { "**" } else { "" };
    format!("{bold}{value}: {:.3}{mark} ({:.1}){bold}", usual.mean, crowd.mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &'static str, value: f64, default: bool, change: f64) -> Tried {
        let of = |mean| Mean { mean, half: 0.01 };
        Tried { name, value, default, usual: of(0.2 + change), change: of(change), crowd: of(1.0) }
    }

    #[test]
    fn every_coefficient_of_a_balanced_choice_is_changed_and_its_default_is_among_the_values() {
        let variants = variants().expect("all exist");
        for (name, _) in VALUES {
            let defaults = variants.iter().filter(|(of, _, c)| of == name && *c == Coefficients::default());
            assert_eq!(defaults.count(), 1, "{name}");
        }
        let all = serde_json::to_value(Coefficients::default()).expect("plain data");
        let left_out: Vec<&String> = all
            .as_object()
            .expect("an object")
            .keys()
            .filter(|key| VALUES.iter().all(|(name, _)| name != key))
            .collect();
        assert_eq!(left_out, ["tail_quantile"], "only asked for by `throughput`, which nobody simulated does");
    }

    #[test]
    fn the_default_is_bold_and_what_differs_beyond_chance_is_marked() {
        let table = rows(&[
            tried("near", 0.0, false, 0.02),
            tried("near", 0.05, true, 0.0),
            tried("near", 0.1, false, -0.02),
            tried("near", 0.2, false, 0.005),
        ]);
        let row = "| `near` | 0: 0.220 ▲ (1.0) · **0.05: 0.200 (1.0)** · 0.1: 0.180 ▼ (1.0) · 0.2: 0.205 (1.0) |";
        assert_eq!(table.lines().last(), Some(row));
    }

    #[test]
    fn a_table_of_other_defaults_is_noticed() {
        let defaults = variants().expect("all exist").into_iter().map(|(name, value, c)| {
            let is_default = c == Coefficients::default();
            tried(name, value, is_default, 0.0)
        });
        let mut all: Vec<Tried> = defaults.collect();
        assert_eq!(outdated(&rows(&all)).expect("all exist"), Vec::<&str>::new());
        all.retain(|tried| tried.name != "reach" || !tried.default);
        assert_eq!(outdated(&rows(&all)).expect("all exist"), ["reach"]);
    }
}
