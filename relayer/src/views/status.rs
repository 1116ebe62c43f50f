//! Whether the relayer works.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// Whether the relayer takes requests, and every condition for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it takes requests.
    pub ready: bool,
    /// The finalized slot at which the chain was last read.
    pub slot: u64,
    /// Age of that reading, in seconds, by a clock that nobody sets.
    pub registry_age_seconds: i64,
    /// Whether that reading is recent enough.
    pub registry_fresh: bool,
    /// Why it is not.
    pub registry_stale: Option<String>,
    /// How far the clock of the relayer's machine is ahead of the cluster's, in seconds.
    pub clock_skew_seconds: i64,
    /// Whether the relayer is active on chain.
    pub relayer_active: bool,
    /// Whether the ledger takes charges.
    pub ledger: bool,
    /// Why the ledger takes none.
    pub ledger_trouble: Option<String>,
    /// Whether the relayer is shutting down.
    pub draining: bool,
}
