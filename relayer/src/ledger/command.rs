//! What is written to the ledger, as data. A store carries out whatever waits in one transaction and answers each command
//! after the commit.

use super::agreements::KeepAgreement;
use super::allow_lists::{KeepAllowList, Kept};
use super::batches::{
    BatchId, BuryAttempts, CreateBatch, FinishBatch, HoldUp, ReleaseBatch, SplitBatch, StoreAttempt, VoidGroup,
};
use super::board::{ForgetBoard, SaveBoard};
use super::charges::sign_vouchers;
use super::groups::{AbandonCharges, AbandonGroup, GroupState, Mark, Seal, SealedGroup};
use super::prune::Prune;
use super::sponsored::{CountSponsored, Counted, ResolveSponsored};
use super::tables::{ForgetLookupTable, PutLookupTable};
use super::{Charge, ChargeId, LedgerError};
use steam_protocol::receipt::SignedReceipt;
use tokio::sync::oneshot;

/// Where the result of a command goes once it is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// See [`Other::Raw`].
#[cfg(test)]
pub(crate) struct Raw(pub(super) Work);

#[cfg(test)]
type Work = Box<dyn FnOnce(&dyn super::sql::Database) -> Result<(), LedgerError> + Send>;

/// A command, and what comes of it.
pub(crate) trait Write: Send + 'static {
    /// What the caller is told.
    type Output: Send + 'static;

    /// As it waits for the writer.
    fn into_command(self, reply: Reply<Self::Output>) -> Command;
}

/// Any command, with the place of its reply. In boxes: the queue holds room for all that may wait.
pub(crate) enum Command {
    /// By far the most.
    Charge(Box<Charge>, Reply<(SignedReceipt, ChargeId)>),
    /// Any other.
    Other(Box<Other>),
}

impl Write for Box<Charge> {
    type Output = (SignedReceipt, ChargeId);

    fn into_command(self, reply: Reply<Self::Output>) -> Command {
        Command::Charge(self, reply)
    }
}

macro_rules! commands {
    ($($name:ident($write:ty) -> $output:ty,)*) => {
        /// Any command but a charge, with the place of its reply.
        pub(crate) enum Other {
            $($name($write, Reply<$output>),)*
            /// Anything at all, for tests of what a database and the disk may do.
            #[cfg(test)]
            Raw(Raw, Reply<()>),
        }

        $(impl Write for $write {
            type Output = $output;

            fn into_command(self, reply: Reply<$output>) -> Command {
                Command::Other(Box::new(Other::$name(self, reply)))
            }
        })*
    };
}

commands! {
    Seal(Seal) -> GroupState,
    Mark(Mark) -> (),
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
        Command::Other(_) => None,
    }));
}
