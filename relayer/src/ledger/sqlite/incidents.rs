//! Incidents, and what was decided about them.

use super::row::Columns;
use super::sealed::groups_where;
use super::{Reader, charges};
use crate::chain::Pubkey;
use crate::ledger::incidents::{
    Decision, Incident, IncidentId, IncidentReport, Resolution, ResolveError, Resolved, WrittenOff,
};
use crate::ledger::sealing::MAX_RECEIPTS;
use crate::ledger::{Cause, Fault, LedgerError, SealedLine, Touches};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use steam_protocol::Address;
use steam_protocol::units::Pico;

impl Reader {
    /// The incidents that are open, and those that were resolved if `all`; oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn incidents(&self, all: bool) -> Result<Vec<Incident>, LedgerError> {
        list(&self.0, all)
    }

    /// What settlement must know.
    pub(in crate::ledger) fn incident_report(&self, since: i64) -> Result<IncidentReport, LedgerError> {
        report(&self.0, since)
    }
}

/// Opens an incident, or finds the one that is open about the same.
pub(super) fn open(
    tx: &Transaction<'_>,
    (vault, generation): (Address, i64),
    line: Option<&SealedLine>,
    fault: &Fault,
    now_ms: i64,
) -> Result<IncidentId, LedgerError> {
    let (epoch, provider, offer) = (line.map(|l| l.epoch), line.map(|l| l.provider), line.map(|l| l.offer));
    let known = tx
        .prepare_cached(
            "SELECT id FROM incident WHERE resolution IS NULL AND vault = ?1 AND generation = ?2 AND epoch IS ?3
               AND provider IS ?4 AND offer IS ?5 AND touches = ?6 AND reason = ?7",
        )?
        .query_row((vault, generation, epoch, provider, offer, fault.touches.name(), &fault.reason), |row| {
            row.get("id")
        })
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

/// Carries a decision out; nothing is changed if it cannot be.
pub(super) fn resolve(tx: &Transaction<'_>, id: IncidentId, decision: &Decision) -> Result<(), ResolveError> {
    let database = |error| ResolveError::Ledger(LedgerError::Database(error));
    let known: Option<Option<String>> = tx
        .query_row("SELECT resolution FROM incident WHERE id = ?1", [id], |row| row.get("resolution"))
        .optional()
        .map_err(database)?;
    match known {
        None => return Err(ResolveError::Unknown(id)),
        Some(Some(resolution)) => return Err(ResolveError::Resolved(id, resolution)),
        Some(None) => {}
    }
    if decision.resolution == Resolution::Retried {
        let gone: bool = tx
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM charge WHERE incident = ?1 AND seq IS NOT NULL) AS gone",
                [id],
                |row| row.get("gone"),
            )
            .map_err(database)?;
        if gone {
            return Err(ResolveError::Gone(id));
        }
        tx.execute(
            "UPDATE charge SET quarantined = NULL, incident = NULL, alone = ?2 WHERE incident = ?1",
            (id, MAX_RECEIPTS),
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
    let fault = Fault { reason: reason.to_owned(), touches: Touches::Vault, cause: Cause::Kind };
    let id = open(tx, (vault, generation), None, &fault, decision.at_ms)?;
    let row = charges::vault(tx, (vault, generation))?;
    charges::keep_sums(tx, row)?;
    tx.execute(
        "UPDATE charge INDEXED BY charge_open SET quarantined = ?3, incident = ?2
         WHERE vault = ?1 AND seq IS NULL AND quarantined IS NULL",
        (row, id, reason),
    )?;
    // Those of incidents that are open are decided with the rest, and so is a group under way.
    tx.execute(
        "UPDATE charge SET seq = NULL, quarantined = ?4, incident = ?3
         WHERE incident IN (SELECT id FROM incident WHERE vault = ?1 AND generation = ?2 AND resolution IS NULL)",
        (vault, generation, id, reason),
    )?;
    tx.execute(
        "UPDATE charge SET seq = NULL, quarantined = ?5, incident = ?4 WHERE vault = ?1 AND seq IN (
           SELECT seq FROM settlement_group WHERE vault = ?2 AND generation = ?3 AND state = 'sealed')",
        (row, vault, generation, id, reason),
    )?;
    let others: Vec<IncidentId> = tx
        .prepare("SELECT id FROM incident WHERE vault = ?1 AND generation = ?2 AND resolution IS NULL")?
        .query_map((vault, generation), |row| row.get("id"))?
        .collect::<Result<_, _>>()?;
    for other in others {
        close(tx, other, decision)?;
    }
    let (receipts, total) = sums(tx, id)?;
    Ok((id, receipts, total))
}

fn list(db: &Connection, all: bool) -> Result<Vec<Incident>, LedgerError> {
    let mut statement = db.prepare_cached(
        "SELECT id, vault, generation, epoch, provider, offer, touches, reason, opened_ms, resolution, resolved_by, note,
           resolved_ms FROM incident WHERE resolution IS NULL OR ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([all])?;
    let mut incidents = Vec::new();
    while let Some(row) = rows.next()? {
        let (receipts, total) = sums(db, row.get("id")?)?;
        incidents.push(Incident { receipts, total, ..incident(row)? });
    }
    Ok(incidents)
}

fn incident(row: &Row<'_>) -> Result<Incident, LedgerError> {
    let address = |name| row.get::<_, Option<Address>>(name).map(|address| address.map(Pubkey::from));
    let touches: String = row.get("touches")?;
    let resolution: Option<String> = row.get("resolution")?;
    let (vault, generation) = row.place()?;
    Ok(Incident {
        id: row.get("id")?,
        vault,
        generation,
        epoch: row.get("epoch")?,
        provider: address("provider")?,
        offer: address("offer")?,
        touches: Touches::ALL
            .into_iter()
            .find(|known| known.name() == touches)
            .ok_or(LedgerError::Malformed("incident"))?,
        reason: row.get("reason")?,
        opened_ms: row.get("opened_ms")?,
        receipts: 0,
        total: Pico::ZERO,
        resolved: match resolution {
            None => None,
            Some(resolution) => Some(Resolved {
                resolution,
                by: row.get("resolved_by")?,
                note: row.get("note")?,
                at_ms: row.get("resolved_ms")?,
            }),
        },
    })
}

fn sums(db: &Connection, id: IncidentId) -> Result<(u64, Pico), LedgerError> {
    let mut statement = db.prepare_cached(
        "SELECT r.receipt FROM charge c INDEXED BY charge_incident JOIN record r ON r.id = c.id WHERE c.incident = ?1",
    )?;
    let mut rows = statement.query([id])?;
    let (mut receipts, mut total) = (0, Pico::ZERO);
    while let Some(row) = rows.next()? {
        receipts += 1;
        let charge = charges::total(&charges::receipt(row)?)?;
        total = total.checked_add(charge).ok_or(LedgerError::Malformed("charge"))?;
    }
    Ok((receipts, total))
}

pub(super) fn report(db: &Connection, since: i64) -> Result<IncidentReport, LedgerError> {
    let mut report = IncidentReport::default();
    for incident in list(db, false)? {
        report.block(&incident);
    }
    for group in groups_where(db, "state = 'sealed' AND waiting IS NOT NULL AND ?1", 1)? {
        report.blocks.vaults.insert((group.vault, group.generation));
    }
    let mut decided = db.prepare_cached(
        "SELECT v.vault, v.generation, r.receipt FROM incident i JOIN charge c ON c.incident = i.id
         JOIN record r ON r.id = c.id JOIN vault v ON v.id = c.vault
         WHERE i.decision > ?1 AND i.resolution IN ('written off', 'dropped')",
    )?;
    let mut rows = decided.query([since])?;
    while let Some(row) = rows.next()? {
        let (vault, generation) = row.place()?;
        let receipt = charges::receipt(row)?;
        let amount = charges::total(&receipt)?;
        report.written_off.push(WrittenOff { vault, generation, epoch: receipt.key_epoch, amount });
    }
    report.decisions = decisions(db)?;
    Ok(report)
}

/// Decisions made so far.
pub(super) fn decisions(db: &Connection) -> Result<i64, LedgerError> {
    let mut statement = db.prepare_cached("SELECT coalesce(max(decision), 0) AS decisions FROM incident")?;
    Ok(statement.query_row([], |row| row.get("decisions"))?)
}
