//! Puts a ledger right that is not what the chain has: an old copy, or one beside which somebody else has settled. The chain
//! decides what was settled.

use super::LedgerError;
use super::agreements::{self, Agreement};
use super::incidents::Decision;
use super::recovery::{self, Standing};
use crate::chain::{Pubkey, VaultSnapshot};
use crate::vaults::first_number;
use crate::withdrawals::MAX_SLOTS;
use rusqlite::Transaction;
use serde::Serialize;
use std::collections::BTreeSet;

/// Slots by which what is read for a reconciliation may be older than what the lost ledger last saw: about a minute.
const LAG: u64 = 150;

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

/// Compares the vaults with the ledger and adopts the heads that are none of its own. A copy is a ledger again afterwards, on
/// whose vaults nothing is held for the life of an agreement to withdraw, unless something is disputed or cannot be put right.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn reconcile(
    tx: &Transaction<'_>,
    OnChain { vaults, absent, disputed }: &OnChain<'_>,
    decision: &Decision,
) -> Result<Reconciled, LedgerError> {
    let copied_ms = recovery::copied(tx)?;
    let first_number = first_number(decision.at_ms);
    let number = i64::try_from(first_number).map_err(|_| LedgerError::Refused("number beyond 2^63"))?;
    let heads = recovery::heads(tx)?;
    let mut unclear: Vec<String> =
        disputed.iter().map(|vault| format!("vault {vault}: the endpoints do not agree on it")).collect();
    let (mut halted, mut adopted) = (Vec::new(), BTreeSet::new());
    for vault in vaults {
        let place = (vault.address, vault.generation);
        let head = heads.get(&place).copied().unwrap_or_default();
        let on_chain = (vault.settle_seq, vault.settle_hash);
        match head.compare(on_chain) {
            Standing::Known => {}
            Standing::Behind => unclear.push(format!(
                "vault {}: the endpoints are at group {}, and group {} is final here: they are old, or of another chain",
                vault.address, vault.settle_seq, head.settled.0
            )),
            Standing::Contradicted => unclear.push(format!(
                "vault {}: group {} on chain is another than the one that is final here: the endpoints lie, or the chain was rolled back",
                vault.address, vault.settle_seq
            )),
            Standing::Foreign => {
                let dropped = recovery::adopt(tx, place, on_chain, number, decision)?;
                adopted.insert(vault.address);
                halted.push(Halted {
                    vault: vault.address.to_string(),
                    generation: vault.generation,
                    chain_seq: vault.settle_seq,
                    ledger_seq: head.settled.0,
                    receipts_settled: vault.receipts_settled,
                    dropped: dropped.dropped,
                    dropped_pico: dropped.total.0.to_string(),
                    incident: dropped.incident,
                });
            }
        }
    }
    // Nor does an old ledger know to which withdrawals another has agreed: until the last of them has ended a vault may be
    // emptied, and so may one that is opened again where it was.
    let mut paused = 0;
    for vault in vaults {
        if copied_ms.is_some() || adopted.contains(&vault.address) {
            agreements::keep(tx, &Agreement::unknown(vault.address, vault.slot + MAX_SLOTS + LAG))?;
            paused += 1;
        }
    }
    if copied_ms.is_some() || !adopted.is_empty() {
        for (address, slot) in absent {
            agreements::keep(tx, &Agreement::unknown(*address, slot + MAX_SLOTS + LAG))?;
        }
    }
    if copied_ms.is_some() {
        // Whatever was receipted since the copy was made is not here, of any vault.
        recovery::number_from(tx, None, number)?;
        if unclear.is_empty() {
            recovery::is_no_copy(tx)?;
        }
    }
    Ok(Reconciled { copied_ms, vaults: vaults.len(), first_number, halted, paused, unclear })
}
