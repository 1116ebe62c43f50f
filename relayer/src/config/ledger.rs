//! Where the ledger is, and how long it keeps what it holds.

use super::ConfigError;
use crate::ledger::{self, Location};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The database.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// The SQLite file.
    pub path: PathBuf,
    /// A database on a PostgreSQL server in the file's place, as `postgres://user@host:5432/database`, without a password.
    pub url: String,
    /// File with the server's password; the environment variable STEAM_LEDGER_PASSWORD without one.
    pub password_file: PathBuf,
    /// Bytes that must be left on the file's disk for requests to be taken: those under way then can still be charged.
    pub min_free_bytes: u64,
    /// Days that receipts, decisions and transactions are kept after they were settled; 0 is for ever. Longer than any
    /// `Idempotency-Key` is used again: one whose receipt is gone is served anew.
    pub keep_receipts_days: u32,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            path: "steam.db".into(),
            url: String::new(),
            password_file: PathBuf::new(),
            min_free_bytes: 256 << 20,
            keep_receipts_days: 400,
        }
    }
}

impl LedgerConfig {
    /// Where the ledger is, with the server's password, which is read here.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if the URL or the file with the password cannot be used.
    pub fn location(&self) -> Result<Location, ConfigError> {
        if self.url.is_empty() {
            return Ok(Location::File(self.path.clone()));
        }
        let server =
            ledger::Server::new(&self.url).map_err(|problem| ConfigError::Value { key: "ledger.url", problem })?;
        let password = ledger::password(&self.password_file).map_err(|error| {
            let problem = format!("cannot read {}: {error}", self.password_file.display());
            ConfigError::Value { key: "ledger.password_file", problem }
        })?;
        Ok(Location::Server(server).with_password(password))
    }

    /// Where the ledger is, for people; there is no password in it.
    pub fn shown(&self) -> String {
        if self.url.is_empty() { self.path.display().to_string() } else { self.url.clone() }
    }

    /// Has the ledger elsewhere.
    pub fn set_location(&mut self, location: &Location) {
        match location {
            Location::File(path) => {
                self.path.clone_from(path);
                self.url.clear();
                self.password_file = PathBuf::new();
            }
            Location::Server(server) => self.url = server.to_string(),
        }
    }
}
