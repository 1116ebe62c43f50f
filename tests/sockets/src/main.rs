//! The shipped relayer on real sockets: `steam serve` and the providers of drawn markets as processes on this machine, next to the
//! policies that the simulator compares, which ask the same providers themselves. `docs/ROUTING.md` has what came out.

mod clock;
mod direct;
mod field;
mod judge;
mod play;
mod provider;
mod relayed;
mod relayer;
mod report;
mod run;
mod scenario;
mod scenes;
mod text;
mod wire;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use scenario::Scenario;
use std::path::PathBuf;
use tokio::task::LocalSet;

/// Judges the shipped relayer on real sockets, in drawn markets, next to tuned baselines and an oracle.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    long: run::Long,
}

#[derive(Subcommand)]
enum Command {
    /// One small market of a few seconds: whether everything works.
    Reduced {
        /// The binary `steam`; the one beside this program unless given.
        #[arg(long)]
        steam: Option<PathBuf>,
    },
    /// The scenes: newcomers, outages, brown-outs, a crowd, a neighbour's melt-down.
    Scenes {
        /// The binary `steam`; the one beside this program unless given.
        #[arg(long)]
        steam: Option<PathBuf>,
        /// Only these.
        names: Vec<String>,
    },
    /// Plays one market and prints what came of it as JSON.
    #[command(hide = true)]
    Market {
        scenario: Scenario,
        steam: PathBuf,
        #[arg(value_delimiter = ',')]
        policies: Vec<String>,
    },
    /// Serves the providers of one market.
    #[command(hide = true)]
    Providers { scenario: Scenario, policies: usize },
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match args.command {
            None => run::long(args.long).await,
            Some(Command::Reduced { steam }) => run::reduced(&binary(steam)?).await,
            Some(Command::Scenes { steam, names }) => run::scenes(&binary(steam)?, &names).await,
            Some(Command::Market { scenario, steam, policies }) => {
                let report = play::run(&scenario, &steam, &policies).await?;
                println!("{}", serde_json::to_string(&report)?);
                Ok(())
            }
            Some(Command::Providers { scenario, policies }) => provider::run(&scenario, policies).await,
        }
    })
}

/// The binary that is judged.
fn binary(given: Option<PathBuf>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("steam"),
    };
    path.canonicalize().with_context(|| {
        format!("there is no relayer at {}: build it with the same profile, or name it with --steam", path.display())
    })
}
