//! What a command prints: lines for people, or one JSON document for programs, on standard output; progress and errors go
//! to standard error.

use super::error::{CliError, Result};
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
    ///
    /// # Errors
    /// The writer's.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl Format {
    /// Prints a result.
    ///
    /// # Errors
    /// If standard output is closed; but for a reader that has seen enough.
    pub fn print(self, report: &impl Report) -> Result<()> {
        let mut out = io::stdout().lock();
        let written = match self {
            Self::Text => report.text(&mut out),
            Self::Json => serde_json::to_writer_pretty(&mut out, report)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n")),
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::new("output", format!("cannot write the result: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Tells people what is going on; says nothing to programs.
    pub fn progress(self, line: &str) {
        if self == Self::Text {
            // Nobody to tell if standard error is closed.
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// Prints an error on standard error.
    pub fn error(self, error: &CliError) {
        let text = match self {
            Self::Text => error.to_string(),
            Self::Json => error.to_json(),
        };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// One aligned line of a text report.
///
/// # Errors
/// The writer's.
pub fn line(out: &mut dyn Write, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
    writeln!(out, "{name:<15} {value}")
}
