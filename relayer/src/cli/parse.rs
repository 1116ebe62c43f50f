//! Reading the command line: values every command shares, and what is said when it is wrong.

use super::error::CliError;
use super::output::Format;
use crate::chain::Pubkey;
use crate::config::is_address;
use crate::ledger::Location;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use steam_protocol::seeds;

/// Where a process is reached.
pub fn host_and_port(text: &str) -> Result<String, String> {
    if is_address(text) { Ok(text.to_owned()) } else { Err("expected a host and a port, as in 10.0.0.1:8789".into()) }
}

/// An address in base58.
pub fn address(text: &str) -> Result<Pubkey, String> {
    text.parse().map_err(|_| "expected an address: 32 bytes in base58".into())
}

/// A model's name.
pub fn model(text: &str) -> Result<String, String> {
    if !seeds::is_model_name(text) {
        return Err("expected a model's name: 1 to 64 of a-z A-Z 0-9 . _ : / -".into());
    }
    Ok(text.to_owned())
}

/// A name that an offer may have.
///
/// # Errors
/// A sentence on what is wrong.
pub fn offered_model(text: &str) -> Result<String, String> {
    let name = model(text)?;
    if seeds::is_reserved(&name) {
        let endings = seeds::RESERVED_SUFFIXES.join(", ");
        return Err(format!("a model's name must not end in {endings}: these ask for a way of routing"));
    }
    Ok(name)
}

/// The public base URL of an API.
pub fn endpoint(text: &str) -> Result<String, String> {
    match reqwest::Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.has_host()
                // The reader of URLs drops line breaks and the like; what is posted is the text.
                && text.bytes().all(|byte| byte.is_ascii_graphic())
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("expected an http(s) URL like https://api.example.com/v1, in ASCII, without user, password, query or fragment".into()),
    }
}

/// A number of tokens above zero.
pub fn tokens(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("expected a whole number of tokens from 1 to {}", u32::MAX)),
        Ok(tokens) => Ok(tokens),
    }
}

/// A file to write or make; not a folder.
pub fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.file_name().is_none() || path.is_dir() {
        return Err("expected the path of a file, not of a folder".into());
    }
    if text == "-" {
        return Err(
            "expected the path of a file: `-` is standard input or output elsewhere. For a file of that name write ./-"
                .into(),
        );
    }
    Ok(path)
}

/// Where a ledger is, as it was given.
#[derive(Clone, Debug)]
pub enum Given {
    /// A file, or a database on a server.
    Place(Location),
    /// A URL that cannot be used, and why. It may have a password in it, and is not repeated as other values are.
    Wrong(String),
}

impl Given {
    /// The place.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn place(&self) -> Result<Location, CliError> {
        match self {
            Self::Place(place) => Ok(place.clone()),
            Self::Wrong(problem) => Err(CliError::usage(format!("the URL of the ledger cannot be used: {problem}"))),
        }
    }
}

/// Where a ledger is: a file, or a database on a server.
pub fn ledger(text: &str) -> Result<Given, String> {
    match Location::read(text) {
        Ok(Location::File(_)) => Ok(Given::Place(Location::File(file(text)?))),
        Ok(server) => Ok(Given::Place(server)),
        Err(problem) => Ok(Given::Wrong(problem)),
    }
}

/// The format asked for, before the command line is known to be right, so that even that error has it.
pub fn format_of(args: &[OsString]) -> Format {
    let json = args.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--output=json");
    if json { Format::Json } else { Format::Text }
}

/// Prints help, version or what is wrong, and says how the process ends.
pub fn wrong(format: Format, error: &mut clap::Error) -> ExitCode {
    hide_endpoints(error);
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let help = asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if help || format != Format::Json {
        // Nobody to tell if the terminal is gone.
        let _ = error.print();
    } else {
        let text = error.to_string();
        let sentence = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let rest = || text.lines().skip(1).map(str::trim).take_while(|line| !line.starts_with("Usage:"));
        let (tips, more): (Vec<&str>, Vec<&str>) = rest().partition(|line| line.starts_with("tip: "));
        let message = format!("{sentence} {}", more.join(" "));
        let next = tips.first().map_or("see `--help` of the command", |tip| tip.trim_start_matches("tip: "));
        format.error(&CliError::usage(message.trim()).next(next));
    }
    ExitCode::from(if asked { 0 } else { 2 })
}

/// Leaves the value out of what is said of an RPC endpoint: it may hold a key, and may come from the environment.
fn hide_endpoints(error: &mut clap::Error) {
    let of_endpoint = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.contains("--rpc-url") || arg.contains("--url"),
        _ => false,
    };
    if of_endpoint && error.kind() == ErrorKind::ValueValidation {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".into()));
    }
}
