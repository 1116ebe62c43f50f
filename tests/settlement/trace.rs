//! Everything that happened, as one hash: the same seed gives the same.

use sha2::{Digest, Sha256};
use std::sync::Mutex;
use tokio::time::Instant;

pub struct Trace {
    began: Instant,
    state: Mutex<Sha256>,
}

impl Trace {
    pub fn new() -> Self {
        Self { began: Instant::now(), state: Mutex::new(Sha256::new()) }
    }

    pub fn add(&self, line: &str) {
        let at = self.began.elapsed().as_millis();
        tracing::debug!(at, "{line}");
        self.state.lock().unwrap().update(format!("{at} {line}\n"));
    }

    pub fn hash(&self) -> String {
        hex::encode(self.state.lock().unwrap().clone().finalize())
    }
}
