//! The evidence as Markdown: tables between markers in `docs/ROUTING.md`.

use crate::policy::Spec;
use crate::safety::safer;
use crate::scenes::failing;
use crate::stats::Mean;
use crate::tournament::Row;
use crate::verdict::{BASELINES, ORACLE, STEAM, best_baseline, regret};
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

/// One row a policy: the distribution of its regret over markets.
pub fn distribution(rows: &[Row], specs: &[Spec]) -> String {
    let best = regret(rows, best_baseline(rows));
    let mut text = String::from(
        "| policy | regret, mean | median | worst 5 % | of the best baseline: mean, worst 5 % | $ / 1,000 requests | success % | markets where it is safer than steam |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (place, spec) in specs.iter().enumerate() {
        let own = regret(rows, place);
        let safer = safer(rows, specs, place);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} | {:.2} | {:.2}, {:.2} | {:.3} | {:.3} | {} |",
            spec.name(),
            shown(own.mean, 3),
            own.median,
            own.worst,
            own.mean.mean / best.mean.mean,
            own.worst / best.worst,
            own.usd,
            own.success * 100.0,
            if place < BASELINES { "-".to_owned() } else { safer.len().to_string() }
        );
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

/// One row a variant of the scorer, the first as released: its regret, how much more it has in the same market, and which scenes
/// fail with it.
pub fn ablations(rows: &[Row], names: &[&str], specs: &[Spec]) -> String {
    let mut text = String::from(
        "| without this rule | regret, mean | median | worst 5 % | more in the same market | success % | scenes that fail |\n|---|---|---|---|---|---|---|\n",
    );
    for (place, name) in names.iter().enumerate() {
        let place = STEAM + place;
        let own = regret(rows, place);
        let more = Mean::of(&rows.iter().map(|r| r.runs[place].loss - r.runs[STEAM].loss).collect::<Vec<_>>());
        let _ = writeln!(
            text,
            "| {name} | {:.3} | {:.3} | {:.2} | {} | {:.3} | {} |",
            own.mean.mean,
            own.median,
            own.worst,
            shown(more, 3),
            own.success * 100.0,
            failing(&specs[place]).join(", ")
        );
    }
    text
}

/// What the reduced run comes to, exactly: guards against drift.
pub fn exact(rows: &[Row]) -> String {
    let mut text = String::from("| market | oracle | steam |\n|---|---|---|\n");
    for row in rows {
        let _ = writeln!(text, "| {} | {:.6} | {:.6} |", row.seed, row.runs[ORACLE].loss, row.runs[STEAM].loss);
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
}
