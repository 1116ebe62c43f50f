//! Where the Solana command line keeps its settings, read so that `steam` needs none of its own: cluster and keypair come
//! from a flag, or from `~/.config/solana/cli/config.yml`, or from that tool's defaults.

use super::error::{CliError, Result};
use super::output::Format;
use super::parse::address;
use super::signer::{Signer, Source, source};
use crate::chain::Pubkey;
use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const DEFAULT_URL: &str = "https://api.mainnet-beta.solana.com";

/// Flags every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Solana cluster: an RPC URL, localhost, devnet, testnet, mainnet-beta [default: from the Solana CLI's config]
    #[arg(short, long, global = true, value_name = "URL_OR_MONIKER", value_parser = cluster_url, env = "STEAM_URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// Who signs and pays: a keypair file or what the Solana CLI takes for one [default: from its config]
    #[arg(short, long, global = true, value_name = "KEYPAIR", value_parser = source, help_heading = "Global options")]
    pub keypair: Option<Source>,
    /// The program of another deployment [default: the one this binary was built with]
    #[arg(long, global = true, value_name = "ADDRESS", value_parser = address, env = "STEAM_PROGRAM", help_heading = "Global options")]
    pub program: Option<Pubkey>,
    /// The Solana CLI's configuration file [default: ~/.config/solana/cli/config.yml]
    #[arg(short = 'C', long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// How results are printed: text, json, or of `steam statement` csv
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    pub output: Format,
    /// Who signs, once it was opened: a seed phrase is asked for once.
    #[arg(skip)]
    opened: Opened,
}

/// A signer that may have been opened.
#[derive(Clone, Default)]
struct Opened(Rc<OnceCell<Signer>>);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opened").field(&self.0.get().map(Signer::address)).finish()
    }
}

/// The values the Solana CLI's file gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolanaConfig {
    url: Option<String>,
    keypair: Option<String>,
}

/// A moniker's or URL's RPC endpoint.
pub fn cluster_url(text: &str) -> std::result::Result<String, String> {
    let url = match text {
        "localhost" | "l" | "localnet" => "http://127.0.0.1:8899",
        "devnet" | "d" => "https://api.devnet.solana.com",
        "testnet" | "t" => "https://api.testnet.solana.com",
        "mainnet-beta" | "mainnet" | "m" => DEFAULT_URL,
        url => url,
    };
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(url.to_owned()),
        _ => Err("expected an http(s) URL, or one of localhost, devnet, testnet, mainnet-beta".into()),
    }
}

impl SolanaConfig {
    /// Reads the two flat `key: value` lines that matter; the rest of the YAML is somebody else's.
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let value = line.strip_prefix(key)?.strip_prefix(':')?.trim();
                let quoted = |mark| value.strip_prefix(mark).and_then(|rest: &str| rest.strip_suffix(mark));
                let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
                (!value.is_empty()).then(|| value.to_owned())
            })
        };
        Self { url: value("json_rpc_url"), keypair: value("keypair_path") }
    }

    fn read(explicit: Option<&Path>) -> Result<Self> {
        let path = match explicit {
            Some(path) => path.to_owned(),
            None => match home() {
                Some(home) => home.join(".config/solana/cli/config.yml"),
                None => return Ok(Self::default()),
            },
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if explicit.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                Err(CliError::new("config", format!("cannot read the Solana CLI's config {}: {error}", path.display()))
                    .next("name another file with --config, or set --url and --keypair"))
            }
        }
    }
}

impl Global {
    /// The RPC endpoint to use.
    pub fn rpc_url(&self) -> Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        match SolanaConfig::read(self.config.as_deref())?.url {
            None => Ok(DEFAULT_URL.into()),
            Some(url) => cluster_url(&url).map_err(|problem| {
                CliError::new("config", format!("json_rpc_url in the Solana CLI's config is wrong: {problem}"))
                    .next("set it with `solana config set --url`, or use --url")
            }),
        }
    }

    /// Where the keypair is.
    fn source(&self) -> Result<Source> {
        if let Some(source) = &self.keypair {
            return Ok(source.clone());
        }
        if let Some(named) = SolanaConfig::read(self.config.as_deref())?.keypair {
            return source(&named).map_err(|problem| {
                CliError::new("config", format!("keypair_path in the Solana CLI's config is wrong: {problem}"))
                    .next("set it with `solana config set --keypair`, or use --keypair")
            });
        }
        home().map(|home| Source::File(home.join(".config/solana/id.json"))).ok_or_else(|| {
            CliError::new("keypair", "no keypair is set and HOME is not known").next("use --keypair FILE")
        })
    }

    /// Who signs and, unless another does, pays.
    pub fn signer(&self) -> Result<Signer> {
        if let Some(opened) = self.opened.0.get() {
            return Ok(opened.clone());
        }
        let source = self.source()?;
        let signer = source.open("--keypair")?;
        if let Source::File(path) = &source {
            self.output.warn_of(path);
        }
        Ok(self.opened.0.get_or_init(|| signer).clone())
    }

    /// The signer's address.
    pub fn address(&self) -> Result<Pubkey> {
        Ok(self.signer()?.address())
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solana_clis_file_is_read() {
        let text = "---\njson_rpc_url: https://api.devnet.solana.com\nwebsocket_url: ''\nkeypair_path: \"/home/a b/id.json\"\naddress_labels:\n  keypair_path: no\ncommitment: confirmed\n";
        let config = SolanaConfig::parse(text);
        assert_eq!(config.url.as_deref(), Some("https://api.devnet.solana.com"));
        assert_eq!(config.keypair, Some("/home/a b/id.json".to_owned()));
        assert_eq!(SolanaConfig::parse("json_rpc_url: ''\n"), SolanaConfig::default());
    }

    #[test]
    fn monikers_and_urls_are_clusters() {
        assert_eq!(cluster_url("localhost").as_deref(), Ok("http://127.0.0.1:8899"));
        assert_eq!(cluster_url("http://[::1]:8899/x").as_deref(), Ok("http://[::1]:8899/x"));
        for wrong in ["", "mainnet-gamma", "ws://x", "http://", "127.0.0.1:8899"] {
            assert!(cluster_url(wrong).is_err(), "{wrong}");
        }
    }
}
