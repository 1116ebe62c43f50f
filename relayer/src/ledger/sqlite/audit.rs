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

/// Whose ledger it should be.
#[derive(Clone, Copy)]
struct Deployment {
    domain: Hash,
    relayer: Address,
}

/// A vault's generation that is looked at.
#[derive(Clone, Copy, Default)]
struct Place {
    vault: Address,
    generation: i64,
    domain: Hash,
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
        let mut statement = self.0.prepare("SELECT generation_id, receipt FROM record")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // One that cannot be read is a finding already.
            let Ok(signed) = SignedReceipt::from_bytes(&row.get::<_, Vec<u8>>("receipt")?) else { continue };
            let id: String = row.get("generation_id")?;
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
    integrity(db, audit)?;
    if audit.findings.iter().any(|finding| finding.rule == "integrity") {
        return Ok(()); // what is read from a damaged file means nothing
    }
    references(db, audit)?;
    let (domain, relayer) = recovery::deployment(db)?;
    let deployment = Deployment { domain, relayer: relayer.to_bytes() };
    let mut vaults = charges::look(db, deployment, audit)?;
    let mut places = db.prepare(
        "SELECT id, vault, generation FROM vault UNION ALL
         SELECT DISTINCT NULL, vault, generation FROM settlement_group
         WHERE (vault, generation) NOT IN (SELECT vault, generation FROM vault)",
    )?;
    let mut rows = places.query([])?;
    let mut leaves = HashMap::new();
    while let Some(row) = rows.next()? {
        let place = Place { vault: row.get("vault")?, generation: row.get("generation")?, domain };
        let mut charged = row.get::<_, Option<i64>>("id")?.and_then(|id| vaults.remove(&id)).unwrap_or_default();
        groups::look(db, &place, &charged, audit)?;
        for (seq, sum) in &mut charged.groups {
            leaves.insert((place.vault, place.generation, *seq), std::mem::take(&mut sum.leaves));
        }
    }
    batches::look(db, &leaves, audit)?;
    incidents(db, audit)
}

/// Whether the file is whole, as SQLite itself can tell.
fn integrity(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut check = db.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let told: String = row.get("integrity_check")?;
        if told != "ok" {
            audit.find("integrity", "file", told);
        }
    }
    Ok(())
}

/// Rows that refer to others which are not there.
fn references(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut check = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get("table")?, row.get("parent")?);
        audit.find("foreign key", &table, format!("a row of {table} refers to a row of {parent} that is not there"));
    }
    let mut lone = db.prepare("SELECT id FROM record WHERE id NOT IN (SELECT id FROM charge)")?;
    let mut rows = lone.query([])?;
    while let Some(row) = rows.next()? {
        audit.find("record", row.get::<_, i64>("id")?, "a receipt and a decision are there without their charge");
    }
    Ok(())
}

/// Looks at what was quarantined.
fn incidents(db: &Connection, audit: &mut Audit) -> Result<(), LedgerError> {
    let mut strange = db.prepare(
        "SELECT v.vault, c.number FROM charge c JOIN incident i ON i.id = c.incident JOIN vault v ON v.id = c.vault
         WHERE i.vault <> v.vault OR i.generation <> v.generation
            OR (c.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM settlement_group g WHERE g.vault = v.vault
                AND g.generation = v.generation AND g.seq = c.seq AND g.state = 'abandoned'))",
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
