//! Batches and attempts: what carries groups to the chain, until it has applied them or something is found that it does not apply.

use super::groups::SealedGroup;
use super::incidents::Fault;
use super::{Ledger, LedgerError};
use steam_protocol::Hash;

/// Most a skipped group waits, in multiples of its first wait.
pub(super) const MAX_BACKOFF: u64 = 128;

/// Blocks that a group waits after it was skipped so many times: twice as many each time.
pub(super) fn wait_after(skipped: i64, retry_blocks: u32) -> u64 {
    let doubled = u32::try_from(skipped - 1).unwrap_or_default().min(MAX_BACKOFF.ilog2());
    u64::from(retry_blocks) << doubled
}

/// Why a skipped group waits.
pub(super) const SKIPPED: &str = "its vault is frozen or holds less than the group comes to";

/// Number of a batch.
pub type BatchId = i64;

/// A signed transaction that was stored before it was sent.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its signature, base58.
    pub signature: String,
    /// The transaction's bytes.
    pub bytes: Vec<u8>,
    /// The last block height it may land at.
    pub last_valid_height: u64,
    /// Whether it can no longer land, by what was known when this was stored.
    pub dead: bool,
}

/// A batch that is not done.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// Merkle root of its receipts.
    pub root: Hash,
    /// Times it was signed.
    pub signed: u32,
    /// The transactions.
    pub attempts: Vec<Attempt>,
    /// In ascending order of vaults.
    pub groups: Vec<SealedGroup>,
}

/// The command of [`Ledger::create_batch`].
pub(crate) struct CreateBatch {
    pub groups: Vec<SealedGroup>,
    /// Of the receipts of each group.
    pub leaves: Vec<Vec<Hash>>,
}

/// The command of [`Ledger::store_attempt`].
pub(crate) struct StoreAttempt {
    pub batch: BatchId,
    pub attempt: Attempt,
}

/// The command of [`Ledger::bury_attempts`].
pub(crate) struct BuryAttempts {
    pub signatures: Vec<String>,
}

/// The command of [`Ledger::finish_batch`].
#[derive(Clone, Debug, Default)]
pub struct FinishBatch {
    /// The batch.
    pub batch: BatchId,
    /// The signature of the transaction that settled it.
    pub signature: Option<String>,
    /// What that transaction cost.
    pub lamports: u64,
    /// The groups that are settled.
    pub applied: Vec<SealedGroup>,
    /// The groups that the program skipped, which wait.
    pub skipped: Vec<SealedGroup>,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// The finalized block height.
    pub height: u64,
    /// Blocks that a group waits after it was skipped for the first time.
    pub retry_blocks: u32,
}

/// The command of [`Ledger::split_batch`].
pub(crate) struct SplitBatch {
    pub batch: BatchId,
    pub groups: Vec<SealedGroup>,
}

/// The command of [`Ledger::void_group`].
pub(crate) struct VoidGroup {
    pub batch: BatchId,
    pub group: SealedGroup,
    pub fault: Fault,
    pub now_ms: i64,
}

/// The command of [`Ledger::release_batch`].
pub(crate) struct ReleaseBatch {
    pub batch: BatchId,
}

/// The command of [`Ledger::hold_up`].
pub(crate) struct HoldUp {
    pub batch: BatchId,
    pub reason: String,
}

impl Ledger {
    /// Makes a batch of groups given in ascending order of vaults. Their receipts are read beside the writer, which others wait
    /// for.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::Refused`] if one is in a batch; [`LedgerError::Malformed`] if its receipts are not
    /// what it charges.
    pub async fn create_batch(&self, groups: Vec<SealedGroup>) -> Result<BatchId, LedgerError> {
        let (groups, leaves) = self
            .read(move |store| {
                let leaves = store.leaves(&groups)?;
                Ok((groups, leaves))
            })
            .await?;
        self.write(CreateBatch { groups, leaves }).await
    }

    /// Batches that are not done, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn open_batches(&self) -> Result<Vec<Batch>, LedgerError> {
        self.read(|store| store.open_batches()).await
    }

    /// Stores a signed transaction of a batch; it may be sent once this returns.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn store_attempt(&self, batch: BatchId, attempt: Attempt) -> Result<(), LedgerError> {
        self.write(StoreAttempt { batch, attempt }).await
    }

    /// Notes that transactions can no longer land.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn bury_attempts(&self, signatures: Vec<String>) -> Result<(), LedgerError> {
        self.write(BuryAttempts { signatures }).await
    }

    /// Ends a batch. Skipped groups wait for `retry_blocks` after `height`, twice as many each time they were skipped up to
    /// [`MAX_BACKOFF`] times that, since every try costs a transaction; why is kept with them. A group that is neither applied
    /// nor skipped is to be batched anew.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn finish_batch(&self, finish: FinishBatch) -> Result<(), LedgerError> {
        self.write(finish).await
    }

    /// Ends a batch none of whose transactions can land, and makes one batch of each half of its groups.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn split_batch(&self, batch: &Batch) -> Result<(), LedgerError> {
        self.write(SplitBatch { batch: batch.id, groups: batch.groups.clone() }).await
    }

    /// Replaces a batch's only group, which cannot apply and none of whose transactions can land, by a void one at the
    /// same place. Its charges are sealed again one line at a time; those of a line that was alone in fewer and fewer, if
    /// fewer might settle, and what cannot settle even so is quarantined. Returns the void group and whether that happened.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::Refused`] if the batch holds more than one group.
    pub async fn void_group(
        &self,
        batch: &Batch,
        fault: Fault,
        now_ms: i64,
    ) -> Result<(SealedGroup, bool), LedgerError> {
        let [group] = batch.groups.as_slice() else {
            return Err(LedgerError::Refused("void more than one group at once"));
        };
        self.write(VoidGroup { batch: batch.id, group: group.clone(), fault, now_ms }).await
    }

    /// Ends a batch none of whose transactions can land; its groups are to be batched anew.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn release_batch(&self, batch: BatchId) -> Result<(), LedgerError> {
        self.write(ReleaseBatch { batch }).await
    }

    /// Notes why a batch's groups do not settle, so that nothing new is held on their vaults until they do.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn hold_up(&self, batch: BatchId, reason: String) -> Result<(), LedgerError> {
        self.write(HoldUp { batch, reason }).await
    }
}

/// What the settlements of a day cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayOfSettlements {
    /// The day, counted from the first of January 1970.
    pub day: i64,
    /// Transactions that settled.
    pub settlements: u64,
    /// What they cost, in lamports.
    pub lamports: u64,
}

impl DayOfSettlements {
    /// The same day of another partition as well.
    pub(crate) fn add(&mut self, other: &Self) {
        self.settlements += other.settlements;
        self.lamports += other.lamports;
    }
}

impl Ledger {
    /// What settlements cost since `since_ms`, Unix milliseconds, by day, the last one first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn settlements_by_day(&self, since_ms: i64) -> Result<Vec<DayOfSettlements>, LedgerError> {
        self.read(move |store| store.settlements_by_day(since_ms)).await
    }
}
