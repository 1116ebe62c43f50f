//! `docs/ROUTING.md` and its figures: written by the full run, guarded by the reduced one.

use crate::experiment::{REPORTING_SEEDS, Results, experiment};
use crate::market::{POPULATIONS, Population};
use crate::policy::Spec;
use crate::scene::Scene;
use crate::search::tuned;
use crate::verdict::{ORACLE, STEAM, misses, specs};
use crate::{plot, report, sweep};
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::path::{Path, PathBuf};
use steam::score::Coefficients;

/// Seeds of the reduced run: the first of the reported ones.
const REDUCED_SEEDS: Range<u64> = REPORTING_SEEDS.start..REPORTING_SEEDS.start + 2;
/// Part of a population's usual time in the reduced run.
const REDUCED_LENGTH: f64 = 0.2;

/// Everybody who is compared, as released: the scorer with its defaults.
pub fn released() -> Vec<Spec> {
    specs(Spec::Steam(Coefficients::default()), tuned())
}

/// The reduced run of `specs`.
pub fn reduced(specs: &[Spec]) -> Vec<Results> {
    experiment(&populations(), specs, REDUCED_SEEDS, REDUCED_LENGTH)
}

/// Runs everything and writes tables and figures into the document of the repository at `root`.
///
/// # Errors
/// Where a file cannot be read or written, or lacks its markers.
pub fn write(root: &Path) -> Result<()> {
    let specs = released();
    let all = experiment(&populations(), &specs, REPORTING_SEEDS, 1.0);
    let path = file(root);
    let mut document = read(&path)?;
    let sections = [
        ("claims", report::claims(&misses(&all, &specs))),
        ("mix", report::mix(&all, &specs)),
        ("overview", report::overview(&all, &specs)),
        ("settings", report::settings(&specs)),
        ("details", report::details(&all, &specs)),
        ("reduced", report::exact(&reduced(&specs[ORACLE..=STEAM]))),
    ];
    for (name, content) in &sections {
        document = report::insert(&document, name, content)?;
    }
    let figures = root.join("docs/routing");
    std::fs::create_dir_all(&figures)?;
    plot::regrets(&figures.join("regret.svg"), &all, &specs)?;
    for (scene, name, title, top) in [
        (Scene::Outage, "outage.svg", "the best third goes silent for 300 s: objective (less is better)", 8.0),
        (
            Scene::BrownOut,
            "brown-out.svg",
            "the best of 12 becomes 8 times slower for 300 s: its share of the requests",
            1.0,
        ),
        (
            Scene::Newcomer,
            "newcomer.svg",
            "a newcomer, the fastest at half the lowest price: its share of the requests",
            1.0,
        ),
    ] {
        let shown = staged(&specs);
        let lines = scene.timelines(&shown, REPORTING_SEEDS);
        let named: Vec<_> = shown.iter().map(Spec::name).zip(lines).collect();
        plot::scene(&figures.join(name), scene, (title, top), &named)?;
    }
    std::fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs the sweep alone and writes its table into the document of the repository at `root`.
///
/// # Errors
/// Where the file cannot be read or written, or lacks its markers.
pub fn write_sweep(root: &Path) -> Result<()> {
    let path = file(root);
    // It takes long: the document is read afterwards, so that nothing written to it meanwhile is lost.
    let table = sweep::table()?;
    let document = report::insert(&read(&path)?, "sweep", &table)?;
    std::fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))
}

/// Checks that the reduced run still comes to what the document says, so that its tables are of this scorer.
///
/// # Errors
/// Where it does not.
pub fn check(root: &Path) -> Result<()> {
    let document = read(&file(root))?;
    let now = report::exact(&reduced(&released()[ORACLE..=STEAM]));
    let then = report::extract(&document, "reduced")?;
    ensure!(
        then == now.trim(),
        "docs/ROUTING.md is of another scorer: run `cargo run --release -p steam-simulator`.\nIt says\n{then}\nnow it is\n{now}"
    );
    let outdated = sweep::outdated(report::extract(&document, "sweep")?)?;
    ensure!(
        outdated.is_empty(),
        "docs/ROUTING.md argues for other defaults of {}: run `cargo run --release -p steam-simulator -- sweep`",
        outdated.join(", ")
    );
    Ok(())
}

/// The policies of a scene: the scorer first, whose colour is the first, then the oracle and those worth a line.
fn staged(specs: &[Spec]) -> Vec<Spec> {
    let worth = ["inverse price", "lowest latency", "peak EWMA"];
    let baselines = specs.iter().filter(|spec| worth.contains(&spec.name()));
    [&specs[STEAM], &specs[ORACLE]].into_iter().chain(baselines).cloned().collect()
}

fn populations() -> Vec<&'static Population> {
    POPULATIONS.iter().collect()
}

fn file(root: &Path) -> PathBuf {
    root.join("docs/ROUTING.md")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
