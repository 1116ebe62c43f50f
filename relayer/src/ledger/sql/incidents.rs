//! Incidents, and what was decided about them.

use super::sealed::groups_where;
use super::{Database, Reader, Row, charges, sealed, values};
use crate::chain::Pubkey;
use crate::ledger::incidents::{
    Decision, Incident, IncidentId, IncidentReport, Resolution, ResolveError, Resolved, WrittenOff,
};
use crate::ledger::sealing::MAX_RECEIPTS;
use crate::ledger::{Cause, Fault, LedgerError, SealedLine, Touches};
use steam_protocol::Address;
use steam_protocol::units::Pico;

impl Reader {
    /// The incidents that are open, and those that were resolved if `all`; oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn incidents(&self, all: bool) -> Result<Vec<Incident>, LedgerError> {
        list(self.db(), all)
    }

    /// What settlement must know.
    pub(in crate::ledger) fn incident_report(&self, since: i64) -> Result<IncidentReport, LedgerError> {
        report(self.db(), since)
    }
}

/// Opens an incident, or finds the one that is open about the same.
pub(super) fn open(
    db: &dyn Database,
    (vault, generation): (Address, i64),
    line: Option<&SealedLine>,
    fault: &Fault,
    now_ms: i64,
) -> Result<IncidentId, LedgerError> {
    let (epoch, provider, offer) = (line.map(|l| l.epoch), line.map(|l| l.provider), line.map(|l| l.offer));
    let (provider, offer) = (provider.as_ref(), offer.as_ref());
    let (touches, reason) = (fault.touches.name(), &fault.reason);
    let known = db.row(
        "SELECT id FROM incident WHERE resolution IS NULL AND vault = ?1 AND generation = ?2
           AND epoch IS NOT DISTINCT FROM ?3 AND provider IS NOT DISTINCT FROM ?4 AND offer IS NOT DISTINCT FROM ?5
           AND touches = ?6 AND reason = ?7",
        values![&vault, generation, epoch, provider, offer, touches, reason],
        |row| row.get("id"),
    )?;
    if let Some(known) = known {
        return Ok(known);
    }
    db.one(
        "INSERT INTO incident (vault, generation, epoch, provider, offer, touches, reason, opened_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
        values![&vault, generation, epoch, provider, offer, touches, reason, now_ms],
        |row| row.get("id"),
    )
}

/// Carries a decision out; nothing is changed if it cannot be.
pub(super) fn resolve(db: &dyn Database, id: IncidentId, decision: &Decision) -> Result<(), ResolveError> {
    let find = "SELECT resolution FROM incident WHERE id = ?1";
    let known: Option<Option<String>> = db.row(find, values![id], |row| row.opt("resolution"))?;
    match known {
        None => return Err(ResolveError::Unknown(id)),
        Some(Some(resolution)) => return Err(ResolveError::Resolved(id, resolution)),
        Some(None) => {}
    }
    if decision.resolution == Resolution::Retried {
        let gone: bool = db.one(
            "SELECT EXISTS (SELECT 1 FROM charge WHERE incident = ?1 AND seq IS NOT NULL) AS gone",
            values![id],
            |row| row.get("gone"),
        )?;
        if gone {
            return Err(ResolveError::Gone(id));
        }
        // What a sealed group lacks are its vault's first open charges: they are marked before others come before them.
        for group in sealed::unmarked(db)? {
            sealed::mark(db, group.seq, &group.charges)?;
        }
        db.execute(
            "UPDATE charge SET quarantined = NULL, incident = NULL, alone = ?2 WHERE incident = ?1",
            values![id, MAX_RECEIPTS],
        )?;
    }
    close(db, id, decision)?;
    Ok(())
}

fn close(db: &dyn Database, id: IncidentId, decision: &Decision) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE incident SET resolution = ?2, resolved_by = ?3, note = ?4, resolved_ms = ?5,
           decision = (SELECT coalesce(max(decision), 0) + 1 FROM incident) WHERE id = ?1",
        values![id, decision.resolution.name(), &decision.by, &decision.note, decision.at_ms],
    )?;
    Ok(())
}

/// Never charges what a vault's generation has not settled: an incident that is resolved as it is opened. Returns how many
/// charges there were, and what they come to.
pub(super) fn drop_unsettled(
    db: &dyn Database,
    (vault, generation): (Address, i64),
    reason: &str,
    decision: &Decision,
) -> Result<(IncidentId, u64, Pico), LedgerError> {
    let fault = Fault { reason: reason.to_owned(), touches: Touches::Vault, cause: Cause::Kind };
    let id = open(db, (vault, generation), None, &fault, decision.at_ms)?;
    let row = charges::vault(db, (vault, generation))?;
    charges::keep_sums(db, row)?;
    db.execute(
        "UPDATE charge INDEXED BY charge_open SET quarantined = ?3, incident = ?2
         WHERE vault = ?1 AND seq IS NULL AND quarantined IS NULL",
        values![row, id, reason],
    )?;
    // Those of incidents that are open are decided with the rest, and so is a group under way.
    db.execute(
        "UPDATE charge SET seq = NULL, quarantined = ?4, incident = ?3
         WHERE incident IN (SELECT id FROM incident WHERE vault = ?1 AND generation = ?2 AND resolution IS NULL)",
        values![&vault, generation, id, reason],
    )?;
    db.execute(
        "UPDATE charge SET seq = NULL, quarantined = ?5, incident = ?4 WHERE vault = ?1 AND seq IN (
           SELECT seq FROM settlement_group WHERE vault = ?2 AND generation = ?3 AND state = 'sealed')",
        values![row, &vault, generation, id, reason],
    )?;
    let others: Vec<IncidentId> = db.rows(
        "SELECT id FROM incident WHERE vault = ?1 AND generation = ?2 AND resolution IS NULL",
        values![&vault, generation],
        |row| row.get("id"),
    )?;
    for other in others {
        close(db, other, decision)?;
    }
    let (receipts, total) = sums(db, id)?;
    Ok((id, receipts, total))
}

fn list(db: &dyn Database, all: bool) -> Result<Vec<Incident>, LedgerError> {
    let mut incidents = db.rows(
        "SELECT id, vault, generation, epoch, provider, offer, touches, reason, opened_ms, resolution, resolved_by, note,
           resolved_ms FROM incident WHERE resolution IS NULL OR ?1 = 1 ORDER BY id",
        values![all],
        incident,
    )?;
    for incident in &mut incidents {
        (incident.receipts, incident.total) = sums(db, incident.id)?;
    }
    Ok(incidents)
}

fn incident(row: &dyn Row) -> Result<Incident, LedgerError> {
    let address = |name| row.opt::<Address>(name).map(|address| address.map(Pubkey::from));
    let touches: String = row.get("touches")?;
    let resolution: Option<String> = row.opt("resolution")?;
    let (vault, generation) = row.place()?;
    Ok(Incident {
        id: row.get("id")?,
        vault,
        generation,
        epoch: row.opt("epoch")?,
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

fn sums(db: &dyn Database, id: IncidentId) -> Result<(u64, Pico), LedgerError> {
    let (mut receipts, mut total) = (0, Pico::ZERO);
    db.each(
        "SELECT r.receipt FROM charge c INDEXED BY charge_incident JOIN record r ON r.id = c.id WHERE c.incident = ?1",
        values![id],
        |row| {
            receipts += 1;
            let charge = charges::total(&charges::receipt(row)?)?;
            total = total.checked_add(charge).ok_or(LedgerError::Malformed("charge"))?;
            Ok(())
        },
    )?;
    Ok((receipts, total))
}

pub(super) fn report(db: &dyn Database, since: i64) -> Result<IncidentReport, LedgerError> {
    let mut report = IncidentReport::default();
    for incident in list(db, false)? {
        report.block(&incident);
    }
    for group in groups_where(db, "state = 'sealed' AND waiting IS NOT NULL", &[])? {
        report.blocks.vaults.insert((group.vault, group.generation));
    }
    db.each(
        "SELECT v.vault, v.generation, r.receipt FROM incident i JOIN charge c ON c.incident = i.id
         JOIN record r ON r.id = c.id JOIN vault v ON v.id = c.vault
         WHERE i.decision > ?1 AND i.resolution IN ('written off', 'dropped')",
        values![since],
        |row| {
            let (vault, generation) = row.place()?;
            let receipt = charges::receipt(row)?;
            let amount = charges::total(&receipt)?;
            report.written_off.push(WrittenOff { vault, generation, epoch: receipt.key_epoch, amount });
            Ok(())
        },
    )?;
    report.decisions = decisions(db)?;
    Ok(report)
}

/// Decisions made so far.
pub(super) fn decisions(db: &dyn Database) -> Result<i64, LedgerError> {
    db.one("SELECT coalesce(max(decision), 0) AS decisions FROM incident", &[], |row| row.get("decisions"))
}
