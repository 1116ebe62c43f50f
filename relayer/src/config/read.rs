//! Reads a configuration, and says where it is none.

use super::Config;
use crate::chain::Pubkey;
use serde::Deserialize;
use std::path::PathBuf;

/// Why a configuration cannot be used. Each message names the key and what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no such configuration. Its lines are not shown: endpoints may hold keys.
    #[error("{path}, line {line}, column {column}: {problem}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The letter in it, from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// A value is out of range or missing.
    #[error("{key}: {problem}")]
    Value {
        /// The dotted key.
        key: &'static str,
        /// What it should be.
        problem: String,
    },
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] or [`ConfigError::Parse`]; ranges are checked by [`Self::check`].
    pub fn read(path: &std::path::Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let (line, column) = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default());
            let (path, column) = (path.into(), column.chars().count() + 1);
            ConfigError::Parse { path, line, column, problem: without_text(error.message()) }
        })
    }
}

/// What is wrong with a value, without the value: a text may hold a key.
fn without_text(message: &str) -> String {
    let message = message.replace('\n', ", ");
    let quoted = message.find("string \"").zip(message.rfind('"'));
    match quoted.and_then(|(from, to)| Some((message.get(..from + "string".len())?, message.get(to + 1..)?))) {
        Some((before, after)) => format!("{before}{after}"),
        None => message,
    }
}

pub(super) fn base58<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is no base58 address")))
}

pub(super) fn base58_option<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Pubkey>, D::Error> {
    base58(deserializer).map(Some)
}
