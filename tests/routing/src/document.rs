//! `docs/ROUTING.md`: its tables are written by the full run and guarded by the reduced one.

use crate::policy::{Spec, coefficients};
use crate::report;
use crate::search::tuned;
use crate::tournament::tournament;
use crate::verdict::{ORACLE, STEAM};
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::path::{Path, PathBuf};
use steam::score::Coefficients;

/// Seeds of the markets that are reported: drawn after the scorer was frozen.
pub const REPORTED: Range<u64> = 710_000..711_000;
/// The first of them, for what must be quick.
pub const REDUCED: Range<u64> = REPORTED.start..REPORTED.start + 24;
/// One rule taken out at a time, as a change of the coefficients.
const ABLATIONS: &[(&str, &[&str])] = &[
    ("times grow with the load", &["load_weight=0"]),
    ("a share explores", &["exploration=0"]),
    ("what breaks off costs", &["broken_weight=0"]),
    ("time counts", &["time_weight=0"]),
    ("newcomers start slowly", &["newcomer_answers=0"]),
    ("caches are expected before they are measured", &["sticky_hits=0"]),
];

/// Everybody who is compared, as released: the oracle, the scorer with its defaults and the tuned baselines.
pub fn released() -> Vec<Spec> {
    [Spec::Oracle, Spec::Steam(Coefficients::default())].into_iter().chain(tuned()).collect()
}

/// Runs everything and writes the tables into the document of the repository at `root`.
///
/// # Errors
/// Where a file cannot be read or written, or lacks its markers.
pub fn write(root: &Path) -> Result<()> {
    let specs = released();
    let rows = tournament(&specs, REPORTED);
    let path = file(root);
    let mut document = read(&path)?;
    let sections = [
        ("distribution", report::distribution(&rows, &specs)),
        ("settings", report::settings(&specs)),
        ("ablations", ablations(REPORTED.start..REPORTED.start + 300)?),
        ("reduced", exact()),
    ];
    for (name, content) in &sections {
        document = report::insert(&document, name, content)?;
    }
    std::fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))
}

/// Checks that the reduced run still comes to what the document says, so that its tables are of this scorer.
///
/// # Errors
/// Where it does not.
pub fn check(root: &Path) -> Result<()> {
    let document = read(&file(root))?;
    let now = exact();
    let then = report::extract(&document, "reduced")?;
    ensure!(
        then == now.trim(),
        "docs/ROUTING.md is of another scorer: run `cargo run --release -p steam-simulator`.\nIt says\n{then}\nnow it is\n{now}"
    );
    Ok(())
}

fn ablations(seeds: Range<u64>) -> Result<String> {
    let mut specs = vec![Spec::Oracle, Spec::Steam(Coefficients::default())];
    for (_, changes) in ABLATIONS {
        let changes: Vec<String> = changes.iter().map(|&change| change.into()).collect();
        specs.push(Spec::Steam(coefficients::with(Coefficients::default(), &changes)?));
    }
    let rows = tournament(&specs, seeds);
    let names = ["as released"].into_iter().chain(ABLATIONS.iter().map(|(name, _)| *name));
    Ok(report::ablations(&rows, &names.collect::<Vec<_>>()))
}

fn exact() -> String {
    let specs = released();
    report::exact(&tournament(&specs[ORACLE..=STEAM], REDUCED))
}

fn file(root: &Path) -> PathBuf {
    root.join("docs/ROUTING.md")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
