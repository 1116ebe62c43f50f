//! Settlement: charges become groups, groups become batches, batches become transactions, until the chain has applied
//! each group exactly once, whatever is lost, repeated or killed on the way.
//!
//! What makes that true: a group's seq comes from the ledger and the program applies it once; a transaction is stored
//! before it is sent; it is given up only when no block can hold it any more; and what was applied is read from the
//! vault itself, never from a transaction's status.

pub mod agreed;
pub mod alerts;
pub mod build;
pub mod dust;
mod engine;
mod fault;
pub mod fees;
pub mod form;
pub mod grace;
pub mod tables;

pub use engine::{Round, Settler, Setup};

use crate::chain::Pubkey;
use crate::chain::rpc::RpcError;
use crate::ledger::LedgerError;
use serde::{Serialize, Serializer};
use steam_protocol::units::Pico;

/// Where settlement stands.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// The last settlement's transaction, since this process started.
    pub last_signature: Option<String>,
    /// When it was known to be final, in Unix seconds.
    pub last_settled_at: Option<i64>,
    /// Groups settled since the ledger began.
    pub settled_groups: u64,
    /// Groups sealed and not settled.
    pub open_groups: u64,
    /// Receipts not known to be settled.
    pub unsettled_receipts: u64,
    /// Their sum in pico-USDC, fees included.
    #[serde(serialize_with = "as_text")]
    pub unsettled: Pico,
    /// Vaults whose chain state is no state of this ledger.
    #[serde(serialize_with = "as_addresses")]
    pub halted: Vec<Pubkey>,
    /// The form of the last transaction that was signed: v0, v0 with a lookup table, or v1.
    pub transaction: Option<&'static str>,
    /// What was last known of everything that a person may have to be told of.
    pub facts: alerts::Facts,
    /// What a person should be told now.
    pub alerts: Vec<alerts::Alert>,
    /// Incidents that wait for the operator: charges that were set aside.
    pub incidents: u64,
    /// Groups that do not settle though they are tried, because their vault is frozen or holds too little, or for another
    /// reason that `steam ledger resolve` shows.
    pub waiting: u64,
    /// What keeps the last round from making progress.
    pub problem: Option<String>,
}

impl Status {
    /// Where two settlements stand together: those of two partitions of a ledger.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.settled_groups += other.settled_groups;
        self.open_groups += other.open_groups;
        self.unsettled_receipts += other.unsettled_receipts;
        self.unsettled = Pico(self.unsettled.0.saturating_add(other.unsettled.0));
        self.halted.extend(other.halted);
        self.incidents += other.incidents;
        self.waiting += other.waiting;
        self.facts = self.facts.and(other.facts);
        let own: Vec<_> = self.alerts.iter().map(|alert| alert.name).collect();
        self.alerts.extend(other.alerts.into_iter().filter(|alert| !own.contains(&alert.name)));
        self.problem = self.problem.or(other.problem);
        if other.last_settled_at > self.last_settled_at {
            self.last_settled_at = other.last_settled_at;
            self.last_signature = other.last_signature;
            self.transaction = other.transaction;
        }
        self
    }
}

/// Why a round of settlement stopped. The next round takes up where it did.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The chain could not be asked.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The transaction could not be built.
    #[error(transparent)]
    Build(#[from] build::BuildError),
    /// The nodes differ on something that must be known.
    #[error("the RPC nodes do not agree on {0}: one of them lags far behind or lies")]
    Disagreement(&'static str),
    /// A stored transaction could not be read back.
    #[error("the settlement transaction cannot be {0}")]
    Transaction(&'static str),
}

fn as_text<S: Serializer>(pico: &Pico, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&pico.0)
}

fn as_addresses<S: Serializer>(addresses: &[Pubkey], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(addresses.iter().map(ToString::to_string))
}
