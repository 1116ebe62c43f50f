//! Everything that happened, as one hash: the same seed gives the same.

use super::relayer::Since;
use sha2::{Digest, Sha256};
use std::sync::Mutex;

pub struct Trace {
    since: Since,
    state: Mutex<(Sha256, Vec<String>)>,
    /// Whether lines are kept, to be read.
    loud: bool,
}

impl Trace {
    pub fn new(loud: bool) -> Self {
        Self::since(Since::now(), loud)
    }

    pub fn since(since: Since, loud: bool) -> Self {
        Self { since, state: Mutex::new((Sha256::new(), Vec::new())), loud }
    }

    pub fn add(&self, line: &str) {
        let at = self.since.elapsed_ms();
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
