//! What a command prints: lines for people, or one JSON document for programs, on standard output; progress and errors go
//! to standard error.

use super::error::{CliError, Result};
use crate::words;
use serde::Serialize;
use std::io::{self, Write};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document on standard output; errors as JSON on standard error. Amounts are µUSDC in decimal strings.
    Json,
}

/// A command's result.
pub trait Report: Serialize {
    /// Writes the lines for people.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl Format {
    /// Prints a result.
    pub fn print(self, report: &impl Report) -> Result<()> {
        let mut bytes = Vec::new();
        let written = match self {
            Self::Text => report.text(&mut bytes).map(|()| {
                // Names of strangers are in it: nothing that a terminal would obey.
                bytes = words::printable_lines(&String::from_utf8_lossy(&bytes)).into_bytes();
            }),
            Self::Json => serde_json::to_writer_pretty(&mut bytes, report)
                .map_err(io::Error::from)
                .and_then(|()| bytes.write_all(b"\n")),
        };
        written.map_err(|error| cannot_write(&error))?;
        write_out(&bytes)
    }

    /// Tells people what is going on; says nothing to programs.
    pub fn progress(self, line: &str) {
        if self == Self::Text {
            // An error is ignored: standard error is closed, and there is no other place to report it.
            let _ = writeln!(io::stderr().lock(), "{}", words::printable_lines(line));
        }
    }

    /// Prints a line of a result that is not complete yet: people see what is done, programs get one document at the end.
    pub fn line(self, line: &str) -> Result<()> {
        match self {
            Self::Text => write_out(format!("{}\n", words::printable_lines(line)).as_bytes()),
            Self::Json => Ok(()),
        }
    }

    /// Prints an error on standard error.
    pub fn error(self, error: &CliError) {
        let text = match self {
            Self::Text => words::printable_lines(&error.to_string()),
            Self::Json => error.to_json(),
        };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Writes to standard output, at once.
pub fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
        _ => Ok(()),
    }
}

fn cannot_write(error: &io::Error) -> CliError {
    CliError::new("output", format!("cannot write the result: {error}"))
}

/// The name that a variant has in JSON.
pub fn name_of(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name,
        other => format!("{other:?}"),
    }
}

/// One aligned line of a text report.
pub fn line(out: &mut dyn Write, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
    writeln!(out, "{name:<15} {value}")
}
