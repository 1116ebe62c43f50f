//! `steam config check`: whether the relayer would start with a configuration file, without starting it.

use super::error::{CliError, Result};
use super::output::{Report, line};
use super::serve::Settings;
use super::solana::Global;
use crate::chain::node_url;
use serde::Serialize;
use std::io::{self, Write};

/// The relayer's configuration
#[derive(Debug, clap::Subcommand)]
pub enum Config {
    /// Check a configuration file, and show what the relayer would run with
    Check(Settings),
}

#[derive(Serialize)]
struct Checked {
    file: String,
    listen: String,
    rpc_urls: Vec<String>,
    relayer: Option<String>,
    ledger: String,
    bearer_keys: bool,
}

impl Config {
    pub fn run(self, global: &Global) -> Result<()> {
        let Self::Check(settings) = self;
        let config = settings.load().map_err(|error| match std::fs::File::open(&settings.file) {
            Ok(_) => error.into_invalid(),
            // What cannot be read was not checked.
            Err(_) => error,
        })?;
        let sponsor = Some(&config.sponsor.keypair).filter(|path| !path.as_os_str().is_empty());
        let keypairs = [
            ("chain.settler_keypair", Some(&config.chain.settler_keypair)),
            ("chain.receipt_keypair", Some(&config.chain.receipt_keypair)),
            ("sponsor.keypair", sponsor),
        ];
        for (key, path) in keypairs.into_iter().filter_map(|(key, path)| Some((key, path?))) {
            super::signer::read_keypair(path, key).map_err(CliError::into_invalid)?;
        }
        global.output.print(&Checked {
            file: settings.file.display().to_string(),
            listen: config.server.listen.to_string(),
            rpc_urls: config.chain.rpc_urls.iter().map(|url| node_url::shown(url)).collect(),
            relayer: config.chain.relayer.map(|relayer| relayer.to_string()),
            ledger: config.ledger.path.display().to_string(),
            bearer_keys: config.server.bearer_keys,
        })
    }
}

impl Report for Checked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} is a valid configuration", self.file)?;
        line(out, "listen", &self.listen)?;
        line(out, "rpc", self.rpc_urls.join(", "))?;
        line(out, "relayer", self.relayer.as_deref().unwrap_or("-"))?;
        line(out, "ledger", &self.ledger)?;
        line(out, "bearer keys", if self.bearer_keys { "accepted" } else { "refused" })
    }
}
