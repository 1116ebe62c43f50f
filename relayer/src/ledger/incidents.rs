//! What cannot settle by itself: charges that were set aside, each time with the reason, what it touches, and in the end
//! what a person decided about it, who, when and why.
//!
//! Deciding is one transaction of the database, so that it can be made while a relayer has the ledger open: the relayer
//! reads what was decided before it seals.

use super::{Ledger, LedgerError, groups};
use crate::chain::Pubkey;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use std::collections::HashSet;
use steam_protocol::Address;
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
    const ALL: [Self; 4] = [Self::Vault, Self::Key, Self::Offer, Self::Provider];

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

/// Why a group cannot apply.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the program said.
    pub reason: String,
    /// What it is about.
    pub touches: Touches,
    /// Whether fewer charges of the same line might settle: a limit was exceeded.
    pub by_amount: bool,
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
    fn name(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::WrittenOff => "written off",
            Self::Dropped => "dropped",
        }
    }
}

/// Charges that were set aside together.
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
    /// Charges set aside.
    pub receipts: u64,
    /// What they come to, fees included.
    pub total: Pico,
    /// What was decided, by whom, why, and when, in Unix milliseconds.
    pub resolved: Option<(String, String, String, i64)>,
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
pub struct Standing {
    /// On what no new money is held.
    pub blocks: Blocks,
    /// Incidents that are open.
    pub open: u64,
    /// What is never charged any more, since the last look: vault, generation, epoch, amount.
    pub written_off: Vec<(Pubkey, u64, u32, Pico)>,
    /// Decisions made so far.
    pub decisions: i64,
}

impl Ledger {
    /// The incidents that are open, and those that were resolved if `all`; oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn incidents(&self, all: bool) -> Result<Vec<Incident>, LedgerError> {
        self.read(move |db| list(db, all)).await
    }

    /// What settlement must know; what was written off is told from decision number `since` on.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn standing(&self, since: i64) -> Result<Standing, LedgerError> {
        self.read(move |db| standing(db, since)).await
    }
}

/// Opens an incident, or finds the one that is open about the same.
pub(super) fn open(
    tx: &Transaction<'_>,
    (vault, generation): (Address, i64),
    line: Option<&groups::SealedLine>,
    fault: &Fault,
    now_ms: i64,
) -> Result<IncidentId, LedgerError> {
    let (epoch, provider, offer) = (line.map(|l| l.epoch), line.map(|l| l.provider), line.map(|l| l.offer));
    let known = tx
        .prepare_cached(
            "SELECT id FROM incident WHERE resolution IS NULL AND vault = ?1 AND generation = ?2 AND epoch IS ?3
               AND provider IS ?4 AND offer IS ?5 AND touches = ?6 AND reason = ?7",
        )?
        .query_row((vault, generation, epoch, provider, offer, fault.touches.name(), &fault.reason), |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    tx.prepare_cached(
        "INSERT INTO incident (vault, generation, epoch, provider, offer, touches, reason, opened_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((vault, generation, epoch, provider, offer, fault.touches.name(), &fault.reason, now_ms))?;
    Ok(tx.last_insert_rowid())
}

/// Carries a decision out.
///
/// # Errors
/// [`ResolveError`]; nothing is changed then.
pub fn resolve(tx: &Transaction<'_>, id: IncidentId, decision: &Decision) -> Result<(), ResolveError> {
    let database = |error| ResolveError::Ledger(LedgerError::Database(error));
    let known: Option<Option<String>> = tx
        .query_row("SELECT resolution FROM incident WHERE id = ?1", [id], |row| row.get(0))
        .optional()
        .map_err(database)?;
    match known {
        None => return Err(ResolveError::Unknown(id)),
        Some(Some(resolution)) => return Err(ResolveError::Resolved(id, resolution)),
        Some(None) => {}
    }
    if decision.resolution == Resolution::Retried {
        let gone: bool = tx
            .query_row("SELECT EXISTS (SELECT 1 FROM charge WHERE incident = ?1 AND seq IS NOT NULL)", [id], |row| {
                row.get(0)
            })
            .map_err(database)?;
        if gone {
            return Err(ResolveError::Gone(id));
        }
        tx.execute(
            "UPDATE charge SET aside = NULL, incident = NULL, alone = ?2 WHERE incident = ?1",
            (id, groups::MAX_RECEIPTS),
        )
        .map_err(database)?;
    }
    close(tx, id, decision)?;
    Ok(())
}

fn close(tx: &Transaction<'_>, id: IncidentId, decision: &Decision) -> Result<(), LedgerError> {
    tx.execute(
        "UPDATE incident SET resolution = ?2, resolved_by = ?3, note = ?4, resolved_ms = ?5,
           decision = (SELECT coalesce(max(decision), 0) + 1 FROM incident) WHERE id = ?1",
        (id, decision.resolution.name(), &decision.by, &decision.note, decision.at_ms),
    )?;
    Ok(())
}

/// Never charges what a vault's generation has not settled: an incident that is resolved as it is opened. Returns how many
/// charges there were, and what they come to.
pub(super) fn drop_unsettled(
    tx: &Transaction<'_>,
    (vault, generation): (Address, i64),
    reason: &str,
    decision: &Decision,
) -> Result<(IncidentId, u64, Pico), LedgerError> {
    let fault = Fault { reason: reason.to_owned(), touches: Touches::Vault, by_amount: false };
    let id = open(tx, (vault, generation), None, &fault, decision.at_ms)?;
    // Those of incidents that are open are decided with the rest.
    tx.execute(
        "UPDATE charge SET seq = NULL, aside = ?4, incident = ?3 WHERE vault = ?1 AND generation = ?2 AND (
           (seq IS NULL AND aside IS NULL)
           OR incident IN (SELECT id FROM incident WHERE vault = ?1 AND generation = ?2 AND resolution IS NULL)
           OR seq IN (SELECT seq FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND state = 'sealed'))",
        (vault, generation, id, reason),
    )?;
    let others: Vec<IncidentId> = tx
        .prepare("SELECT id FROM incident WHERE vault = ?1 AND generation = ?2 AND resolution IS NULL")?
        .query_map((vault, generation), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for other in others {
        close(tx, other, decision)?;
    }
    let (receipts, total) = sums(tx, id)?;
    Ok((id, receipts, total))
}

/// The incidents that are open, and those that were resolved if `all`; oldest first.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn list(db: &Connection, all: bool) -> Result<Vec<Incident>, LedgerError> {
    let mut statement = db.prepare_cached(
        "SELECT id, vault, generation, epoch, provider, offer, touches, reason, opened_ms, resolution, resolved_by, note,
           resolved_ms FROM incident WHERE resolution IS NULL OR ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([all])?;
    let mut incidents = Vec::new();
    while let Some(row) = rows.next()? {
        let (receipts, total) = sums(db, row.get(0)?)?;
        incidents.push(Incident { receipts, total, ..incident(row)? });
    }
    Ok(incidents)
}

fn incident(row: &Row<'_>) -> Result<Incident, LedgerError> {
    let address = |at| row.get::<_, Option<Address>>(at).map(|address| address.map(Pubkey::from));
    let touches: String = row.get(6)?;
    let resolution: Option<String> = row.get(9)?;
    Ok(Incident {
        id: row.get(0)?,
        vault: Pubkey::from(row.get::<_, Address>(1)?),
        generation: row.get::<_, i64>(2)? as u64,
        epoch: row.get(3)?,
        provider: address(4)?,
        offer: address(5)?,
        touches: Touches::ALL
            .into_iter()
            .find(|known| known.name() == touches)
            .ok_or(LedgerError::Malformed("incident"))?,
        reason: row.get(7)?,
        opened_ms: row.get(8)?,
        receipts: 0,
        total: Pico::ZERO,
        resolved: match resolution {
            None => None,
            Some(resolution) => Some((resolution, row.get(10)?, row.get(11)?, row.get(12)?)),
        },
    })
}

fn sums(db: &Connection, id: IncidentId) -> Result<(u64, Pico), LedgerError> {
    let mut statement = db.prepare_cached("SELECT total FROM charge INDEXED BY charge_incident WHERE incident = ?1")?;
    let mut rows = statement.query([id])?;
    let (mut receipts, mut total) = (0, Pico::ZERO);
    while let Some(row) = rows.next()? {
        receipts += 1;
        let charge = Pico(u128::from_be_bytes(row.get(0)?));
        total = total.checked_add(charge).ok_or(LedgerError::Malformed("charge"))?;
    }
    Ok((receipts, total))
}

pub(super) fn standing(db: &Connection, since: i64) -> Result<Standing, LedgerError> {
    let mut standing = Standing::default();
    for incident in list(db, false)? {
        standing.open += 1;
        let (vault, generation) = (incident.vault, incident.generation);
        match (incident.touches, incident.epoch, incident.offer, incident.provider) {
            (Touches::Key, Some(epoch), ..) => drop(standing.blocks.keys.insert((vault, generation, epoch))),
            (Touches::Offer, _, Some(offer), _) => drop(standing.blocks.offers.insert(offer)),
            (Touches::Provider, .., Some(provider)) => drop(standing.blocks.providers.insert(provider)),
            // One that does not say what it is about is about all of it.
            (Touches::Vault | Touches::Key | Touches::Offer | Touches::Provider, ..) => {
                standing.blocks.vaults.insert((vault, generation));
            }
        }
    }
    let mut waiting = db.prepare_cached(
        "SELECT vault, generation FROM settlement_group WHERE state = 'sealed' AND waiting IS NOT NULL",
    )?;
    let mut rows = waiting.query([])?;
    while let Some(row) = rows.next()? {
        let vault = Pubkey::from(row.get::<_, Address>(0)?);
        standing.blocks.vaults.insert((vault, row.get::<_, i64>(1)? as u64));
    }
    let mut decided = db.prepare_cached(
        "SELECT c.vault, c.generation, c.epoch, c.total FROM incident i JOIN charge c ON c.incident = i.id
         WHERE i.decision > ?1 AND i.resolution IN ('written off', 'dropped')",
    )?;
    let mut rows = decided.query([since])?;
    while let Some(row) = rows.next()? {
        let vault = Pubkey::from(row.get::<_, Address>(0)?);
        let total = Pico(u128::from_be_bytes(row.get(3)?));
        standing.written_off.push((vault, row.get::<_, i64>(1)? as u64, row.get(2)?, total));
    }
    standing.decisions = decisions(db)?;
    Ok(standing)
}

/// Decisions made so far.
pub(super) fn decisions(db: &Connection) -> Result<i64, LedgerError> {
    Ok(db.prepare_cached("SELECT coalesce(max(decision), 0) FROM incident")?.query_row([], |row| row.get(0))?)
}
