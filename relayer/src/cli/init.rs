//! `steam init`: a commented configuration with what only its operator knows filled in.

use super::error::Result;
use super::new_file::cannot_make;
use super::output::{Report, line};
use super::parse::{address, file};
use super::solana::{Global, cluster_url};
use crate::chain::Pubkey;
use crate::words::quoted;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MINIMAL: &str = include_str!("../../../deploy/steam.minimal.toml");
const MAXIMAL: &str = include_str!("../../../deploy/steam.maximal.toml");
/// What the templates say of values that are filled in here.
const NOTES: [&str; 3] = [" (This one is an example.)", " (an example)", " (examples)"];

/// Write a commented configuration for `steam serve`
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The relayer's account, as `steam relayer register` printed it
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub relayer: Pubkey,
    /// RPC endpoint; repeat it: two that agree are needed where more than one is named
    #[arg(long, value_name = "URL", env = "STEAM_RPC_URLS", value_delimiter = ',', value_parser = cluster_url, required = true)]
    pub rpc_url: Vec<String>,
    /// Keypair file that signs and pays for settlements
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub settler_keypair: PathBuf,
    /// Keypair file that signs receipts
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub receipt_keypair: PathBuf,
    /// The database file
    #[arg(long, value_name = "FILE", value_parser = file, env = "STEAM_LEDGER", default_value = "steam.db")]
    pub ledger: PathBuf,
    /// Write every setting with its default, and not only those that are needed
    #[arg(long)]
    pub all: bool,
    /// File to write; it must not exist
    #[arg(long, value_name = "FILE", value_parser = file, default_value = "steam.toml")]
    pub out: PathBuf,
}

#[derive(Serialize)]
struct Made {
    file: String,
}

impl Init {
    pub fn run(self, global: &Global) -> Result<()> {
        let text = self.text();
        write_new(&self.out, &text).map_err(|error| cannot_make(&self.out, &error, "config", "--out"))?;
        global.output.print(&Made { file: self.out.display().to_string() })
    }

    fn text(&self) -> String {
        let path = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let values = [
            ("rpc_urls", toml::Value::from(self.rpc_url.clone()).to_string()),
            ("relayer", toml::Value::from(self.relayer.to_string()).to_string()),
            ("settler_keypair", path(&self.settler_keypair)),
            ("receipt_keypair", path(&self.receipt_keypair)),
            ("path", path(&self.ledger)),
        ];
        filled(if self.all { MAXIMAL } else { MINIMAL }, &values)
    }
}

/// `template` with the values of the settings named, and without saying any more that these are examples.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let value_of = |line: &str| {
        let (name, _) = line.split_once(" = ")?;
        values.iter().find(|(known, _)| *known == name).map(|(_, value)| format!("{name} = {value}"))
    };
    let mut lines: Vec<String> = Vec::new();
    for line in template.lines() {
        if let Some(filled) = value_of(line) {
            // The comment above may say so.
            for note in NOTES {
                if let Some(comment) =
                    lines.iter_mut().rev().take_while(|line| line.starts_with('#')).find(|line| line.contains(note))
                {
                    *comment = comment.replace(note, "");
                }
            }
            lines.push(filled);
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

/// Makes a file that its owner and its group may read: endpoints may hold keys. Never overwrites one.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())
}

impl Report for Made {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "file", &self.file)?;
        writeln!(out, "Look through it, and then run `steam doctor {}`.", quoted(Path::new(&self.file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn init(all: bool) -> Init {
        Init {
            relayer: Pubkey::new_from_array([7; 32]),
            rpc_url: vec!["https://one.example/?key=x".into(), "https://two.example".into()],
            settler_keypair: "/keys/set\\tler.json".into(),
            receipt_keypair: "/keys/receipts.json".into(),
            ledger: "/data/steam.db".into(),
            all,
            out: "steam.toml".into(),
        }
    }

    #[test]
    fn what_is_written_is_a_configuration_with_what_was_said_and_defaults() {
        for all in [false, true] {
            let (init, text) = (init(all), init(all).text());
            let config: Config = toml::from_str(&text).unwrap();
            config.check().unwrap();
            assert_eq!(config.chain.rpc_urls, init.rpc_url);
            assert_eq!(config.chain.relayer, Some(init.relayer));
            assert_eq!(config.chain.settler_keypair, init.settler_keypair);
            assert_eq!(config.chain.receipt_keypair, init.receipt_keypair);
            assert_eq!(config.ledger.path, init.ledger);
            let mut known = config;
            let defaults = Config::default();
            (known.chain, known.ledger.path) = (defaults.chain.clone(), defaults.ledger.path.clone());
            assert_eq!(known.restarts_for(&defaults), Vec::<&str>::new(), "all else is a default");
            assert!(!text.contains("rpc-one") && !text.contains("/var/lib"), "{text}");
            let relayer = text.lines().position(|line| line.starts_with("relayer = ")).unwrap();
            let above = text.lines().nth(relayer - 1).unwrap();
            assert!(above.starts_with("# The relayer's account") && !above.contains("example"), "{above}");
        }
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steam.toml");
        write_new(&path, "one").unwrap();
        assert_eq!(write_new(&path, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(crate::secret_files::exposed(&path), None);
    }
}
