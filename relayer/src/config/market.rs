//! With whom the operator deals, and on what terms.

use serde::Deserialize;

/// With whom the operator deals, and on what terms.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Market {
    /// Least that a vault must be able to pay beyond what is charged and held for its requests to be taken, in µUSDC.
    pub min_vault_microusdc: u64,
    /// Whether offers are asked that may cost nothing for a request: their requests pay no fee.
    pub free: bool,
    /// Most offers of a model that are compared for one request.
    pub max_candidates: usize,
}

impl Default for Market {
    fn default() -> Self {
        Self { min_vault_microusdc: 10_000, free: false, max_candidates: 64 }
    }
}
