//! What a command that failed says: one sentence on what went wrong, one on what to do next, and an exit code.

use serde::Serialize;
use std::fmt;

/// Exit codes: 0 done, and these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command failed; the message says why.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// What was to be checked does not hold: a receipt, a proof, a configuration.
    Invalid = 3,
}

/// Why a command failed.
#[derive(Clone, Debug)]
pub struct CliError {
    code: String,
    message: String,
    next: Option<String>,
    exit: Exit,
}

/// How a command ends.
pub type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// A failure with a code for scripts and one sentence for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), next: None, exit: Exit::Failure }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new("usage", message) }
    }

    /// Something checked that does not hold.
    pub fn invalid(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { exit: Exit::Invalid, ..Self::new(code, message) }
    }

    /// What to do next.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same, and what else is to be known.
    pub fn note(mut self, note: &str) -> Self {
        self.message = format!("{}; {note}", self.message);
        self
    }

    /// The same, said of something that was to be checked.
    pub fn into_invalid(self) -> Self {
        Self { exit: Exit::Invalid, ..self }
    }

    /// The code for scripts.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// `{"error": {...}}` on one line.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            message: &'a str,
            next: Option<&'a str>,
        }
        let body = Body { code: &self.code, message: &self.message, next: self.next.as_deref() };
        serde_json::json!({ "error": body }).to_string()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CliError {}
