//! `steam-simulator`: writes the evidence in `docs/ROUTING.md`, searches settings, or tries one.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::Path;
use steam::score::Coefficients;
use steam_simulator::document;
use steam_simulator::experiment::{TUNING_SEEDS, experiment};
use steam_simulator::market::{POPULATIONS, Population};
use steam_simulator::policy::{Spec, coefficients};
use steam_simulator::search;
use steam_simulator::table;

/// Compares the router's scorer with tuned baselines and an oracle, in virtual time.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only check, with a reduced run, that the document is of this scorer.
    #[arg(long)]
    check: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Search the settings of a policy on the tuning seeds; of all baselines unless one is named.
    Tune {
        /// Its name in the tables.
        policy: Option<String>,
    },
    /// Change one coefficient of the scorer at a time, on tuning seeds, and write what comes of it into the document.
    Sweep,
    /// Run the scorer with other coefficients next to the tuned baselines, on tuning seeds.
    Try {
        /// Coefficients of one variant, like `exponent=4,near=0.1`; may be given several times.
        #[arg(long = "set")]
        changes: Vec<String>,
        /// Populations, by name; all unless given.
        #[arg(long)]
        population: Vec<String>,
        /// Seeds.
        #[arg(long, default_value_t = 2)]
        seeds: u64,
        /// Part of a population's usual time.
        #[arg(long, default_value_t = 0.5)]
        length: f64,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match args.command {
        None if args.check => document::check(&root),
        None => document::write(&root),
        Some(Command::Tune { policy }) => tune(policy.as_deref()),
        Some(Command::Sweep) => document::write_sweep(&root),
        Some(Command::Try { changes, population, seeds, length }) => attempt(&changes, &population, seeds, length),
    }
}

fn tune(policy: Option<&str>) -> Result<()> {
    let names: Vec<&str> = match policy {
        Some(name) => vec![name],
        None => search::tuned().iter().map(Spec::name).collect(),
    };
    for name in names {
        let found = search::search(name)?;
        println!("{name}: {} settings", found.len());
        for (spec, mean, _) in found.iter().take(8).chain(found.iter().skip(8).last()) {
            println!("  {mean:.4} {spec:?}");
        }
    }
    Ok(())
}

fn attempt(changes: &[String], names: &[String], seeds: u64, length: f64) -> Result<()> {
    let populations = named(names)?;
    let mut specs = vec![Spec::Oracle, Spec::Steam(Coefficients::default())];
    for variant in changes {
        let changes: Vec<String> = variant.split(',').map(Into::into).collect();
        specs.push(Spec::Steam(coefficients::with(Coefficients::default(), &changes)?));
    }
    specs.extend(search::tuned());
    let first = TUNING_SEEDS.start;
    for results in experiment(&populations, &specs, first..first + seeds, length) {
        println!("{}", table::plain(&results, &specs));
    }
    Ok(())
}

fn named(names: &[String]) -> Result<Vec<&'static Population>> {
    if names.is_empty() {
        return Ok(POPULATIONS.iter().collect());
    }
    let find = |name: &String| {
        POPULATIONS.iter().find(|p| p.name == name).with_context(|| format!("there is no population `{name}`"))
    };
    names.iter().map(find).collect()
}
