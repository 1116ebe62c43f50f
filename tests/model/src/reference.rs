//! The model as a run carries it along.

use crate::model::{Refusal, State};
use crate::op::Settlement;
use std::fmt::Debug;

/// The model, what it said last, and what hostile actors remember.
#[derive(Clone)]
pub struct Reference {
    /// The model.
    pub state: State,
    /// What it said of the last operation.
    pub last: Result<(), Refusal>,
    /// Settlements sent before.
    pub sent: Vec<Settlement>,
}

impl Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the chain at genesis")
    }
}
