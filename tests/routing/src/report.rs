//! The evidence as Markdown: tables between markers in `docs/ROUTING.md`.

use crate::experiment::Results;
use crate::metrics::Summary;
use crate::policy::Spec;
use crate::stats::Mean;
use crate::verdict::{BASELINES, Miss, ORACLE, STEAM, best_baseline, mixed_regret, regret, safer};
use anyhow::{Context, Result};
use std::fmt::Write as _;

/// Replaces what stands between the markers named `name` in `document`.
///
/// # Errors
/// Where the markers are not there.
pub fn insert(document: &str, name: &str, content: &str) -> Result<String> {
    let (before, _, after) = parts(document, name)?;
    Ok(format!("{before}\n{}\n{after}", content.trim_end()))
}

/// What stands between the markers named `name` in `document`.
///
/// # Errors
/// Where the markers are not there.
pub fn extract<'a>(document: &'a str, name: &str) -> Result<&'a str> {
    Ok(parts(document, name)?.1.trim())
}

fn parts<'a>(document: &'a str, name: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let (begin, end) = (format!("<!-- simulator: {name} -->"), format!("<!-- end: {name} -->"));
    let find = |marker: &str| document.find(marker).with_context(|| format!("the document lacks `{marker}`"));
    let (from, until) = (find(&begin)? + begin.len(), find(&end)?);
    anyhow::ensure!(from <= until, "`{begin}` comes after its end");
    Ok((&document[..from], &document[from..until], &document[until..]))
}

/// What is claimed, and where it does not hold.
pub fn claims(misses: &[Miss]) -> String {
    let of = |claim: &str, found: Vec<&Miss>| {
        let verdict = if found.is_empty() { "holds".to_owned() } else { join(&found) };
        format!("| {claim} | {verdict} |\n")
    };
    let kind = |wanted: fn(&Miss) -> bool| misses.iter().filter(|miss| wanted(miss)).collect::<Vec<_>>();
    let mut text = String::from("| claim | |\n|---|---|\n");
    text += &of(
        "in no population a baseline serves more requests, beyond chance",
        kind(|m| matches!(m, Miss::Success { .. })),
    );
    text += &of(
        "in no population a baseline's objective is more than 5 % better",
        kind(|m| matches!(m, Miss::Objective { .. })),
    );
    text += &of(
        "over all populations the regret is at most half of any baseline's",
        kind(|m| matches!(m, Miss::Regret { .. })),
    );
    text
}

fn join(found: &[&Miss]) -> String {
    let each: Vec<String> = found.iter().map(ToString::to_string).collect();
    format!("**missed**: {}", each.join("; "))
}

/// One row a population: the objective of oracle, scorer and best baseline.
pub fn overview(all: &[Results], specs: &[Spec]) -> String {
    let mut text = String::from(
        "| population | oracle | steam | best baseline | its name | regret of steam | of that baseline |\n|---|---|---|---|---|---|---|\n",
    );
    for results in all {
        let best = best_baseline(results, |s| s.objective);
        let objective = |spec: usize| shown(results.mean(spec, |s| s.objective), 3);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            results.population.name,
            objective(ORACLE),
            objective(STEAM),
            objective(best),
            specs[best].name(),
            shown(regret(results, STEAM), 3),
            shown(regret(results, best), 3)
        );
    }
    text
}

/// One row a policy: mean regret over all populations, and in how many the scorer is ahead.
pub fn mix(all: &[Results], specs: &[Spec]) -> String {
    let mut text = String::from(
        "| policy | regret, mean over populations | of it steam has | populations with a lower objective than steam | with more success, beyond chance |\n|---|---|---|---|---|\n",
    );
    let steam = mixed_regret(all, STEAM);
    for (place, spec) in specs.iter().enumerate().skip(STEAM) {
        let own = mixed_regret(all, place);
        let lower = |r: &&Results| r.mean(place, |s| s.objective).mean < r.mean(STEAM, |s| s.objective).mean;
        let safer = |r: &&Results| safer(r, place);
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} % | {} | {} |",
            spec.name(),
            shown(own, 3),
            steam.mean / own.mean * 100.0,
            all.iter().filter(lower).count(),
            all.iter().filter(safer).count()
        );
    }
    text
}

/// One table a population with every figure of every policy.
pub fn details(all: &[Results], specs: &[Spec]) -> String {
    let mut text = String::new();
    for results in all {
        let population = results.population;
        let _ = write!(
            text,
            "\n**{}**: {}; {} requests a second.\n\n| policy | objective | USD / 1,000 requests | p50 s | p99 s | first try % | success % |\n|---|---|---|---|---|---|---|\n",
            population.name, population.about, population.rate
        );
        for (place, spec) in specs.iter().enumerate() {
            let mean = |of: fn(&Summary) -> f64, digits: usize| shown(results.mean(place, of), digits);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                spec.name(),
                mean(|s| s.objective, 3),
                mean(|s| s.cost, 3),
                mean(|s| s.p50, 2),
                mean(|s| s.p99, 1),
                mean(|s| s.first_try * 100.0, 2),
                mean(|s| s.success * 100.0, 3)
            );
        }
    }
    text
}

/// The settings the baselines were given.
pub fn settings(specs: &[Spec]) -> String {
    let mut text = String::from("| baseline | settings |\n|---|---|\n");
    for spec in specs.iter().skip(BASELINES) {
        let _ = writeln!(text, "| {} | {} |", spec.name(), spec.settings());
    }
    text
}

/// What the reduced run comes to, exactly: guards against drift.
pub fn exact(all: &[Results]) -> String {
    let mut text = String::from("| population | oracle | steam |\n|---|---|---|\n");
    for results in all {
        let objective = |spec| results.mean(spec, |s: &Summary| s.objective).mean;
        let _ = writeln!(text, "| {} | {:.6} | {:.6} |", results.population.name, objective(ORACLE), objective(STEAM));
    }
    text
}

fn shown(mean: Mean, digits: usize) -> String {
    format!("{:.digits$} ± {:.digits$}", mean.mean, mean.half)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "Before\n<!-- simulator: mix -->\nold\n<!-- end: mix -->\nafter\n";

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let document = insert(DOCUMENT, "mix", "new\n").expect("there");
        assert_eq!(document, DOCUMENT.replace("old", "new"));
        assert_eq!(extract(&document, "mix").expect("there"), "new");
        let missing = insert(DOCUMENT, "details", "").expect_err("not there").to_string();
        assert!(missing.contains("<!-- simulator: details -->"), "{missing}");
    }

    #[test]
    fn a_claim_that_does_not_hold_says_where() {
        let missed = claims(&[Miss::Regret { baseline: "random", ratio: 0.7 }]);
        assert!(missed.contains("**missed**: all: the regret is 0.70 times that of random"), "{missed}");
        assert_eq!(missed.matches("holds").count(), 2);
    }
}
