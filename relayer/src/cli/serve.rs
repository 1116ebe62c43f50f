//! `steam serve`: the relayer. Its settings come from a flag, then the environment, then the file, then a default.

use super::error::{CliError, Result};
use super::output::Format;
use super::parse::{Given, host_and_port, ledger};
use super::solana::{Global, cluster_url};
use crate::app::replica::Replica;
use crate::app::{self, Running, StartError};
use crate::chain::rpc::RpcError;
use crate::config::Config;
use crate::ledger::LedgerError;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Run the relayer
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// What to run with.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the relayer runs with.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// The relayer's configuration file
    #[arg(value_name = "FILE", default_value = "steam.toml", env = "STEAM_CONFIG")]
    pub file: PathBuf,
    /// Address and port to listen on, in place of server.listen
    #[arg(long, value_name = "ADDRESS", env = "STEAM_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// The database file or postgres:// URL, in place of ledger.path and ledger.url
    #[arg(long, value_name = "FILE|URL", value_parser = ledger, env = "STEAM_LEDGER")]
    pub ledger: Option<Given>,
    /// RPC endpoint, in place of chain.rpc_urls; may be repeated
    #[arg(long, value_name = "URL", env = "STEAM_RPC_URLS", value_delimiter = ',', value_parser = cluster_url)]
    pub rpc_url: Vec<String>,
    /// Where the other processes reach this one, as host:port, in place of replicas.address
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port, env = "STEAM_REPLICA_ADDRESS")]
    pub replica_address: Option<String>,
}

impl Settings {
    /// Reads and checks the configuration. `--url` and `STEAM_URL` name the one node of the other commands: they do not
    /// replace the relayer's nodes, which are to agree.
    pub fn load(&self) -> Result<Config> {
        let fail = |error: crate::config::ConfigError| {
            CliError::new("config", error.to_string()).next("correct it and run `steam config check`")
        };
        let mut config = Config::read(&self.file).map_err(fail)?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if let Some(ledger) = &self.ledger {
            config.ledger.set_location(&ledger.place()?);
        }
        if !self.rpc_url.is_empty() {
            config.chain.rpc_urls.clone_from(&self.rpc_url);
        }
        if let Some(address) = &self.replica_address {
            config.replicas.address.clone_from(address);
        }
        config.check().map_err(fail)?;
        Ok(config)
    }
}

impl Serve {
    /// Runs until told to stop.
    pub async fn run(self, global: &Global) -> Result<()> {
        let config = self.settings.load()?;
        log(global.output)?;
        for warning in config.warnings(&self.settings.file) {
            tracing::warn!("{warning}");
        }
        // Before anything that takes long: a signal that nobody waits for ends the process.
        let (mut stops, reloads) = (Stops::new()?, Reloads::new()?);
        let running = tokio::select! {
            running = AtWork::start(config) => running.map_err(|error| cannot_start(&error))?,
            asked = stops.next() => return asked,
        };
        let asked = tokio::select! {
            asked = stops.next() => asked,
            never = reloads.serve(&self.settings, &running) => match never {},
        };
        tracing::info!("draining; requests under way end first");
        running.stop().await;
        asked
    }
}

/// The relayer, alone on its ledger or beside others.
enum AtWork {
    Alone(Box<Running>),
    Replica(Box<Replica>),
}

impl AtWork {
    async fn start(config: Config) -> std::result::Result<Self, StartError> {
        if config.replicas.is_on() {
            return app::replica::start(config).await.map(Box::new).map(Self::Replica);
        }
        app::start(config).await.map(Box::new).map(Self::Alone)
    }

    fn reload(&self, config: &Config) -> Vec<&'static str> {
        match self {
            Self::Alone(running) => running.reload(config),
            Self::Replica(replica) => replica.reload(config),
        }
    }

    async fn stop(self) {
        match self {
            Self::Alone(running) => running.stop().await,
            Self::Replica(replica) => replica.stop().await,
        }
    }
}

/// What RUST_LOG says is logged, `info` without it.
pub(super) fn log_filter() -> Result<EnvFilter> {
    let said = std::env::var_os("RUST_LOG").map(|said| said.to_string_lossy().into_owned());
    filter_of(said.as_deref().unwrap_or("info"))
}

fn filter_of(said: &str) -> Result<EnvFilter> {
    EnvFilter::builder().parse(said).map_err(|error| {
        CliError::invalid("RUST_LOG", format!("the environment variable RUST_LOG cannot be read: {error}"))
            .next("name levels as in `info` or `steam=debug,info`")
    })
}

/// Logs to standard error, as RUST_LOG says: in JSON for machines.
fn log(format: Format) -> Result<()> {
    let filter = log_filter()?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match format {
        Format::Text | Format::Csv => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    started.map_err(|error| CliError::new("log", format!("cannot log: {error}")))
}

/// Waits until the process is told to stop.
pub(super) async fn asked_to_stop() -> Result<()> {
    Stops::new()?.next().await
}

/// SIGTERM and SIGINT, from the moment on at which this was made: before, they end the process at once.
struct Stops {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stops {
    fn new() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            Ok(Self { terminate: terminate.map_err(cannot_wait)?, interrupt: interrupt.map_err(cannot_wait)? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next of them.
    async fn next(&mut self) -> Result<()> {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            Ok(())
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await.map_err(cannot_wait)
    }
}

fn cannot_wait(error: std::io::Error) -> CliError {
    CliError::new("signal", format!("cannot wait for a signal to stop: {error}"))
}

/// Each SIGHUP asks to read the configuration anew.
struct Reloads {
    #[cfg(unix)]
    hangups: tokio::signal::unix::Signal,
}

impl Reloads {
    fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangups: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .map_err(|error| CliError::new("signal", format!("cannot wait for a signal to reload: {error}")))?,
        })
    }

    /// Takes over the `[market]` part each time. A configuration that cannot be used changes nothing.
    #[cfg_attr(not(unix), expect(unused_mut, unused_variables, reason = "there is no such signal"))]
    async fn serve(mut self, settings: &Settings, running: &AtWork) -> Infallible {
        #[cfg(unix)]
        while self.hangups.recv().await.is_some() {
            match settings.load() {
                Ok(config) => {
                    let restarts = running.reload(&config);
                    tracing::info!("the [market] part of the configuration was read anew");
                    if !restarts.is_empty() {
                        let parts = restarts.join(", ");
                        tracing::warn!(parts, "these parts of the configuration have changed and need a restart");
                    }
                }
                Err(error) => tracing::error!(%error, "the configuration was not read anew"),
            }
        }
        std::future::pending().await
    }
}

pub(super) fn cannot_start(error: &StartError) -> CliError {
    let next = match error {
        StartError::Config(_) => "correct it and run `steam config check`",
        StartError::KeypairFile { .. } => {
            "make the keypair with `steam keygen --out FILE`, or correct the path in the configuration"
        }
        StartError::Keypair { .. } => "correct the path in the configuration, or put the keypair's own file there",
        StartError::OperatorTokenFile { .. } => {
            "correct operator.token_file, or leave it out: there is no such page without it"
        }
        StartError::OperatorToken { .. } => {
            "make one with `openssl rand -hex 32`, in a file that the relayer alone can read"
        }
        StartError::SecretFile { .. } => "correct replicas.secret_file, or leave it out for a relayer of one process",
        StartError::Secret { .. } => {
            "make one with `openssl rand -hex 32`, in a file that the relayer alone can read, the same for all its processes"
        }
        StartError::Chain(RpcError::Absent(_)) => {
            "set chain.relayer to the address that `steam relayer register` printed, and chain.rpc_urls to nodes of that cluster"
        }
        StartError::Chain(_) => "check chain.rpc_urls: each must answer and be of the same cluster",
        StartError::Mismatch(_) => "compare the configuration with `steam relayer status`",
        StartError::Settle(_) => "check chain.rpc_urls: each must answer and be of the same cluster",
        StartError::Grace(_) => {
            "lower upstream.total_timeout_ms or settle.interval_ms; `steam admin status` shows the delays"
        }
        StartError::Ledger(LedgerError::Copy { .. }) => {
            "run `steam ledger reconcile`, see what it would do, and run it again with --apply"
        }
        StartError::Ledger(LedgerError::Server { .. }) => {
            "check ledger.url, its password and that the server runs: `psql` with the same URL must get in"
        }
        StartError::Ledger(_) => "check ledger.path or ledger.url; a ledger belongs to one relayer on one cluster",
        StartError::Probe(_) => "name the file `steam key create --out FILE` wrote, or leave probe.key_file out",
        StartError::Upstream(_) => "correct the [upstream] part of the configuration",
        StartError::Socket(_) => {
            "hand over one TCP socket that listens, as deploy/systemd/steam.socket does, or none: then server.listen is taken"
        }
        StartError::Listen { .. } => {
            "stop what listens there, or choose another address: server.listen, --listen, or operator.listen for the operator's page"
        }
    };
    CliError::new("serve", error.to_string()).next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rust_log_says_is_read_or_refused() {
        assert_eq!(filter_of("steam=debug,info").unwrap().to_string(), "steam=debug,info");
        for wrong in ["steam=lout", "steam=debug=info", "[steam"] {
            let error = filter_of(wrong).unwrap_err().to_string();
            assert!(error.contains("RUST_LOG cannot be read"), "{wrong}: {error}");
        }
    }
}
