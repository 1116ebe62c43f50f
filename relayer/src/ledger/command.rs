//! What is written to the ledger, as data. A store carries out whatever waits in one transaction and answers each command
//! after the commit.

use super::agreements::Agreement;
use super::allow_lists::Kept;
use super::batches::{Attempt, BatchId};
use super::board::BoardRow;
use super::charges::sign_vouchers;
use super::groups::{GroupState, SealedGroup};
use super::incidents::Fault;
use super::tables::TableRow;
use super::{Charge, ChargeId, LedgerError};
use crate::chain::Pubkey;
use std::collections::HashSet;
use steam_protocol::Hash;
use steam_protocol::allow_list::AllowList;
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::oneshot;

/// Where the result of a command goes once it is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// A command, and what comes of it.
pub(crate) trait Write: Send + 'static {
    /// What the caller is told.
    type Output: Send + 'static;

    /// As it waits for the writer.
    fn into_command(self, reply: Reply<Self::Output>) -> Command;
}

macro_rules! commands {
    ($($name:ident($write:ty) -> $output:ty,)*) => {
        /// Any command, with the place of its reply.
        pub(crate) enum Command {
            $($name($write, Reply<$output>),)*
            /// Anything at all, for tests of what SQLite and the disk may do.
            #[cfg(test)]
            Raw(super::sqlite::Raw, Reply<()>),
        }

        $(impl Write for $write {
            type Output = $output;

            fn into_command(self, reply: Reply<$output>) -> Command {
                Command::$name(self, reply)
            }
        })*
    };
}

commands! {
    // The largest by far: the queue holds room for all that may wait.
    Charge(Box<Charge>) -> (SignedReceipt, ChargeId),
    Seal(Seal) -> GroupState,
    AbandonGroup(AbandonGroup) -> (),
    AbandonCharges(AbandonCharges) -> usize,
    CreateBatch(CreateBatch) -> BatchId,
    StoreAttempt(StoreAttempt) -> (),
    BuryAttempts(BuryAttempts) -> (),
    FinishBatch(FinishBatch) -> (),
    SplitBatch(SplitBatch) -> (),
    VoidGroup(VoidGroup) -> (SealedGroup, bool),
    ReleaseBatch(ReleaseBatch) -> (),
    HoldUp(HoldUp) -> (),
    KeepAgreement(KeepAgreement) -> (),
    KeepAllowList(KeepAllowList) -> Kept,
    SaveBoard(SaveBoard) -> (),
    ForgetBoard(ForgetBoard) -> (),
    PutLookupTable(PutLookupTable) -> (),
    ForgetLookupTable(ForgetLookupTable) -> (),
    Prune(Prune) -> bool,
}

/// Signs what the charges among `batch` need of their keys.
pub(super) fn authorize(batch: &mut [Command]) {
    sign_vouchers(batch.iter_mut().filter_map(|command| match command {
        Command::Charge(charge, _) => Some(&mut **charge),
        _ => None,
    }));
}

/// Whether a group still fits a transaction.
pub(crate) type Fits = Box<dyn Fn(&SealedGroup) -> bool + Send>;

/// See [`Ledger::seal`](super::Ledger::seal).
pub(crate) struct Seal {
    pub vault: Pubkey,
    pub generation: u64,
    /// The vault's finalized head on chain: seq and hash.
    pub head: (u32, Hash),
    /// Charges of the vault that were found open, in the order of their numbers.
    pub charges: Vec<ChargeId>,
    pub fits: Fits,
}

/// See [`Ledger::abandon_group`](super::Ledger::abandon_group).
pub(crate) struct AbandonGroup {
    pub group: SealedGroup,
    pub reason: &'static str,
    pub now_ms: i64,
}

/// See [`Ledger::abandon_charges`](super::Ledger::abandon_charges).
pub(crate) struct AbandonCharges {
    pub vault: Pubkey,
    pub generation: u64,
    pub reason: &'static str,
    pub now_ms: i64,
}

/// See [`Ledger::create_batch`](super::Ledger::create_batch).
pub(crate) struct CreateBatch {
    pub groups: Vec<SealedGroup>,
}

/// See [`Ledger::store_attempt`](super::Ledger::store_attempt).
pub(crate) struct StoreAttempt {
    pub batch: BatchId,
    pub attempt: Attempt,
}

/// See [`Ledger::bury_attempts`](super::Ledger::bury_attempts).
pub(crate) struct BuryAttempts {
    pub signatures: Vec<String>,
}

/// See [`Ledger::finish_batch`](super::Ledger::finish_batch).
pub(crate) struct FinishBatch {
    pub batch: BatchId,
    /// The signature of the transaction that settled it.
    pub signature: Option<String>,
    /// What that transaction cost.
    pub lamports: u64,
    pub applied: Vec<SealedGroup>,
    pub skipped: Vec<SealedGroup>,
    pub now_ms: i64,
    /// The finalized block height.
    pub height: u64,
    /// Blocks that a group waits after it was skipped for the first time.
    pub retry_blocks: u32,
}

/// See [`Ledger::split_batch`](super::Ledger::split_batch).
pub(crate) struct SplitBatch {
    pub batch: BatchId,
    pub groups: Vec<SealedGroup>,
}

/// See [`Ledger::void_group`](super::Ledger::void_group).
pub(crate) struct VoidGroup {
    pub batch: BatchId,
    pub group: SealedGroup,
    pub fault: Fault,
    pub now_ms: i64,
}

/// See [`Ledger::release_batch`](super::Ledger::release_batch).
pub(crate) struct ReleaseBatch {
    pub batch: BatchId,
}

/// See [`Ledger::hold_up`](super::Ledger::hold_up).
pub(crate) struct HoldUp {
    pub batch: BatchId,
    pub reason: String,
}

/// See [`Ledger::keep_agreement`](super::Ledger::keep_agreement).
pub(crate) struct KeepAgreement {
    pub agreement: Agreement,
    /// The finalized slot.
    pub slot: u64,
}

/// See [`Ledger::keep_allow_list`](super::Ledger::keep_allow_list).
pub(crate) struct KeepAllowList {
    pub list: AllowList,
    /// Roots that live keys name.
    pub named: HashSet<Hash>,
    /// Lists that are kept though nothing was charged by them.
    pub most: usize,
}

/// See [`Ledger::save_board`](super::Ledger::save_board).
pub(crate) struct SaveBoard {
    pub rows: Vec<BoardRow>,
}

/// See [`Ledger::forget_board`](super::Ledger::forget_board).
pub(crate) struct ForgetBoard {
    pub oldest: [i64; 3],
}

/// See [`Ledger::put_lookup_table`](super::Ledger::put_lookup_table).
pub(crate) struct PutLookupTable {
    pub row: TableRow,
}

/// See [`Ledger::forget_lookup_table`](super::Ledger::forget_lookup_table).
pub(crate) struct ForgetLookupTable {
    pub address: Pubkey,
}

/// See [`Ledger::prune`](super::Ledger::prune).
pub(crate) struct Prune {
    pub before_ms: i64,
}
