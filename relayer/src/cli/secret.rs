//! API keys on this side: never on a command line, where every user of the machine can read them and shells remember
//! them; from the environment or a file instead.

use super::error::{CliError, Result};
use super::new_file::cannot_make;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use steam_client::key_file::{self, KeyFileError};
use steam_protocol::key::{PREFIX, SessionKey};
use zeroize::Zeroizing;

/// The environment variable that holds an API key.
pub const VARIABLE: &str = "STEAM_API_KEY";

/// Where the API key is.
#[derive(Clone, Debug, clap::Args)]
pub struct KeySource {
    /// File that holds the API key [default: the environment variable STEAM_API_KEY]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl KeySource {
    /// Reads the key. No error ever shows it.
    pub fn read(&self) -> Result<SessionKey> {
        let Some(path) = &self.key_file else { return from_environment() };
        read(path)
    }
}

/// Reads the key in a file. No error ever shows it.
pub fn read(path: &Path) -> Result<SessionKey> {
    key_file::read(path).map_err(|error| {
        let next = match &error {
            KeyFileError::Io { .. } => {
                "name the file that `steam key create --out FILE` wrote; --key-file names it to other commands"
            }
            KeyFileError::Content { .. } => "`steam key create` makes a key",
        };
        CliError::new("key", error.to_string()).next(next)
    })
}

fn from_environment() -> Result<SessionKey> {
    let text = std::env::var(VARIABLE).map_err(|_| {
        CliError::new("key", "no API key is given")
            .next(format!("set {VARIABLE} or use --key-file FILE; `steam key create` makes a key"))
    })?;
    Zeroizing::new(text).trim().parse().map_err(|error| {
        CliError::new("key", format!("{VARIABLE} does not hold an API key: {error}"))
            .next("`steam key create` makes a key")
    })
}

/// Refuses a command line with a key in it, without repeating it.
pub fn refuse_in_arguments(args: &[OsString]) -> Result<()> {
    if args.iter().any(|arg| arg.to_string_lossy().contains(PREFIX)) {
        return Err(CliError::usage(
            "an API key is on the command line, where other programs of this machine can read it",
        )
        .next(format!(
            "set {VARIABLE} or use --key-file FILE, and replace the key with `steam key revoke` and `steam key create`"
        )));
    }
    Ok(())
}

/// Writes a key to a new file that only its owner can read.
pub fn write_new(path: &Path, key: &SessionKey) -> Result<()> {
    key_file::create(path, key).map_err(|error| match error {
        KeyFileError::Io { source, .. } => cannot_make(path, &source, "key", "--out"),
        KeyFileError::Content { .. } => CliError::new("key", error.to_string()),
    })
}
