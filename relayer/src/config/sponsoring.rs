//! What the relayer pays for others.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Openings of vaults whose fee and rent the relayer pays, for wallets without SOL. Off unless a keypair is named.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Sponsoring {
    /// Keypair file that pays, and that has nothing else to do.
    pub keypair: PathBuf,
    /// Least deposit with which an opening is paid for, in µUSDC.
    pub min_deposit_microusdc: u64,
    /// Most openings within 24 hours.
    pub openings_per_day: u32,
    /// Most openings of one owner within 24 hours.
    pub openings_per_owner_per_day: u32,
    /// Most lamports within 24 hours, rent included.
    pub lamports_per_day: u64,
}

impl Default for Sponsoring {
    fn default() -> Self {
        Self {
            keypair: PathBuf::new(),
            min_deposit_microusdc: 5_000_000,
            openings_per_day: 50,
            openings_per_owner_per_day: 1,
            lamports_per_day: 500_000_000,
        }
    }
}
