//! What the relayer's operator sees: one document, for the page that the operator's own listener serves.

use super::{Readiness, VaultView};
use crate::ledger::{DayOfSettlements, Incident};
use crate::node::requests::Answered;
use crate::settle;
use serde::Serialize;

/// Everything that the operator's page shows.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorView {
    /// Always `operator`.
    pub object: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// When this was put together, in Unix seconds.
    pub at: i64,
    /// Whether requests are taken, and why not.
    pub readiness: Readiness,
    /// Where settlement stands, with what a person should be told.
    pub settlement: settle::Status,
    /// What cannot settle by itself and waits for a decision.
    pub incidents: Vec<IncidentView>,
    /// The vaults that owe most and were not settled, or all if they are few.
    pub vaults: Vec<VaultView>,
    /// Vaults that name this relayer.
    pub vaults_in_all: usize,
    /// What settlements cost, by day, the last 30 days.
    pub fees: Vec<FeesOfDay>,
    /// The last requests, without their words, the latest first.
    pub requests: Vec<Answered>,
    /// The configuration as it was loaded; what may be secret is left out.
    pub configuration: serde_json::Value,
}

/// Charges that were set aside, and what to do about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentView {
    /// Its number.
    pub id: i64,
    /// The vault charged.
    pub vault: String,
    /// The provider to be paid, if it is about one.
    pub provider: Option<String>,
    /// The offer, if it is about one.
    pub offer: Option<String>,
    /// On what nothing new is held: `vault`, `key`, `offer` or `provider`.
    pub blocks: &'static str,
    /// Why the charges cannot settle.
    pub reason: String,
    /// When it was opened, in Unix milliseconds.
    pub opened_ms: i64,
    /// Charges set aside.
    pub receipts: u64,
    /// What they come to, in pico-USDC.
    pub total_pico: String,
    /// What to run once a person has decided.
    pub next: [String; 2],
}

/// What the settlements of a day cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeesOfDay {
    /// The day, as in `2026-11-28`, in UTC.
    pub day: String,
    /// Transactions that settled.
    pub settlements: u64,
    /// What they cost, in lamports.
    pub lamports: u64,
}

impl From<&Incident> for IncidentView {
    fn from(incident: &Incident) -> Self {
        let command = |decision: &str| format!("steam ledger resolve {} --{decision} --note WHY", incident.id);
        Self {
            id: incident.id,
            vault: incident.vault.to_string(),
            provider: incident.provider.map(|address| address.to_string()),
            offer: incident.offer.map(|address| address.to_string()),
            blocks: incident.touches.name(),
            reason: incident.reason.clone(),
            opened_ms: incident.opened_ms,
            receipts: incident.receipts,
            total_pico: incident.total.0.to_string(),
            next: [command("retry"), command("write-off")],
        }
    }
}

impl From<&DayOfSettlements> for FeesOfDay {
    fn from(day: &DayOfSettlements) -> Self {
        Self { day: crate::date::show(day.day), settlements: day.settlements, lamports: day.lamports }
    }
}
