//! `docs/ROUTING.md`: its tables are written by the full run and guarded by the reduced one.

use crate::policy::Spec;
use crate::policy::withheld::Withheld;
use crate::report;
use crate::search::tuned;
use crate::tournament::tournament;
use crate::verdict::{ORACLE, STEAM};
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::path::{Path, PathBuf};
use steam::score::{Coefficients, Priors};

/// Seeds of the markets that are reported: drawn after the scorer was frozen.
pub const REPORTED: Range<u64> = 710_000..711_000;
/// The first of them, for what must be quick.
pub const REDUCED: Range<u64> = REPORTED.start..REPORTED.start + 24;
/// A prior that nothing learned outweighs.
const NEVER: f64 = 1e12;

/// The scorer without one rule at a time.
pub(crate) fn ablations_of(c: Coefficients) -> Vec<(&'static str, Spec)> {
    let with = Spec::Steam;
    let untold = |withheld| Spec::Without(withheld, Priors::default());
    vec![
        ("time counts", with(Coefficients { time_weight: 0.0, ..c })),
        ("times are means, not medians", untold(Withheld::Tails)),
        ("first tokens count when they come", untold(Withheld::Begin)),
        ("who is expected to be given up on comes later", untold(Withheld::Patience)),
        ("lengths of answers are learned", Spec::Without(Withheld::Nothing, Priors { lengths: NEVER })),
        ("times grow with the load", with(Coefficients { load_weight: 0.0, ..c })),
        ("what breaks off costs", with(Coefficients { broken_weight: 0.0, ..c })),
        ("a breaker opens", untold(Withheld::Outages)),
        ("limits are learned", untold(Withheld::Limits)),
        ("`Retry-After` is honoured", untold(Withheld::RetryAfter)),
        ("who bills more than comes is dearer", untold(Withheld::Billing)),
        ("conversations stay where they are cached", untold(Withheld::Caches)),
        ("a share explores", with(Coefficients { exploration: 0.0, ..c })),
        ("newcomers start slowly", with(Coefficients { newcomer_answers: 0, ..c })),
    ]
}

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
        ("ablations", ablations(REPORTED)),
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

/// The table of what each rule earns in the markets of `seeds`.
pub fn ablations(seeds: Range<u64>) -> String {
    let (mut names, mut specs) = (vec!["as released"], vec![Spec::Oracle, Spec::Steam(Coefficients::default())]);
    for (name, spec) in ablations_of(Coefficients::default()) {
        names.push(name);
        specs.push(spec);
    }
    report::ablations(&tournament(&specs, seeds), &names, &specs)
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
