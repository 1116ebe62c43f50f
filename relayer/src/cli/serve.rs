//! `steam serve`: the relayer. Its settings come from a flag, then the environment, then the file, then a default.

use super::error::{CliError, Result};
use super::solana::{Global, cluster_url};
use crate::config::Config;
use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// The database file, in place of ledger.path
    #[arg(long, value_name = "FILE", env = "STEAM_LEDGER")]
    pub ledger: Option<PathBuf>,
    /// RPC endpoint, in place of chain.rpc_urls; may be repeated
    #[arg(long, value_name = "URL", env = "STEAM_RPC_URLS", value_delimiter = ',', value_parser = cluster_url)]
    pub rpc_url: Vec<String>,
}

impl Settings {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, global: &Global) -> Result<Config> {
        let fail = |error: crate::config::ConfigError| {
            CliError::new("config", error.to_string()).next("correct it and run `steam config check`")
        };
        let mut config = Config::read(&self.file).map_err(fail)?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if let Some(ledger) = &self.ledger {
            config.ledger.path.clone_from(ledger);
        }
        if !self.rpc_url.is_empty() {
            config.chain.rpc_urls.clone_from(&self.rpc_url);
        } else if let Some(url) = &global.url {
            config.chain.rpc_urls = vec![url.clone()];
        }
        config.check().map_err(fail)?;
        Ok(config)
    }
}

impl Serve {
    /// Runs until told to stop.
    ///
    /// # Errors
    /// Why the relayer cannot start, or stopped.
    pub async fn run(self, global: &Global) -> Result<()> {
        let _config = self.settings.load(global)?;
        Err(CliError::new("serve", "the relayer is not part of this build"))
    }
}
