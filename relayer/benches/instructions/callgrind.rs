//! What callgrind wrote, in its format of version 1: <https://valgrind.org/docs/manual/cl-format.html>.

use anyhow::{Context, Result};
use std::collections::HashSet;

/// The function that hashes, by SHA-256.
const HASHES: &str = "sha256::compress256";

/// Instructions of a process.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    /// All of them.
    pub all: u64,
    /// Those of the function that hashes.
    pub hashing: u64,
}

impl Instructions {
    /// Reads a profile.
    ///
    /// # Errors
    /// If it has no total, or nothing was hashed.
    pub fn read(profile: &str) -> Result<Self> {
        let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        let all = total.context("callgrind wrote no totals")?;
        let (mut ids, mut own, mut hashing) = (HashSet::new(), false, 0_u64);
        let mut lines = profile.lines();
        while let Some(line) = lines.next() {
            if let Some(function) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
                // A function has its name where it is met first, and its number alone from then on.
                let id = function.split(' ').next().unwrap_or_default();
                if function.contains(HASHES) {
                    ids.insert(id);
                }
                if line.starts_with("fn=") {
                    own = ids.contains(id);
                }
            } else if line.starts_with("calls=") {
                // The line after it has the instructions of what was called.
                lines.next();
            } else if own && line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                hashing += line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        anyhow::ensure!(hashing > 0, "callgrind names no function {HASHES}: its instructions cannot be told apart");
        Ok(Self { all, hashing })
    }

    /// What each of `requests` cost that this process served more than `other`.
    pub fn less(&self, other: &Self, requests: u32) -> Option<Self> {
        let each = |more: u64, less: u64| Some(more.checked_sub(less)? / u64::from(requests));
        Some(Self { all: each(self.all, other.all)?, hashing: each(self.hashing, other.hashing)? })
    }
}
