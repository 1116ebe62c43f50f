//! Proves from the file alone that a ledger is sound: every rule it promises to keep is looked at in every row, and what does
//! not hold is named. Reads in one transaction, so that a relayer may write meanwhile.

mod batches;
mod charges;
mod groups;

use super::row::Columns;
use super::{Reader, recovery};
use crate::chain::Pubkey;
use crate::ledger::LedgerError;
use crate::ledger::audit::{Audit, Signatures};
use rusqlite::Connection;
use std::collections::HashMap;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::{Address, Hash};

/// A vault's generation that is looked at, and what else its rows are compared with.
struct Place {
    vault: Address,
    generation: i64,
    domain: Hash,
    relayer: Address,
}

impl Reader {
    /// Looks at everything.
    ///
    /// # Errors
    /// [`LedgerError::Database`] if the file cannot be read at all.
    pub fn audit(&self) -> Result<Audit, LedgerError> {
        let mut audit = Audit::default();
        match look(&self.0, &mut audit) {
            Err(LedgerError::Database(error)) if is_damage(&error) => {
                audit.find("integrity", "file", error.to_string());
            }
            other => other?,
        }
        Ok(audit)
    }

    /// Checks every receipt's signature by the relayer's receipt keys, which only the chain knows.
    ///
    /// # Errors
    /// [`LedgerError::Database`] if the file cannot be read.
    pub fn verify_receipts(&self, keys: &[(u32, Address)], audit: &mut Audit) -> Result<Signatures, LedgerError> {
        let mut told = Signatures::default();
        let newest = keys.iter().map(|(id, _)| *id).max();
        let mut statement =
            self.0.prepare("SELECT charge.id, receipt FROM charge JOIN record ON record.id = charge.record")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // One that cannot be read is a finding already.
            let Ok(signed) = SignedReceipt::from_bytes(&row.get::<_, Vec<u8>>("receipt")?) else { continue };
            let id: String = row.get("id")?;
            match keys.iter().find(|(id, _)| *id == signed.receipt.key_id) {
                None if Some(signed.receipt.key_id) < newest => told.of_forgotten_keys += 1,
                None => audit.find("signature", id, "its receipt names a key that the endpoints do not know"),
                Some((_, key)) if signed.verify(key).is_ok() => told.verified += 1,
                Some(_) => audit.find("signature", id, "its receipt is not signed by the relayer's key"),
            }
        }
        Ok(told)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn look(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let db = &db.unchecked_transaction()?;
    database(db, audit)?;
    if audit.findings.iter().any(|finding| finding.rule == "integrity") {
        return Ok(()); // what is read from a damaged file means nothing
    }
    let (domain, relayer) = recovery::deployment(db)?;
    let mut places = db.prepare(
        "SELECT vault, generation FROM vault UNION SELECT vault, generation FROM charge
         UNION SELECT vault, generation FROM settlement_group",
    )?;
    let mut rows = places.query([])?;
    let mut leaves = HashMap::new();
    while let Some(row) = rows.next()? {
        let (vault, generation) = (row.get("vault")?, row.get("generation")?);
        let place = Place { vault, generation, domain, relayer: relayer.to_bytes() };
        let (mut sums, keys) = charges::look(db, &place, audit)?;
        groups::look(db, &place, (&sums, &keys), audit)?;
        for (seq, sum) in &mut sums {
            leaves.insert((vault, generation, *seq), std::mem::take(&mut sum.leaves));
        }
    }
    batches::look(db, &leaves, audit)?;
    incidents(db, audit)
}

/// What SQLite itself can tell.
fn database(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut check = db.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let told: String = row.get("integrity_check")?;
        if told != "ok" {
            audit.find("integrity", "file", told);
        }
    }
    let mut check = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get("table")?, row.get("parent")?);
        audit.find("foreign key", &table, format!("a row of {table} refers to a row of {parent} that is not there"));
    }
    let mut lone = db.prepare("SELECT id FROM record WHERE id NOT IN (SELECT record FROM charge)")?;
    let mut rows = lone.query([])?;
    while let Some(row) = rows.next()? {
        audit.find("record", row.get::<_, i64>("id")?, "a receipt and a decision are there without their charge");
    }
    let mut twice = db.prepare(
        "SELECT vault, epoch, count(*) AS times FROM charge NOT INDEXED
         GROUP BY vault, generation, epoch, request_hash HAVING count(*) > 1",
    )?;
    let mut rows = twice.query([])?;
    while let Some(row) = rows.next()? {
        let (epoch, times): (u32, u32) = (row.get("epoch")?, row.get("times")?);
        let problem = format!("a request of key epoch {epoch} is charged {times} times");
        audit.find("unique request", row.address("vault")?, problem);
    }
    Ok(())
}

/// Looks at what was quarantined.
fn incidents(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut strange = db.prepare(
        "SELECT c.vault, c.number FROM charge c JOIN incident i ON i.id = c.incident
         WHERE i.vault <> c.vault OR i.generation <> c.generation
            OR (c.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM settlement_group g WHERE g.vault = c.vault
                AND g.generation = c.generation AND g.seq = c.seq AND g.state = 'abandoned'))",
    )?;
    let mut rows = strange.query([])?;
    while let Some(row) = rows.next()? {
        let at = format!("vault {} charge {}", row.address("vault")?, row.get::<_, i64>("number")?);
        audit.find("incident", at, "it is quarantined and in a group, or in another vault's incident");
    }
    Ok(())
}

/// How a vault is named in a finding.
fn name(vault: Address) -> Pubkey {
    Pubkey::from(vault)
}
