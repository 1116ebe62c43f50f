//! What the answers of several nodes come to. A node that lags or lies may delay a settlement. Alone it can neither declare a
//! transaction dead that may still land, nor final one that never was, nor keep a dead one alive after it has stopped lying.

use super::SettleError;
use crate::chain::quorum::ask;
use crate::chain::rpc::{Rpc, TransactionState};
use solana_signature::Signature;
use std::sync::Arc;
use steam_protocol::Hash;

/// Blocks by which honest nodes may differ on how long a new blockhash lives: as many as one lives.
const MAX_SPREAD: u64 = 150;
/// Block heights beyond this are none: ten of them a second come to it in some thousand years.
const HIGHEST: u64 = 1 << 40;

/// The lowest finalized height that any node reports.
///
/// # Errors
/// [`SettleError::Rpc`] if too few answer.
pub async fn finalized_height(nodes: &[Arc<dyn Rpc>]) -> Result<u64, SettleError> {
    Ok(present(nodes).await?.0)
}

/// The lowest finalized height that any node reports, and the nodes that answered. Only these nodes have seen everything that
/// was final at that height: a transaction they do not know by then did not happen.
///
/// # Errors
/// [`SettleError::Rpc`] if too few answer.
pub async fn present(nodes: &[Arc<dyn Rpc>]) -> Result<(u64, Vec<Arc<dyn Rpc>>), SettleError> {
    let heights = ask(nodes, |node| node.block_height()).await?;
    let least = heights.iter().map(|(_, height)| *height).min().unwrap_or_default();
    Ok((least, heights.into_iter().filter_map(|(at, _)| nodes.get(at).cloned()).collect()))
}

/// A recent blockhash, from the node whose `turn` it is or the next that answers, and a height after which it is not valid, by
/// anybody's word: given up too early, a transaction could land after its groups were voided. The nodes say so once the hash
/// is known, so that an honest one cannot speak of an older hash than the one that was taken.
///
/// # Errors
/// [`SettleError::Rpc`], or [`SettleError::Disagreement`] if one is so far off that waiting for it might never end.
pub async fn blockhash(nodes: &[Arc<dyn Rpc>], turn: usize) -> Result<(Hash, u64), SettleError> {
    let told = ask(nodes, |node| node.blockhash()).await?;
    let turn = turn % nodes.len().max(1);
    let chosen = told.iter().min_by_key(|(at, _)| (at + nodes.len() - turn) % nodes.len());
    let (hash, own) = chosen.map(|(_, told)| *told).unwrap_or_default();
    let told = ask(nodes, |node| node.blockhash()).await?;
    let last = latest(told.iter().map(|(_, (_, last_valid))| *last_valid).chain([own]))?;
    Ok((hash, last))
}

/// A height after which no blockhash that is known now is valid, by any node's word.
///
/// # Errors
/// As [`blockhash`].
pub async fn last_valid_height(nodes: &[Arc<dyn Rpc>]) -> Result<u64, SettleError> {
    let told = ask(nodes, |node| node.blockhash()).await?;
    latest(told.iter().map(|(_, (_, last_valid))| *last_valid))
}

/// The last of the heights that nodes told, if they are near each other and a height at all.
fn latest(told: impl Iterator<Item = u64> + Clone) -> Result<u64, SettleError> {
    let (first, last) = (told.clone().min().unwrap_or_default(), told.max().unwrap_or_default());
    if last.saturating_sub(first) > MAX_SPREAD || last > HIGHEST {
        return Err(SettleError::Disagreement("the block height"));
    }
    Ok(last)
}

/// What the nodes say of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// All the same.
    Known(TransactionState),
    /// None knows it: it did not happen up to the finalized height they told before, or they have forgotten it.
    Unknown,
    /// One lags or lies. It may land until its last valid height is final, and after that its vaults tell what it did.
    Disputed,
}

impl Told {
    /// What became of it, where the nodes agree that they know it.
    pub fn known(&self) -> Option<&TransactionState> {
        match self {
            Self::Known(state) => Some(state),
            Self::Unknown | Self::Disputed => None,
        }
    }

    fn and(self, other: Option<TransactionState>) -> Self {
        match (self, other) {
            (Self::Known(one), Some(other)) if one == other => Self::Known(one),
            (Self::Unknown, None) => Self::Unknown,
            _ => Self::Disputed,
        }
    }
}

impl From<Option<TransactionState>> for Told {
    fn from(state: Option<TransactionState>) -> Self {
        state.map_or(Self::Unknown, Self::Known)
    }
}

/// What became of transactions, by the word of several nodes.
///
/// # Errors
/// [`SettleError::Rpc`] if too few answer.
pub async fn statuses(nodes: &[Arc<dyn Rpc>], signatures: &[Signature]) -> Result<Vec<Told>, SettleError> {
    if signatures.is_empty() {
        return Ok(Vec::new());
    }
    let mut answers = ask(nodes, |node| node.statuses(signatures)).await?.into_iter().map(|(_, states)| states);
    let first: Vec<Told> = answers.next().unwrap_or_default().into_iter().map(Told::from).collect();
    Ok(answers.fold(first, |told, states| told.into_iter().zip(states).map(|(one, other)| one.and(other)).collect()))
}
