//! `steam config check`: whether the relayer would start with a configuration file, without starting it.

use super::error::{CliError, Result};
use super::output::{Report, line};
use super::serve::Settings;
use super::solana::Global;
use crate::chain::{Pubkey, node_url};
use crate::http::OperatorToken;
use serde::Serialize;
use solana_signer::Signer;
use std::io::{self, Write};
use std::path::Path;

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
        let mut read: Vec<(&str, Pubkey)> = Vec::new();
        for (key, path) in keypairs.into_iter().filter_map(|(key, path)| Some((key, path?))) {
            let address = super::signer::read_keypair(path, key).map_err(CliError::into_invalid)?.pubkey();
            if let Some((other, _)) = read.iter().find(|(_, known)| key == "sponsor.keypair" && *known == address) {
                let message = format!("{key} is the same as {other}");
                return Err(CliError::invalid("config", message)
                    .next("make a keypair for this alone with `steam keygen`, and send it SOL"));
            }
            read.push((key, address));
        }
        operator_token(&config.operator.token_file)?;
        config.ledger.location().map_err(|error| {
            CliError::invalid("config", error.to_string()).next("correct it and run `steam config check`")
        })?;
        global.output.print(&Checked {
            file: settings.file.display().to_string(),
            listen: config.server.listen.to_string(),
            rpc_urls: config.chain.rpc_urls.iter().map(|url| node_url::shown(url)).collect(),
            relayer: config.chain.relayer.map(|relayer| relayer.to_string()),
            ledger: config.ledger.shown(),
            bearer_keys: config.server.bearer_keys,
        })
    }
}

/// Reads the operator's token as `steam serve` does.
fn operator_token(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read operator.token_file, {}: {error}", path.display());
        CliError::invalid("config", message).next("correct the path, or leave it out: there is no such page without it")
    })?;
    if OperatorToken::read(&text).is_none() {
        let message = format!("{} holds no token: 32 or more letters, digits or signs in one line", path.display());
        return Err(CliError::invalid("config", message).next("make one with `openssl rand -hex 32`"));
    }
    Ok(())
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
