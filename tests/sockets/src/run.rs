//! The runs: many drawn markets, the scenes, and one small market. Each market is a process of its own.

use crate::binary;
use crate::judge::{LATE_MS, Markets, in_time, line, works};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::scenes::{SCENES, Scene};
use anyhow::{Context, Result, bail, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use rand::Rng;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use steam_simulator::document::released;
use steam_simulator::policy::Spec;
use tokio::process::Command;

/// Scenes that are played at once.
const SCENES_AT_ONCE: usize = 3;
/// Policies of the reduced run.
const FEW: [&str; 5] = ["oracle", "steam", "random", "least busy", "plain learner"];

/// The long run.
#[derive(clap::Args)]
pub struct Long {
    /// What the markets are drawn from; drawn and printed unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Markets.
    #[arg(long, default_value_t = 20)]
    markets: u64,
    /// How long each lasts, in seconds.
    #[arg(long, default_value_t = 120.0)]
    seconds: f64,
    /// Requests as they were recorded at a real service, in place of drawn ones.
    #[arg(long)]
    trace: bool,
    /// One policy after the other, in place of all at once.
    #[arg(long)]
    alone: bool,
    /// Markets that are played at the same time.
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    /// The binary `steam`; the one beside this program unless given.
    #[arg(long)]
    steam: Option<PathBuf>,
    /// Write what came of every market to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Judge what `--json` wrote once more, and play nothing.
    #[arg(long, value_name = "JSON")]
    again: Option<PathBuf>,
}

/// Plays drawn markets and prints table and claims.
///
/// # Errors
/// If a claim is missed, a market was not judged, or anything does not work.
pub async fn long(args: Long) -> Result<()> {
    let reports = match &args.again {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("{} has no markets", path.display()))?
        }
        None => played(&args).await?,
    };
    judge(&reports)
}

async fn played(args: &Long) -> Result<Vec<Report>> {
    let steam = binary(args.steam.clone())?;
    let seed = args.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000_000));
    println!(
        "seed {seed}: {} markets of {} s, {}; the relayer is {}; load average at the beginning {}",
        args.markets,
        args.seconds,
        if args.alone { "each policy alone" } else { "all policies at once" },
        steam.display(),
        load(),
    );
    let played = stream::iter(0..args.markets).map(async |number| {
        let scenario = Scenario::draw(seed, number, args.seconds, args.trace);
        let report =
            if args.alone { alone(&scenario, &steam).await? } else { market(&scenario, &steam, &everybody()).await? };
        println!("{}", line(&report)?);
        Ok::<Report, anyhow::Error>(report)
    });
    let reports: Vec<Report> = played.buffer_unordered(args.at_once.max(1)).try_collect().await?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec(&reports)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(reports)
}

fn judge(reports: &[Report]) -> Result<()> {
    let mut markets = Markets::default();
    for report in reports.iter().filter(|report| in_time(report)) {
        markets.add(report)?;
    }
    let late = reports.len() - markets.sockets.len();
    ensure!(
        markets.sockets.len() > 1,
        "nothing is judged: in {late} markets the harness was late by more than {LATE_MS} ms"
    );
    println!("\n{}", markets.table());
    println!("{}", markets.claims()?);
    ensure!(
        late == 0,
        "{late} markets are not in the table: the harness was late by more than {LATE_MS} ms; run it on a quiet machine"
    );
    Ok(())
}

/// Plays the scenes and says what came of each.
///
/// # Errors
/// If one is not what it must be.
pub async fn scenes(steam: &Path, names: &[String]) -> Result<()> {
    let wanted: Vec<Scene> = match names {
        [] => SCENES.to_vec(),
        names => names.iter().map(|name| Scene::named(name)).collect::<Result<_>>()?,
    };
    let policies = ["steam".to_owned()];
    let played = stream::iter(wanted).map(async |scene| {
        let report = market(&Scenario::Scene(scene), steam, &policies).await?;
        let judged = scene.judge(&report).map_err(|error| format!("{error:#}"));
        let late = if in_time(&report) { "" } else { ", not judged: the harness was late" };
        let words = judged.as_ref().map_or_else(|error| format!("missed: {error}"), Clone::clone);
        println!("{}: {words}{late}", scene.name());
        Ok::<bool, anyhow::Error>(judged.is_ok() && in_time(&report))
    });
    let held: Vec<bool> = played.buffer_unordered(SCENES_AT_ONCE).try_collect().await?;
    ensure!(
        held.iter().all(|&held| held),
        "{} of {} scenes do not hold",
        held.iter().filter(|&&held| !held).count(),
        held.len()
    );
    Ok(())
}

/// Plays one small market with a few policies.
///
/// # Errors
/// If something does not work.
pub async fn reduced(steam: &Path) -> Result<()> {
    let report = market(&Scenario::Scene(Scene::Small), steam, &FEW.map(ToOwned::to_owned)).await?;
    println!("{}", line(&report)?);
    println!("{}", works(&report)?);
    Ok(())
}

fn everybody() -> Vec<String> {
    released().iter().map(|spec| spec.name().to_owned()).collect()
}

/// A market played by each policy for itself.
async fn alone(scenario: &Scenario, steam: &Path) -> Result<Report> {
    let mut whole = Report { scenario: scenario.to_string(), ..Report::default() };
    for name in released().iter().map(Spec::name) {
        let one = market(scenario, steam, &[name.to_owned()]).await?;
        whole.policies.extend(one.policies);
        whole.attempts.extend(one.attempts);
        whole.board.extend(one.board);
        whole.unfinished += one.unfinished;
        whole.client_lag_ms = whole.client_lag_ms.max(one.client_lag_ms);
        whole.provider_lag_ms = whole.provider_lag_ms.max(one.provider_lag_ms);
        whole.busy = one.busy.into_iter().chain(whole.busy).reduce(f64::max);
    }
    Ok(whole)
}

/// A market played in a process of its own.
async fn market(scenario: &Scenario, steam: &Path, policies: &[String]) -> Result<Report> {
    let played = Command::new(std::env::current_exe()?)
        .arg("market")
        .arg(scenario.to_string())
        .arg(steam)
        .arg(policies.join(","))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    if !played.status.success() {
        bail!("{scenario} could not be played: {}", played.status);
    }
    serde_json::from_slice(&played.stdout).with_context(|| format!("{scenario} was played without a report"))
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
