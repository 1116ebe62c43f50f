//! `steam init`: a commented configuration with what only its operator knows filled in.

use super::error::{CliError, Result};
use super::new_file::{cannot_make, create};
use super::output::{Report, line};
use super::parse::{address, file};
use super::solana::{Global, cluster_url};
use crate::chain::Pubkey;
use crate::config::Config;
use crate::words::quoted;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MINIMAL: &str = include_str!("../../../deploy/steam.minimal.toml");
const MAXIMAL: &str = include_str!("../../../deploy/steam.maximal.toml");
/// What the templates say of values that are filled in here.
const NOTES: [(&str, &str); 4] =
    [(" (This one is an example.)", ""), (" (an example)", ""), (" (examples)", ""), ("(an example; ", "(")];

/// Write a commented configuration for `steam serve`
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The relayer's account, as `steam relayer register` printed it
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub relayer: Pubkey,
    /// RPC endpoint; repeat it: two that agree are needed where more than one is named
    #[arg(long, value_name = "URL", env = "STEAM_RPC_URLS", value_delimiter = ',', value_parser = cluster_url, required = true)]
    pub rpc_url: Vec<String>,
    /// How the relayer is deployed, which says where keypairs and ledger are: see deploy/
    #[arg(long = "for", value_name = "DEPLOYMENT", conflicts_with_all = ["settler_keypair", "receipt_keypair", "ledger"])]
    pub deployment: Option<Deployment>,
    /// Keypair file that signs and pays for settlements
    #[arg(long, value_name = "FILE", value_parser = file, required_unless_present = "deployment")]
    pub settler_keypair: Option<PathBuf>,
    /// Keypair file that signs receipts
    #[arg(long, value_name = "FILE", value_parser = file, required_unless_present = "deployment")]
    pub receipt_keypair: Option<PathBuf>,
    /// The database file [default: steam.db]
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub ledger: Option<PathBuf>,
    /// Write every setting with its default, and not only those that are needed
    #[arg(long)]
    pub all: bool,
    /// File to write; it must not exist
    #[arg(long, value_name = "FILE", value_parser = file, default_value = "steam.toml")]
    pub out: PathBuf,
}

/// What runs the relayer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Deployment {
    /// The unit of deploy/systemd.
    Systemd,
    /// deploy/compose.yaml.
    Compose,
    /// The chart of deploy/helm.
    Helm,
}

impl Deployment {
    /// The folder in which it puts the keypairs.
    fn keypairs(self) -> &'static Path {
        Path::new(match self {
            Self::Systemd => "/run/credentials/steam.service",
            Self::Compose => "/run/secrets",
            Self::Helm => "/run/secrets/steam",
        })
    }
}

/// Where the ledger is wherever the relayer is deployed.
const LEDGER: &str = "/var/lib/steam/steam.db";

#[derive(Serialize)]
struct Made {
    file: String,
}

impl Init {
    pub fn run(self, global: &Global) -> Result<()> {
        let text = self.text(global.program)?;
        write_new(&self.out, &text).map_err(|error| cannot_make(&self.out, &error, "config", "--out"))?;
        global.output.print(&Made { file: self.out.display().to_string() })
    }

    /// The file, whose values `steam config check` takes.
    fn text(&self, program: Option<Pubkey>) -> Result<String> {
        let [settler, receipts, ledger] = self.paths()?;
        let quoted = |text: String| toml::Value::from(text).to_string();
        let mut values = vec![
            ("rpc_urls", toml::Value::from(self.rpc_url.clone()).to_string()),
            ("relayer", quoted(self.relayer.to_string())),
            ("settler_keypair", quoted(settler.display().to_string())),
            ("receipt_keypair", quoted(receipts.display().to_string())),
            ("path", quoted(ledger.display().to_string())),
        ];
        values.extend(program.map(|program| ("program", quoted(program.to_string()))));
        let text = filled(if self.all { MAXIMAL } else { MINIMAL }, &values);
        let config: Config =
            toml::from_str(&text).map_err(|error| CliError::new("config", error.message().to_owned()))?;
        config.check().map_err(|error| CliError::usage(error.to_string()))?;
        Ok(text)
    }

    /// The files of the settler, of receipts and of the ledger. They are the same from every working directory.
    fn paths(&self) -> Result<[PathBuf; 3]> {
        if let Some(deployment) = self.deployment {
            let folder = deployment.keypairs();
            return Ok([folder.join("settler.json"), folder.join("receipts.json"), LEDGER.into()]);
        }
        let whole = |path: &Option<PathBuf>, other: &str| {
            let path = path.as_deref().unwrap_or(Path::new(other));
            std::path::absolute(path)
                .map_err(|error| CliError::new("config", format!("there is no working directory: {error}")))
        };
        Ok([
            whole(&self.settler_keypair, "settler.json")?,
            whole(&self.receipt_keypair, "receipts.json")?,
            whole(&self.ledger, "steam.db")?,
        ])
    }
}

/// `template` with the values of the settings named, and without saying any more that these are examples.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let value_of = |line: &str| {
        let (name, _) = line.strip_prefix('#').unwrap_or(line).split_once(" = ")?;
        values.iter().find(|(known, _)| *known == name).map(|(_, value)| format!("{name} = {value}"))
    };
    let mut lines: Vec<String> = Vec::new();
    for line in template.lines() {
        if let Some(filled) = value_of(line) {
            // The comment above may say so.
            for (note, instead) in NOTES {
                if let Some(comment) =
                    lines.iter_mut().rev().take_while(|line| line.starts_with('#')).find(|line| line.contains(note))
                {
                    *comment = comment.replace(note, instead);
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
    let mut file = create(path, 0o640)?;
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
            deployment: None,
            settler_keypair: Some("/keys/set\\tler.json".into()),
            receipt_keypair: Some("receipts.json".into()),
            ledger: None,
            all,
            out: "steam.toml".into(),
        }
    }

    #[test]
    fn what_is_written_is_a_configuration_with_what_was_said_and_defaults() {
        for all in [false, true] {
            let (init, text) = (init(all), init(all).text(None).unwrap());
            let config: Config = toml::from_str(&text).unwrap();
            config.check().unwrap();
            assert_eq!(config.chain.rpc_urls, init.rpc_url);
            assert_eq!(config.chain.relayer, Some(init.relayer));
            assert_eq!(Some(&config.chain.settler_keypair), init.settler_keypair.as_ref());
            let here = std::env::current_dir().unwrap();
            assert_eq!(config.chain.receipt_keypair, here.join("receipts.json"), "the same from everywhere");
            assert_eq!(config.ledger.path, here.join("steam.db"));
            let mut known = config;
            let defaults = Config::default();
            (known.chain, known.ledger.path) = (defaults.chain.clone(), defaults.ledger.path.clone());
            assert_eq!(known.restarts_for(&defaults), Vec::<&str>::new(), "all else is a default");
            for note in ["rpc-one", "This one is an example", "(an example; the default is steam.db"] {
                assert!(!text.contains(note), "{note} in {text}");
            }
            let relayer = text.lines().position(|line| line.starts_with("relayer = ")).unwrap();
            let above = text.lines().nth(relayer - 1).unwrap();
            assert!(above.starts_with("# The relayer's account") && !above.contains("example"), "{above}");
        }
    }

    #[test]
    fn another_deployments_program_is_named() {
        for all in [false, true] {
            let program = Pubkey::new_from_array([9; 32]);
            let named: Config = toml::from_str(&init(all).text(Some(program)).unwrap()).unwrap();
            assert_eq!(named.chain.program, Some(program));
            let other: Config = toml::from_str(&init(all).text(None).unwrap()).unwrap();
            assert_eq!(other.chain.program, None);
        }
    }

    #[test]
    fn each_deployment_has_its_files_where_its_own_file_puts_them() {
        for (deployment, keypairs, file) in [
            (
                Deployment::Systemd,
                "/run/credentials/steam.service",
                include_str!("../../../deploy/systemd/steam.service"),
            ),
            (Deployment::Helm, "/run/secrets/steam", include_str!("../../../deploy/helm/steam/values.yaml")),
        ] {
            let config: Config =
                toml::from_str(&Init { deployment: Some(deployment), ..init(false) }.text(None).unwrap()).unwrap();
            assert_eq!(config.chain.settler_keypair, Path::new(keypairs).join("settler.json"));
            assert_eq!(config.chain.receipt_keypair, Path::new(keypairs).join("receipts.json"));
            assert_eq!(config.ledger.path, Path::new("/var/lib/steam/steam.db"));
            assert!(file.contains(keypairs), "{keypairs}");
        }
        let compose = include_str!("../../../deploy/compose.yaml");
        assert!(
            compose.contains("secrets: [settler.json, receipts.json]") && compose.contains("ledger:/var/lib/steam")
        );
        assert_eq!(Deployment::Compose.keypairs(), Path::new("/run/secrets"), "where Docker puts secrets");
    }

    #[test]
    fn what_the_relayer_would_not_take_is_not_written() {
        for url in ["https://h/?q=\"x\"", "https://host/a b"] {
            let error = Init { rpc_url: vec![url.into()], ..init(false) }.text(None).unwrap_err();
            assert!(error.to_string().contains("chain.rpc_urls"), "{url}: {error}");
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
