//! Puts a ledger right that is not what the chain has: an old copy, or one beside which somebody else has settled. The chain
//! decides what was settled.

use crate::chain::{Pubkey, VaultSnapshot};
use serde::Serialize;

/// Slots by which what is read for a reconciliation may be older than what the lost ledger last saw: about a minute.
pub(super) const LAG: u64 = 150;

/// The chain, as far as it is final and the endpoints agree.
#[derive(Clone, Debug, Default)]
pub struct OnChain<'a> {
    /// The relayer's vaults.
    pub vaults: Vec<&'a VaultSnapshot>,
    /// Where there is none any more, and the slot at which that was read.
    pub absent: Vec<(Pubkey, u64)>,
    /// Vaults on which the endpoints differ.
    pub disputed: Vec<Pubkey>,
}

/// What was, or would be, put right.
#[derive(Clone, Debug, Serialize)]
pub struct Reconciled {
    /// When the file was copied from a ledger, if it is a copy.
    pub copied_ms: Option<i64>,
    /// Vaults compared.
    pub vaults: usize,
    /// Nothing is numbered below it any more, where anything was put right.
    pub first_number: u64,
    /// Vaults that were adopted.
    pub halted: Vec<Halted>,
    /// Vaults that take no requests for three minutes, until no withdrawal at once can be carried out that is not known here.
    pub paused: usize,
    /// What cannot be put right here.
    pub unclear: Vec<String>,
}

/// A vault whose head on chain was none of the ledger's.
#[derive(Clone, Debug, Serialize)]
pub struct Halted {
    /// The vault.
    pub vault: String,
    /// Its generation.
    pub generation: u64,
    /// Groups the chain has settled.
    pub chain_seq: u32,
    /// Groups this ledger knows to be settled.
    pub ledger_seq: u32,
    /// Receipts the chain has settled.
    pub receipts_settled: u64,
    /// Charges that are never settled: the chain may have settled them already.
    pub dropped: u64,
    /// What they come to.
    pub dropped_pico: String,
    /// The incident that holds them.
    pub incident: i64,
}
