//! Everything that happened, as one hash: the same seed gives the same.

use sha2::{Digest, Sha256};
use std::sync::Mutex;
use tokio::time::Instant;

pub struct Trace {
    began: Instant,
    state: Mutex<(Sha256, Vec<String>)>,
    /// Whether lines are kept, to be read.
    loud: bool,
}

impl Trace {
    pub fn new(loud: bool) -> Self {
        Self { began: Instant::now(), state: Mutex::new((Sha256::new(), Vec::new())), loud }
    }

    pub fn add(&self, line: &str) {
        let at = self.began.elapsed().as_millis();
        let mut state = self.state.lock().unwrap();
        state.0.update(format!("{at} {line}\n"));
        if self.loud {
            state.1.push(format!("{at:>8} {line}"));
        }
    }

    pub fn hash(&self) -> String {
        hex::encode(self.state.lock().unwrap().0.clone().finalize())
    }

    pub fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().1.clone()
    }
}
