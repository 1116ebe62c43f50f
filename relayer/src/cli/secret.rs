//! API keys on this side: never on a command line, where every user of the machine can read them and shells remember
//! them; from the environment or a file instead.

use super::error::{CliError, Result};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
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
    ///
    /// # Errors
    /// If there is none, or it is no key.
    pub fn read(&self) -> Result<SessionKey> {
        let (text, place) = match &self.key_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    CliError::new("key", format!("cannot read the API key from {}: {error}", path.display()))
                        .next("name the file `steam key create --out FILE` wrote with --key-file")
                })?;
                (text, path.display().to_string())
            }
            None => {
                let text = std::env::var(VARIABLE).map_err(|_| {
                    CliError::new("key", "no API key is given")
                        .next(format!("set {VARIABLE} or use --key-file FILE; `steam key create` makes a key"))
                })?;
                (text, VARIABLE.to_owned())
            }
        };
        let text = Zeroizing::new(text);
        text.trim().parse().map_err(|error| {
            CliError::new("key", format!("{place} does not hold an API key: {error}"))
                .next("`steam key create` makes a key")
        })
    }
}

/// Refuses a command line with a key in it, without repeating it.
///
/// # Errors
/// If an argument contains a key.
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

/// Creates a file that only its owner can read, and writes the key into it. Never overwrites one.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_new(path: &Path, key: &SessionKey) -> Result<()> {
    let fail = |error: std::io::Error| {
        CliError::new("key", format!("cannot write the API key to {}: {error}", path.display()))
            .next("name a file that does not exist yet with --out")
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let text = Zeroizing::new(key.reveal());
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(fail)
}
