//! `steam dev`: the whole system on this machine, in one process, with nothing else installed. A Solana network with the
//! program on it, simulated providers over real sockets, a relayer as `steam serve` runs it, and a user with money and a
//! key. Everything that is simulated says so.

mod demo;
mod files;
mod info;
mod system;
mod table;

use super::CliError;
use super::output::{Format, write_out};
use crate::addresses;
use crate::relay::dialect::chat::question::{Question, Stream, message};
use anyhow::{Context, Result};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;
use system::System;

/// Pause between two tables where they are not redrawn in place.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Run a complete local system: network, providers, relayer, a funded user
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// Take a guided tour that checks every promise on the way, and end
    #[arg(long)]
    pub demo: bool,
    /// Write base_url, api_key, rpc_url, addresses and keypair paths to this file as JSON once everything is ready
    #[arg(long, value_name = "FILE")]
    pub info: Option<PathBuf>,
    /// Make providers and addresses repeatable
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Port of the relayer; 0 takes a free one
    #[arg(long, default_value_t = 8787)]
    pub port: u16,
    /// Where keypairs, configuration and database go [default: a folder for this run alone]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Number of simulated providers
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(4..=32))]
    pub providers: u8,
    /// Time between two blocks, in milliseconds; a transaction is final 31 blocks later
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u64).range(20..=2_000))]
    pub slot_ms: u64,
    /// Pause between two settlements, in milliseconds
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub settle_interval_ms: u64,
    /// Requests a minute that a key may make; 0 is without limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub requests_per_minute: u32,
}

impl DevArgs {
    pub async fn run(self, output: Format) -> super::Result<()> {
        if self.demo && output == Format::Json {
            return Err(CliError::usage("--demo is a tour for people, and prints no JSON")
                .next("leave --output out, or --demo"));
        }
        if addresses::program() != steam_router::LOCAL_ADDRESS {
            return Err(CliError::usage("the local network has the program at its local address alone")
                .next("leave out --program, STEAM_PROGRAM, and STEAM_PROGRAM_ADDRESS where `steam` is built"));
        }
        match run(self, output).await {
            Ok(None) => Ok(()),
            Ok(Some(broken)) => Err(CliError::new("demo", format!("the demo ended early: {broken}"))
                .next("run it again with --seed to see whether it repeats, and report it")),
            Err(error) => Err(CliError::new("dev", format!("{error:#}"))
                .next("correct what it names and start again; `steam dev --help` explains every flag")),
        }
    }
}

/// Runs the system until it is interrupted, or the tour until it ends. Returns the promise that the tour found broken, if any.
async fn run(args: DevArgs, output: Format) -> Result<Option<String>> {
    if std::env::var_os("RUST_LOG").is_some() {
        // Logs are shown only where RUST_LOG asks for them. A process that logs already keeps its logger.
        let filter = super::serve::log_filter()?;
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    if let Some(file) = &args.info {
        info::check(file)?;
    }
    let system = System::start(&args, output).await?;
    if let Some(file) = &args.info {
        info::write(file, &system).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut broken = None;
    if args.demo {
        broken = demo::run(&system).await.err().map(|error| format!("{error:#}"));
    } else if output == Format::Json {
        write_out(format!("{:#}\n", info::document(&system)).as_bytes())?;
        interrupted().await;
    } else {
        say(&ready(&system));
        watch(&system).await;
    }
    system.stop().await;
    Ok(broken)
}

/// Shows the table until the process is interrupted.
async fn watch(system: &System) {
    let live = std::io::stdout().is_terminal();
    let mut every = tokio::time::interval(if live { Duration::from_secs(1) } else { LINES_EVERY });
    let mut interrupted = std::pin::pin!(interrupted());
    let mut drawn = 0;
    loop {
        tokio::select! {
            () = &mut interrupted => break,
            _ = every.tick() => {
                let table = table::render(system);
                if !live {
                    say(&table);
                    continue;
                }
                // Back to where the last one began, and over it; what is too wide is cut, or the count would be off.
                let back = if drawn > 0 { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
                drawn = table.lines().count();
                say(&format!("\x1b[?7l{back}{table}\x1b[?7h"));
            }
        }
    }
    say("\nstopping: requests under way may end\n");
}

async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    // Without signals there is nothing to wait for but the end of the process.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What to do with a running system.
fn ready(system: &System) -> String {
    let (base, key) = (&system.base_url, system.deployment.session.reveal());
    let model = crate::localnet::MODELS[0];
    let dir = system.dir.display();
    let hello = message("user", "Hello");
    let body = Question { model, messages: std::slice::from_ref(&hello), max_tokens: 256, stream: Stream::On }.body();
    format!(
        "\nSteam Router is ready. Its providers are simulated; network, program, routing, receipts and settlement are real.

  curl {base}/chat/completions \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{body}'

from openai import OpenAI                      # pip install openai
client = OpenAI(base_url=\"{base}\", api_key=\"{key}\")
answer = client.chat.completions.create(model=\"{model}\", messages=[{hello}])
print(answer.choices[0].message.content)

  page     {page}   (deposit, keys, spending and market in a browser; its faucet gives test money)
  models   {models}
  RPC      {rpc}   websocket {ws}
  vault    {vault}   (any transfer of {mint} to it is a deposit)
  relayer  {relayer}   (`steam vault open --relayer` takes it)
  money    curl {base}/chain/faucet -H 'Content-Type: application/json' -d '{{\"wallet\":\"ADDRESS\"}}'   (SOL and USDC of this network)
  command  steam -u {rpc} -k {dir}/owner.json vault show
  owner    {dir}/owner.json   relayer {dir}/relayer.json   configuration {dir}/steam.toml

",
        page = base.trim_end_matches("v1"),
        models = crate::localnet::MODELS.join(", "),
        rpc = system.localnet.rpc_url,
        ws = system.localnet.ws_url,
        vault = system.deployment.key.vault,
        relayer = system.deployment.relayer,
        mint = system.localnet.mint,
    )
}

/// Prints. An error is ignored: standard output is closed, and nobody reads it.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
