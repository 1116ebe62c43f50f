//! Reading connections, which never block the writer.

use super::schema;
use crate::ledger::LedgerError;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Reading connections kept for the next reader.
const IDLE_READERS: usize = 4;

/// A ledger that is open for reading. Its queries are in the modules of what they read.
#[derive(Debug)]
pub struct Reader(pub(super) Connection);

/// Readers of one ledger.
#[derive(Debug)]
pub(in crate::ledger) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
}

impl Readers {
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), idle: Mutex::default() }
    }

    /// Lends a reader to `query`. Blocks on the disk.
    pub fn with<T>(&self, query: impl FnOnce(&Reader) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader(schema::open_reader(&self.path)?),
        };
        let result = query(&reader);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(reader);
        }
        result
    }
}
