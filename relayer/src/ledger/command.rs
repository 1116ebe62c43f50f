//! What is written to the ledger, as data. A store carries out whatever waits in one transaction and answers each command
//! after the commit.

use super::agreements::KeepAgreement;
use super::allow_lists::{KeepAllowList, Kept};
use super::batches::{
    BatchId, BuryAttempts, CreateBatch, FinishBatch, HoldUp, ReleaseBatch, SplitBatch, StoreAttempt, VoidGroup,
};
use super::board::{ForgetBoard, SaveBoard};
use super::charges::sign_vouchers;
use super::groups::{AbandonCharges, AbandonGroup, GroupState, Seal, SealedGroup};
use super::prune::Prune;
use super::sponsored::{CountSponsored, Counted, ResolveSponsored};
use super::tables::{ForgetLookupTable, PutLookupTable};
use super::{Charge, ChargeId, LedgerError};
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::oneshot;

/// Where the result of a command goes once it is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// See [`Command::Raw`].
#[cfg(test)]
pub(super) type Raw = Box<dyn FnOnce(&rusqlite::Transaction<'_>) -> Result<(), LedgerError> + Send>;

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
            Raw(Raw, Reply<()>),
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
    CountSponsored(CountSponsored) -> Counted,
    ResolveSponsored(ResolveSponsored) -> (),
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
