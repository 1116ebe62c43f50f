//! What an audit of a ledger says: [`Reader::audit`](super::Reader::audit) looks from the file alone at every rule
//! that the ledger promises to keep, in every row.

use serde::Serialize;

/// Findings told at the most: a file that is damaged all over need not be told row by row.
const MAX_FINDINGS: usize = 1_000;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// Where.
    pub place: String,
    /// What is there, and what should be.
    pub problem: String,
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Charges with their receipts.
    pub charges: u64,
    /// Sealed groups.
    pub groups: u64,
    /// Batches.
    pub batches: u64,
    /// What does not hold.
    pub findings: Vec<Finding>,
}

impl Audit {
    pub(super) fn find(&mut self, rule: &'static str, place: impl ToString, problem: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { rule, place: place.to_string(), problem: problem.into() });
        }
    }

    pub(super) fn expect(&mut self, holds: bool, rule: &'static str, place: &impl ToString, problem: &str) {
        if !holds {
            self.find(rule, place.to_string(), problem);
        }
    }
}

/// Receipts by whether it can be told who signed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signatures {
    /// Signed by the key that they name.
    pub verified: u64,
    /// They name one that the chain has forgotten.
    pub of_forgotten_keys: u64,
}
