//! Copies of a ledger, and what to do with one that is older than the chain. A copy knows that it is one, so that nothing is
//! served or settled from it before it was compared with the chain; an old file that does not know it is found out by the
//! heads of its vaults' hash chains.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use std::collections::HashMap;
use steam_protocol::Hash;
use steam_protocol::units::Pico;

/// Numbers a millisecond leaves room for.
const NUMBERS_A_MS: u64 = 1_024;

/// The least number of a receipt of a process that started at `unix_ms`. A ledger that was put back from a copy does not know
/// which numbers were given since; those of an earlier process are below this, unless it gave a thousand a millisecond.
pub fn first_number(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or_default().saturating_mul(NUMBERS_A_MS).max(1)
}

/// Where a vault's hash chain ends in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last group known to be final.
    pub settled: (u32, Hash),
    /// The group after it, if one is under way.
    pub sealed: Option<(u32, Hash)>,
}

/// Where a vault's head on chain is, compared with the ledger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainPosition {
    /// It is one of the ledger's.
    Known,
    /// It is older than what the ledger knows to be final: an old reading, or a chain that went back.
    Behind,
    /// Somebody has settled groups that this ledger does not have.
    Foreign,
    /// It has the number of a group that is final here, and is another.
    Contradicted,
}

impl Head {
    /// Where (`seq`, `hash`) on chain is, compared with this.
    pub fn compare(&self, (seq, hash): (u32, Hash)) -> ChainPosition {
        match seq {
            _ if (seq, hash) == self.settled || Some((seq, hash)) == self.sealed => ChainPosition::Known,
            seq if seq < self.settled.0 => ChainPosition::Behind,
            seq if seq == self.settled.0 => ChainPosition::Contradicted,
            _ => ChainPosition::Foreign,
        }
    }
}

/// What a vault's groups come to, as far as a group of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledSums {
    /// Receipts in the groups.
    pub receipts: u64,
    /// What the receipts come to, fees included.
    pub total: Pico,
}

impl Ledger {
    /// Where the hash chains of all vaults end.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn heads(&self) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
        self.read(|store| store.heads()).await
    }
}
