//! What cannot settle by itself: charges that were quarantined, each time with the reason, what it touches, and in the end
//! what a person decided about it, who, when and why.
//!
//! Deciding is one transaction of the database, so that it can be made while a relayer has the ledger open: the relayer
//! reads what was decided before it seals.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use std::collections::HashSet;
use steam_protocol::units::Pico;

/// Number of an incident.
pub type IncidentId = i64;

/// On what no new money is held until an incident is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Touches {
    /// The vault.
    Vault,
    /// One of its keys.
    Key,
    /// The offer.
    Offer,
    /// The provider, with all its offers.
    Provider,
}

impl Touches {
    pub(super) const ALL: [Self; 4] = [Self::Vault, Self::Key, Self::Offer, Self::Provider];

    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Key => "key",
            Self::Offer => "offer",
            Self::Provider => "provider",
        }
    }
}

/// What about a group is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Each of its charges.
    Kind,
    /// What they come to: fewer charges of the same line might settle.
    Amount,
}

/// Why a group cannot apply.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the program said.
    pub reason: String,
    /// What it is about.
    pub touches: Touches,
    /// What about the group is refused.
    pub cause: Cause,
}

/// What a person may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The charges are sealed again, line by line.
    Retried,
    /// They are never charged.
    WrittenOff,
    /// They may have been settled by somebody with another state of this ledger, so that they are never charged.
    Dropped,
}

impl Resolution {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::WrittenOff => "written off",
            Self::Dropped => "dropped",
        }
    }
}

/// Charges that were quarantined together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// The vault charged.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The key charged, if it is about one.
    pub epoch: Option<u32>,
    /// The provider to be paid, if it is about one line.
    pub provider: Option<Pubkey>,
    /// The offer, if it is about one line.
    pub offer: Option<Pubkey>,
    /// On what no new money is held until it is resolved.
    pub touches: Touches,
    /// Why the charges cannot settle.
    pub reason: String,
    /// Unix milliseconds.
    pub opened_ms: i64,
    /// Charges quarantined.
    pub receipts: u64,
    /// What they come to, fees included.
    pub total: Pico,
    /// What was decided, if anything was.
    pub resolved: Option<Resolved>,
}

/// What was decided about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What is to become of the charges: the name of a [`Resolution`].
    pub resolution: String,
    /// Who decided.
    pub by: String,
    /// Why.
    pub note: String,
    /// Unix milliseconds.
    pub at_ms: i64,
}

/// A decision: by whom, when and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What is to become of the charges.
    pub resolution: Resolution,
    /// Who decides.
    pub by: String,
    /// Why.
    pub note: String,
    /// Unix milliseconds.
    pub at_ms: i64,
}

/// Why a decision cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such incident.
    #[error("there is no incident {0}; `steam ledger resolve` lists those that are open")]
    Unknown(IncidentId),
    /// Somebody was faster.
    #[error("incident {0} was resolved before: {1}")]
    Resolved(IncidentId, String),
    /// The charges belong to a vault that is no more.
    #[error("the charges of incident {0} belong to a vault that was closed, so that they can only be written off")]
    Gone(IncidentId),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// On what no new money is held, from the incidents that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// By vault and generation.
    pub vaults: HashSet<(Pubkey, u64)>,
    /// By vault, generation and epoch.
    pub keys: HashSet<(Pubkey, u64, u32)>,
    /// Offers.
    pub offers: HashSet<Pubkey>,
    /// Providers.
    pub providers: HashSet<Pubkey>,
}

/// What settlement must know of incidents.
#[derive(Clone, Debug, Default)]
pub struct IncidentReport {
    /// On what no new money is held.
    pub blocks: Blocks,
    /// Incidents that are open.
    pub open: u64,
    /// What is never charged any more, since the last look.
    pub written_off: Vec<WrittenOff>,
    /// Decisions made so far.
    pub decisions: i64,
}

/// A charge that is never settled.
#[derive(Clone, Debug)]
pub struct WrittenOff {
    /// The vault.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The epoch of the key that it was charged to.
    pub epoch: u32,
    /// Fee included.
    pub amount: Pico,
}

impl IncidentReport {
    /// Adds what an open incident is about to what nothing is held on.
    pub(super) fn block(&mut self, incident: &Incident) {
        let (vault, generation) = (incident.vault, incident.generation);
        self.open += 1;
        match (incident.touches, incident.epoch, incident.offer, incident.provider) {
            (Touches::Key, Some(epoch), ..) => drop(self.blocks.keys.insert((vault, generation, epoch))),
            (Touches::Offer, _, Some(offer), _) => drop(self.blocks.offers.insert(offer)),
            (Touches::Provider, .., Some(provider)) => drop(self.blocks.providers.insert(provider)),
            // An incident without the id of what it touches blocks the whole vault.
            (Touches::Vault | Touches::Key | Touches::Offer | Touches::Provider, ..) => {
                self.blocks.vaults.insert((vault, generation));
            }
        }
    }
}

impl Ledger {
    /// The incidents that are open, and those that were resolved if `all`; oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn incidents(&self, all: bool) -> Result<Vec<Incident>, LedgerError> {
        self.read(move |store| store.incidents(all)).await
    }

    /// What settlement must know; what was written off is told from decision number `since` on.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn incident_report(&self, since: i64) -> Result<IncidentReport, LedgerError> {
        self.read(move |store| store.incident_report(since)).await
    }
}
