//! What the chain says of a batch under way, and what is to be done about it.

use super::Settler;
use crate::chain::{Pubkey, VaultSnapshot};
use crate::ledger::{Attempt, Batch, FinishBatch, SealedGroup};
use crate::reader::accounts;
use crate::settle::agreed::{self, Told};
use crate::settle::{SettleError, form};
use solana_signature::Signature;
use std::collections::{BTreeSet, HashMap};

/// Blocks after a transaction's last in which the nodes are asked what became of it.
const REMEMBERED_BLOCKS: u64 = 150;
/// Blocks before a group that the program skipped, because its vault was frozen or too poor, is first tried again: about
/// forty seconds at 0.4 s a slot. Not seconds: the machine's clock may be set wrong and right again.
const SKIPPED_RETRY_BLOCKS: u32 = 100;
/// Signatures that a node tells the status of in one answer.
const STATUSES_AT_ONCE: usize = 256;

/// What the chain says of the batches under way: heights before statuses, statuses before vaults, all of the same nodes. A
/// transaction that is unknown after its last valid height was final, with its vaults not advanced, is dead.
pub(super) struct Observation {
    pub height: u64,
    /// By signature.
    pub told: HashMap<Signature, Told>,
    pub reading: accounts::Reading,
}

/// What is to be done about a batch.
pub(super) enum Verdict {
    /// The chain has applied or skipped its groups, but for those of vaults that are gone or halted, and for those that are to be
    /// batched anew.
    Done { signature: Option<String>, applied: Vec<SealedGroup>, skipped: Vec<SealedGroup> },
    /// A transaction can still land: send the same bytes again.
    Resend(Vec<Attempt>),
    /// No transaction can land any more; the signatures of those that died now.
    Sign(Vec<String>),
    /// A group's vault is gone or halted, and no transaction can land any more: its groups are to be batched anew.
    Release,
    /// The nodes do not agree: nothing can be said.
    Wait,
}

impl Settler {
    /// Asks the chain about all batches together: one call a batch would take longer than the settlements.
    pub(super) async fn observe(&self, batches: &[Batch]) -> Result<Observation, SettleError> {
        let (height, nodes) = agreed::present(&self.setup.nodes).await?;
        let mut signatures = Vec::new();
        for attempt in batches.iter().flat_map(|batch| &batch.attempts) {
            signatures.push(signature(attempt)?);
        }
        let mut told = HashMap::new();
        for chunk in signatures.chunks(STATUSES_AT_ONCE) {
            told.extend(chunk.iter().copied().zip(agreed::statuses(&nodes, chunk).await?));
        }
        let vaults: BTreeSet<Pubkey> =
            batches.iter().flat_map(|batch| &batch.groups).map(|group| group.vault).collect();
        let vaults: Vec<Pubkey> = vaults.into_iter().collect();
        let reading = accounts::agreed_vaults(&nodes, &self.setup.parties, &vaults).await?;
        Ok(Observation { height, told, reading })
    }

    /// Acts on the verdict about a batch. Returns false if there is no verdict yet: nothing may be done about the batch then.
    pub(super) async fn advance(&mut self, batch: Batch, seen: &Observation) -> Result<bool, SettleError> {
        match self.judge(&batch, seen)? {
            Verdict::Done { signature, applied, skipped } => {
                let transaction = signature.as_deref().unwrap_or_default();
                for group in &applied {
                    tracing::info!(vault = %group.vault, seq = group.seq, receipts = group.receipts, transaction, "settled");
                }
                for group in &skipped {
                    tracing::warn!(vault = %group.vault, seq = group.seq, "the program skipped a group: its vault is frozen or holds too little");
                }
                let now_ms = self.setup.clock.unix_ms();
                let settled = !applied.is_empty();
                let attempt = batch.attempts.iter().find(|one| Some(&one.signature) == signature.as_ref());
                let finish = FinishBatch {
                    batch: batch.id,
                    signature: attempt.map(|attempt| attempt.signature.clone()),
                    lamports: attempt.map_or(0, |attempt| form::fee_of(&attempt.bytes)),
                    applied,
                    skipped,
                    now_ms,
                    height: seen.height,
                    retry_blocks: SKIPPED_RETRY_BLOCKS,
                };
                self.setup.ledger.finish_batch(finish).await?;
                if attempt.is_some_and(|attempt| form::is_v1(&attempt.bytes)) {
                    self.version1.landed();
                }
                if settled {
                    self.status.send_modify(|status| {
                        status.last_signature = signature.or(status.last_signature.take());
                        status.last_settled_at = Some(now_ms.div_euclid(1_000));
                    });
                }
            }
            Verdict::Resend(alive) => {
                for attempt in alive {
                    self.send(&attempt.bytes).await;
                }
            }
            Verdict::Sign(dead) => {
                self.doubt_forms_of(&batch, &dead);
                self.setup.ledger.bury_attempts(dead).await?;
            }
            Verdict::Release => {
                self.setup.ledger.release_batch(batch.id).await?;
                return Ok(false);
            }
            Verdict::Wait => return Ok(false),
        }
        Ok(true)
    }

    /// What is to be done about a batch.
    pub(super) fn judge(&mut self, batch: &Batch, seen: &Observation) -> Result<Verdict, SettleError> {
        let reading = seen.reading.part(batch.groups.iter().map(|group| &group.vault));
        let mut told = Vec::new();
        for attempt in &batch.attempts {
            told.push(seen.told.get(&signature(attempt)?).cloned().unwrap_or(Told::Disputed));
        }
        let Some(groups) = self.sort(batch, &reading) else { return Ok(Verdict::Wait) };
        Ok(verdict(batch, &told, groups, (seen.height, &reading)))
    }

    /// Sorts the groups of a batch by their vaults' heads. Halts the vaults whose chain is not this ledger's. `None` if the nodes
    /// do not agree on a vault, or not yet on that there is one.
    fn sort(&mut self, batch: &Batch, reading: &accounts::Reading) -> Option<Groups> {
        let mut groups = Groups::default();
        for group in &batch.groups {
            if reading.is_gone(&group.vault, group.generation) {
                groups.gone = true;
                continue;
            }
            match head(group, reading.vaults.get(&group.vault)?) {
                Head::Applied => groups.applied.push(group.clone()),
                Head::Open => groups.open.push(group.clone()),
                Head::Behind => {
                    self.problem = Some(format!("the nodes' reading of vault {} is old", group.vault));
                    return None;
                }
                Head::Foreign => {
                    self.halt(group.vault);
                    groups.gone = true;
                    continue;
                }
            }
            self.resume(&group.vault);
        }
        Some(groups)
    }
}

/// The groups of a batch, by what the chain says of them.
#[derive(Default)]
struct Groups {
    applied: Vec<SealedGroup>,
    open: Vec<SealedGroup>,
    /// Whether there are others, of a vault that was closed or whose chain is not this ledger's. They will not apply, and the
    /// rest of the batch must not wait for them.
    gone: bool,
}

impl Groups {
    /// A transaction took effect: what is open was skipped. If it is not known which one, what is open is batched anew.
    fn done(self, signature: Option<String>) -> Verdict {
        let skipped = if signature.is_some() { self.open } else { Vec::new() };
        Verdict::Done { signature, applied: self.applied, skipped }
    }
}

/// What is to be done about a batch of whose transactions the nodes have `told` this, at the finalized `height`.
fn verdict(batch: &Batch, told: &[Told], groups: Groups, (height, reading): (u64, &accounts::Reading)) -> Verdict {
    if let Some((signature, slot)) = landed(batch, told) {
        return if reading.is_from(slot) { groups.done(Some(signature)) } else { Verdict::Wait };
    }
    let (alive, dead): (Vec<_>, Vec<_>) = batch
        .attempts
        .iter()
        .zip(told)
        .filter(|(attempt, _)| !attempt.dead)
        .partition(|(attempt, told)| is_alive(attempt, told, height));
    if !alive.is_empty() {
        return Verdict::Resend(alive.into_iter().map(|(attempt, _)| attempt.clone()).collect());
    }
    // One group that was applied shows that a transaction took effect, whatever the nodes say of it: signed anew, or in another
    // batch, its receipts would have no proof.
    if !groups.applied.is_empty() {
        return match applied_by(batch, told, height) {
            Some(attempt) => groups.done(attempt.map(|attempt| attempt.signature.clone())),
            None => Verdict::Wait,
        };
    }
    if groups.gone {
        return Verdict::Release;
    }
    Verdict::Sign(dead.into_iter().map(|(attempt, _)| attempt.signature.clone()).collect())
}

/// How a vault's head on chain compares with the one group of it that is under way.
pub(super) enum Head {
    /// The head is this group: it was applied.
    Applied,
    /// The head is the group before it: it was not applied yet.
    Open,
    /// The head is an older group, which this ledger knows to be followed by others: the reading is old.
    Behind,
    /// The head is no group of this ledger.
    Foreign,
}

pub(super) fn head(group: &SealedGroup, vault: &VaultSnapshot) -> Head {
    match vault.settle_seq {
        _ if vault.generation != group.generation => Head::Behind,
        seq if seq == group.seq && vault.settle_hash == group.hash => Head::Applied,
        seq if seq >= group.seq => Head::Foreign,
        seq if seq + 1 == group.seq => Head::Open,
        _ => Head::Behind,
    }
}

/// The transaction of a batch that is final and succeeded, and its slot.
fn landed(batch: &Batch, told: &[Told]) -> Option<(String, u64)> {
    batch
        .attempts
        .iter()
        .zip(told)
        .filter_map(|(attempt, told)| {
            let state = told.known().filter(|state| state.finalized && state.error.is_none())?;
            Some((attempt.signature.clone(), state.slot))
        })
        .min_by_key(|(_, slot)| *slot)
}

/// The transaction that applied a batch, where the nodes do not agree on it: the only one that did not fail and of which they do
/// not all say that it did not happen. If they have forgotten all of them, it is one that was not taken for dead, if there is
/// one. None while the nodes may still tell.
fn applied_by<'a>(batch: &'a Batch, told: &[Told], height: u64) -> Option<Option<&'a Attempt>> {
    let forgotten = |attempt: &Attempt| height > attempt.last_valid_height + REMEMBERED_BLOCKS;
    let may_have = |attempt: &Attempt, told: &Told| match told {
        Told::Known(state) => state.error.is_none(),
        Told::Unknown => forgotten(attempt),
        Told::Disputed => true,
    };
    let tried = batch.attempts.iter().zip(told);
    let possible: Vec<&Attempt> =
        tried.filter(|(attempt, told)| may_have(attempt, told)).map(|(attempt, _)| attempt).collect();
    match possible.as_slice() {
        [only] => Some(Some(only)),
        several if several.iter().all(|attempt| forgotten(attempt)) => {
            Some(several.iter().copied().find(|attempt| !attempt.dead))
        }
        _ => None,
    }
}

pub(super) fn signature(attempt: &Attempt) -> Result<Signature, SettleError> {
    attempt.signature.parse().map_err(|_| SettleError::Transaction("read back"))
}

/// Whether a transaction can still take effect: it is known and not final, or its last valid height is not final.
fn is_alive(attempt: &Attempt, told: &Told, height: u64) -> bool {
    match told.known() {
        Some(state) => !state.finalized,
        None => height <= attempt.last_valid_height,
    }
}
