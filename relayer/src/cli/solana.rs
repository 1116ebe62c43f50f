//! Where the Solana command line keeps its settings, read so that `steam` needs none of its own: cluster and keypair come
//! from a flag, or from `~/.config/solana/cli/config.yml`, or from that tool's defaults.

use super::error::{CliError, Result};
use super::output::Format;
use crate::chain::Pubkey;
use solana_keypair::Keypair;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DEFAULT_URL: &str = "https://api.mainnet-beta.solana.com";

/// Flags every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Solana cluster: an RPC URL, or localhost, devnet, testnet, mainnet-beta [default: from the Solana CLI's config]
    #[arg(short, long, global = true, value_name = "URL_OR_MONIKER", value_parser = cluster_url, env = "STEAM_URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// Keypair file that signs and pays [default: from the Solana CLI's config]
    #[arg(short, long, global = true, value_name = "FILE", value_parser = keypair_path, help_heading = "Global options")]
    pub keypair: Option<PathBuf>,
    /// The Solana CLI's configuration file [default: ~/.config/solana/cli/config.yml]
    #[arg(short = 'C', long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    pub output: Format,
}

/// The values the Solana CLI's file gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolanaConfig {
    url: Option<String>,
    keypair: Option<PathBuf>,
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

fn keypair_path(text: &str) -> std::result::Result<PathBuf, String> {
    if text.is_empty() || text == "ASK" || text.contains("://") {
        return Err("expected the path of a keypair file; prompts and hardware wallets are not supported".into());
    }
    Ok(text.into())
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
        Self { url: value("json_rpc_url"), keypair: value("keypair_path").map(PathBuf::from) }
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
    pub fn keypair_path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.keypair {
            return Ok(path.clone());
        }
        if let Some(path) = SolanaConfig::read(self.config.as_deref())?.keypair {
            return Ok(path);
        }
        home().map(|home| home.join(".config/solana/id.json")).ok_or_else(|| {
            CliError::new("keypair", "no keypair is set and HOME is not known").next("use --keypair FILE")
        })
    }

    /// The keypair that signs and pays.
    pub fn signer(&self) -> Result<Arc<Keypair>> {
        read_keypair(&self.keypair_path()?, "--keypair").map(Arc::new)
    }

    /// The keypair's address.
    pub fn address(&self) -> Result<Pubkey> {
        use solana_signer::Signer;
        Ok(self.signer()?.pubkey())
    }
}

/// Reads a keypair file in the Solana CLI's form. No error ever shows what the file contains.
pub fn read_keypair(path: &Path, flag: &str) -> Result<Keypair> {
    let fail = |problem: String| {
        CliError::new("keypair", problem)
            .next(format!("create one with `solana-keygen new -o {}`, or name another with {flag}", path.display()))
    };
    let mut text = std::fs::read_to_string(path)
        .map_err(|error| fail(format!("cannot read the keypair file {}: {error}", path.display())))?;
    let bytes: std::result::Result<Vec<u8>, _> = serde_json::from_str(&text);
    zeroize::Zeroize::zeroize(&mut text);
    let mut bytes =
        bytes.map_err(|_| fail(format!("{} is no keypair file: it is not a JSON list of bytes", path.display())))?;
    let keypair = Keypair::try_from(bytes.as_slice());
    zeroize::Zeroize::zeroize(&mut bytes);
    keypair.map_err(|_| fail(format!("{} is no keypair file: it needs 64 bytes of a valid keypair", path.display())))
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
        assert_eq!(config.keypair, Some("/home/a b/id.json".into()));
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
