//! What all nodes say together. One that lags or lies may keep a settlement waiting; alone it can neither declare a
//! transaction dead that may still land nor final that never was, nor keep a dead one alive after it has stopped.

use super::SettleError;
use crate::chain::rpc::{Rpc, TransactionState};
use solana_signature::Signature;
use std::sync::Arc;
use steam_protocol::Hash;

/// Blocks by which honest nodes may differ on how long a new blockhash lives: as many as one lives.
const MAX_SPREAD: u64 = 150;

/// The least of what the nodes say is the finalized height.
///
/// # Errors
/// [`SettleError::Rpc`] if one does not answer.
pub async fn finalized_height(nodes: &[Arc<dyn Rpc>]) -> Result<u64, SettleError> {
    let mut height = u64::MAX;
    for node in nodes {
        height = height.min(node.block_height().await?);
    }
    Ok(height)
}

/// A recent blockhash, from the node whose `turn` it is, and the last height at which it is valid by anybody's word: given
/// up too early, a transaction could land after its groups were voided.
///
/// # Errors
/// [`SettleError::Rpc`], or [`SettleError::Disagreement`] if one is so far off that waiting for it might never end.
pub async fn blockhash(nodes: &[Arc<dyn Rpc>], turn: usize) -> Result<(Hash, u64), SettleError> {
    let (mut hash, mut first, mut last) = (Hash::default(), u64::MAX, 0);
    for step in 0..nodes.len() {
        let (found, last_valid) = nodes[(turn + step) % nodes.len()].blockhash().await?;
        if step == 0 {
            hash = found;
        }
        (first, last) = (first.min(last_valid), last.max(last_valid));
    }
    if last.saturating_sub(first) > MAX_SPREAD {
        return Err(SettleError::Disagreement("the block height"));
    }
    Ok((hash, last))
}

/// What became of transactions. One that the nodes do not agree on is unknown: it may land until its last valid height is
/// final, and after that its vaults tell what it did.
///
/// # Errors
/// [`SettleError::Rpc`] if one does not answer.
pub async fn statuses(
    nodes: &[Arc<dyn Rpc>],
    signatures: &[Signature],
) -> Result<Vec<Option<TransactionState>>, SettleError> {
    if signatures.is_empty() {
        return Ok(Vec::new());
    }
    let mut agreed: Option<Vec<Option<TransactionState>>> = None;
    for node in nodes {
        let told = node.statuses(signatures).await?;
        agreed = Some(match agreed {
            None => told,
            Some(before) => {
                before.into_iter().zip(told).map(|(one, other)| one.filter(|one| Some(one) == other.as_ref())).collect()
            }
        });
    }
    Ok(agreed.unwrap_or_default())
}
