//! Proves from the file alone that a ledger is sound: every rule it promises to keep is looked at in every row, and what does
//! not hold is named. Reads in one transaction, so that a relayer may write meanwhile.

mod batches;
mod charges;
mod groups;

use super::{Database, Reader};
use crate::chain::Pubkey;
use crate::ledger::LedgerError;
use crate::ledger::audit::{Audit, Signatures};
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
        match self.db().snapshot(|| self.look(&mut audit)) {
            Err(LedgerError::Database(error)) if error.is_damage() => {
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
        self.db().each("SELECT generation_id, receipt FROM record", &[], |row| {
            // One that cannot be read is a finding already.
            let Ok(signed) = SignedReceipt::from_bytes(row.blob("receipt")?) else { return Ok(()) };
            let id: String = row.get("generation_id")?;
            match keys.iter().find(|(id, _)| *id == signed.receipt.key_id) {
                None if Some(signed.receipt.key_id) < newest => told.of_forgotten_keys += 1,
                None => audit.find("signature", id, "its receipt names a key that the endpoints do not know"),
                Some((_, key)) if signed.verify(key).is_ok() => told.verified += 1,
                Some(_) => audit.find("signature", id, "its receipt is not signed by the relayer's key"),
            }
            Ok(())
        })?;
        Ok(told)
    }

    fn look(&self, audit: &mut Audit) -> Result<(), LedgerError> {
        let db = self.db();
        db.look_for_damage(audit)?;
        if audit.findings.iter().any(|finding| finding.rule == "integrity") {
            return Ok(()); // what is read from a damaged file means nothing
        }
        db.look_for_lost_rows(audit)?;
        let alone = "SELECT id FROM record r WHERE NOT EXISTS (SELECT 1 FROM charge c WHERE c.id = r.id)";
        db.each(alone, &[], |row| {
            audit.find("record", row.get::<i64>("id")?, "a receipt and a decision are there without their charge");
            Ok(())
        })?;
        let (domain, relayer) = self.deployment()?;
        let deployment = Deployment { domain, relayer: relayer.to_bytes() };
        let mut vaults = charges::look(db, deployment, audit)?;
        let places = db.rows(
            "SELECT id, vault, generation FROM vault UNION ALL
             SELECT DISTINCT CAST(NULL AS BIGINT), vault, generation FROM settlement_group g
             WHERE NOT EXISTS (SELECT 1 FROM vault v WHERE v.vault = g.vault AND v.generation = g.generation)",
            &[],
            |row| {
                let place = Place { vault: row.get("vault")?, generation: row.get("generation")?, domain };
                Ok((row.opt::<i64>("id")?, place))
            },
        )?;
        let mut leaves = HashMap::new();
        for (id, place) in places {
            let mut charged = id.and_then(|id| vaults.remove(&id)).unwrap_or_default();
            groups::look(db, &place, &mut charged, audit)?;
            for (seq, sum) in &mut charged.groups {
                leaves.insert((place.vault, place.generation, *seq), std::mem::take(&mut sum.leaves));
            }
        }
        batches::look(db, &leaves, audit)?;
        incidents(db, audit)
    }
}

/// Looks at what was quarantined.
fn incidents(db: &dyn Database, audit: &mut Audit) -> Result<(), LedgerError> {
    db.each(
        "SELECT v.vault, c.number FROM charge c JOIN incident i ON i.id = c.incident JOIN vault v ON v.id = c.vault
         WHERE i.vault <> v.vault OR i.generation <> v.generation
            OR (c.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM settlement_group g WHERE g.vault = v.vault
                AND g.generation = v.generation AND g.seq = c.seq AND g.state = 'abandoned'))",
        &[],
        |row| {
            let at = format!("vault {} charge {}", row.address("vault")?, row.get::<i64>("number")?);
            audit.find("incident", at, "it is quarantined and in a group, or in another vault's incident");
            Ok(())
        },
    )
}

/// How a vault is named in a finding.
fn name(vault: Address) -> Pubkey {
    Pubkey::from(vault)
}
