//! Everything that happened, as one hash: the same seed gives the same.

use super::relayer::Since;
use sha2::{Digest, Sha256};
use std::sync::Mutex;

pub struct Trace {
    since: Since,
    state: Mutex<Sha256>,
}

impl Trace {
    pub fn new() -> Self {
        Self::since(Since::now())
    }

    /// Of what began so long ago.
    pub fn since(since: Since) -> Self {
        Self { since, state: Mutex::new(Sha256::new()) }
    }

    pub fn add(&self, line: &str) {
        let at = self.since.elapsed_ms();
        tracing::debug!(at, "{line}");
        self.state.lock().unwrap().update(format!("{at} {line}\n"));
    }

    pub fn hash(&self) -> String {
        hex::encode(self.state.lock().unwrap().clone().finalize())
    }
}
