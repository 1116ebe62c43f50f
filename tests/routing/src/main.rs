//! `steam-simulator`: routing policies in drawn markets.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::ops::Range;
use std::path::Path;
use steam::score::Coefficients;
use steam_simulator::hostile::report::{Days, ablations};
use steam_simulator::hostile::{Defences, Scale};
use steam_simulator::policy::{Spec, coefficients};
use steam_simulator::tournament::{TUNING_SEEDS, tournament};
use steam_simulator::{document, report, search};

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
    /// Search the settings of a baseline in the tuning markets; of all unless one is named.
    Tune {
        /// Its name in the tables.
        baseline: Option<String>,
        /// Markets.
        #[arg(long, default_value_t = 40)]
        markets: u64,
    },
    /// The scorer without one of its rules at a time.
    Ablate {
        /// The first market's seed.
        #[arg(long, default_value_t = TUNING_SEEDS.start)]
        seed: u64,
        /// Markets.
        #[arg(long, default_value_t = 100)]
        markets: u64,
    },
    /// A day of a hostile market, with the adversary and without.
    Hostile {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Seeds.
        #[arg(long, default_value_t = 4)]
        days: u64,
        /// Plays the reduced day.
        #[arg(long)]
        reduced: bool,
        /// Also switches off one defence at a time.
        #[arg(long)]
        ablate: bool,
        /// Seconds for which dust may wait before it is settled, where that is not as shipped.
        #[arg(long)]
        dust_seconds: Option<u64>,
        /// Also prints everything that was counted.
        #[arg(long)]
        each: bool,
    },
    /// Run the scorer, also with other coefficients, next to the baselines.
    Draw {
        /// The first market's seed.
        #[arg(long, default_value_t = TUNING_SEEDS.start)]
        seed: u64,
        /// Markets.
        #[arg(long, default_value_t = 100)]
        markets: u64,
        /// Coefficients of one variant, like `load_weight=1,exploration=0.1`; may be given several times.
        #[arg(long = "set")]
        changes: Vec<String>,
        /// Leaves the baselines out.
        #[arg(long)]
        alone: bool,
        /// Also prints each market.
        #[arg(long)]
        each: bool,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match args.command {
        None if args.check => document::check(&root),
        None => document::write(&root),
        Some(Command::Tune { baseline, markets }) => tune(baseline.as_deref(), markets),
        Some(Command::Ablate { seed, markets }) => {
            println!("{}", document::ablations(seed..seed + markets));
            Ok(())
        }
        Some(Command::Hostile { seed, days, reduced, ablate, dust_seconds, each }) => {
            let scale = Scale { dust_seconds, ..if reduced { Scale::REDUCED } else { Scale::DAY } };
            hostile((scale, seed..seed + days), ablate, each)
        }
        Some(Command::Draw { seed, markets, changes, alone, each }) => {
            let mut specs = vec![Spec::Oracle, Spec::Steam(Coefficients::default())];
            for variant in changes {
                let changes: Vec<String> = variant.split(',').map(Into::into).collect();
                specs.push(Spec::Steam(coefficients::with(Coefficients::default(), &changes)?));
            }
            if !alone {
                specs.extend(search::tuned());
            }
            let rows = tournament(&specs, seed..seed + markets);
            if each {
                for row in &rows {
                    let losses = row.runs.iter().map(|r| format!("{:.2} {:.2} %", r.loss, r.success * 100.0));
                    let losses: Vec<String> = losses.collect();
                    println!("{} {}", row.seed, losses.join(", "));
                }
            }
            println!("{}", report::distribution(&rows, &specs));
            Ok(())
        }
    }
}

fn hostile((scale, seeds): (Scale, Range<u64>), ablate: bool, each: bool) -> Result<()> {
    let seeds: Vec<u64> = seeds.collect();
    if ablate {
        println!("{}", ablations(scale, &seeds)?);
        return Ok(());
    }
    let days = Days::play(scale, &seeds, Defences::All)?;
    println!("{}\nmissed: {}", days.table(), days.missed().join(", "));
    if each {
        println!("{}\n{}", days.attacks(), days.details());
    }
    Ok(())
}

fn tune(baseline: Option<&str>, markets: u64) -> Result<()> {
    let seeds = TUNING_SEEDS.start..TUNING_SEEDS.start + markets;
    let names: Vec<&str> = match baseline {
        Some(name) => vec![name],
        None => search::names(),
    };
    for name in names {
        let found = search::search(name, seeds.clone())?;
        println!("{name}: {} settings", found.len());
        for (spec, mean) in found.iter().take(3).chain(found.iter().skip(3).last()) {
            println!("  {mean:.4} {}", spec.settings());
        }
    }
    Ok(())
}
