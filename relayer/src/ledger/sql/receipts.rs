//! Receipts and decision records, for those who ask for them.

use super::charges::{self, find_vault, first_since};
use super::{Database, Reader, Row, Value, values};
use crate::chain::{KeyRef, Pubkey};
use crate::ledger::charges::ChargeId;
use crate::ledger::record::unpack;
use crate::ledger::usage::StatedReceipt;
use crate::ledger::{GenerationRow, LedgerError, Proof, ReceiptRow};
use steam_protocol::units::Pico;
use steam_protocol::{Address, Hash, merkle};

/// What is said of a charge, with the names of its key and vault.
const CHARGE: &str =
    "SELECT r.id, r.generation_id, r.receipt, r.decision, k.public_key, v.vault, v.generation, c.number, c.seq,
    c.quarantined, i.resolution, g.state, CASE g.state WHEN 'settled' THEN b.signature END AS settled_by
    FROM record r JOIN charge c ON c.id = r.id JOIN session_key k ON k.id = c.key JOIN vault v ON v.id = c.vault
    LEFT JOIN incident i ON i.id = c.incident
    LEFT JOIN settlement_group g ON g.vault = v.vault AND g.generation = v.generation AND g.seq = c.seq
    LEFT JOIN batch b ON b.id = g.batch";

/// Whether an id can be one: servers take no NUL for text.
fn is_text(id: &str) -> bool {
    !id.contains('\0')
}

impl Reader {
    /// The decision of a request by its generation id.
    pub(in crate::ledger) fn generation(&self, id: &str) -> Result<Option<GenerationRow>, LedgerError> {
        if !is_text(id) {
            return Ok(None);
        }
        generation(self.db(), "r.generation_id = ?1", values![id])
    }

    /// The decision of a request by its receipt.
    pub(in crate::ledger) fn generation_of_receipt(
        &self,
        (vault, generation): (Pubkey, u64),
        number: u64,
    ) -> Result<Option<GenerationRow>, LedgerError> {
        let Some(row) = find_vault(self.db(), (vault.to_bytes(), generation as i64))? else { return Ok(None) };
        // Numbers are in order within a group, and those of open and quarantined charges are looked through.
        let found: Option<ChargeId> = self.db().row(
            "SELECT c.id FROM settlement_group g JOIN charge c ON c.vault = ?1 AND c.seq = g.seq AND c.number = ?4
             WHERE g.vault = ?2 AND g.generation = ?3
             UNION ALL
             SELECT id FROM charge INDEXED BY charge_open
             WHERE seq IS NULL AND quarantined IS NULL AND vault = ?1 AND number = ?4
             UNION ALL
             SELECT id FROM charge INDEXED BY charge_incident
             WHERE incident IS NOT NULL AND seq IS NULL AND vault = ?1 AND number = ?4
             LIMIT 1",
            values![row, vault.as_array(), generation as i64, number as i64],
            |row| row.get("id"),
        )?;
        let Some(id) = found else { return Ok(None) };
        self::generation(self.db(), "r.id = ?1", values![id])
    }

    /// What a key was charged since `since_ms`.
    pub(in crate::ledger) fn charges_of_key(
        &self,
        key: &Address,
        since_ms: i64,
    ) -> Result<Vec<(i64, Pico)>, LedgerError> {
        let first = first_since(self.db(), since_ms)?;
        let mut charges = Vec::new();
        self.db().each(
            "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.id
             WHERE c.id >= ?1 AND c.key IN (SELECT id FROM session_key WHERE public_key = ?2)",
            values![first, key],
            |row| {
                let receipt = charges::receipt(row)?;
                if receipt.started_at_ms > since_ms {
                    charges.push((receipt.started_at_ms, charges::total(&receipt)?));
                }
                Ok(())
            },
        )?;
        charges.sort_unstable();
        Ok(charges)
    }

    /// The receipt of a request that came with an `Idempotency-Key`.
    pub(in crate::ledger) fn receipt_of_idempotent(
        &self,
        key: &KeyRef,
        request_hash: &Hash,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        self.db().row(
            "SELECT r.receipt FROM vault v JOIN session_key k ON k.vault = v.id AND k.epoch = ?3
             JOIN idempotent_request i ON i.key = k.id AND i.request_hash = ?4 JOIN record r ON r.id = i.charge
             WHERE v.vault = ?1 AND v.generation = ?2",
            values![key.vault.as_array(), key.generation as i64, key.epoch, request_hash],
            |row| row.get("receipt"),
        )
    }

    /// The receipt of a charge.
    pub(in crate::ledger) fn receipt_of_charge(&self, charge: ChargeId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.db().row("SELECT receipt FROM record WHERE id = ?1", values![charge], |row| row.get("receipt"))
    }

    /// A receipt by its generation id.
    pub(in crate::ledger) fn receipt(&self, id: &str) -> Result<Option<ReceiptRow>, LedgerError> {
        if !is_text(id) {
            return Ok(None);
        }
        receipt_where(self.db(), "r.generation_id = ?1", values![id])
    }
}

/// The receipt of which `condition` holds, with the proof of its settlement once that is final.
pub(super) fn receipt_where(
    db: &dyn Database,
    condition: &str,
    values: &[Value<'_>],
) -> Result<Option<ReceiptRow>, LedgerError> {
    let found = db.row(&format!("{CHARGE} WHERE {condition}"), values, |row| {
        let status = status(row)?;
        let place = Sealed {
            vault: row.get("vault")?,
            generation: row.get("generation")?,
            number: row.get("number")?,
            seq: row.opt("seq")?,
        };
        let (id, receipt, key) = (row.get("generation_id")?, row.get("receipt")?, row.get("public_key")?);
        Ok((ReceiptRow { id, receipt, key, status, proof: None }, place))
    })?;
    let Some((mut row, place)) = found else { return Ok(None) };
    if let Some(seq) = place.seq {
        row.proof = proof(db, &place, seq)?;
    }
    Ok(Some(row))
}

/// How far a charge is: see [`ReceiptRow::status`].
fn status(row: &dyn Row) -> Result<String, LedgerError> {
    let (reason, state): (Option<String>, Option<String>) = (row.opt("quarantined")?, row.opt("state")?);
    let resolution: Option<String> = row.opt("resolution")?;
    let resolution = resolution.unwrap_or_else(|| "set aside".into());
    let status = reason.map(|reason| format!("{resolution}: {reason}")).or(state);
    Ok(status.unwrap_or_else(|| "unsettled".into()))
}

/// The receipt of a charge, and how far its settlement is.
pub(super) fn stated(db: &dyn Database, id: ChargeId) -> Result<Option<StatedReceipt>, LedgerError> {
    db.row(&format!("{CHARGE} WHERE r.id = ?1"), values![id], |row| {
        let (id, receipt, key) = (row.get("generation_id")?, row.get("receipt")?, row.get("public_key")?);
        Ok(StatedReceipt { id, receipt, key, status: status(row)?, transaction: row.opt("settled_by")? })
    })
}

fn generation(db: &dyn Database, condition: &str, values: &[Value<'_>]) -> Result<Option<GenerationRow>, LedgerError> {
    let found = db.row(&format!("{CHARGE} WHERE {condition}"), values, |row| {
        let (id, key, receipt) = (row.get("generation_id")?, row.get("public_key")?, row.get("receipt")?);
        Ok(GenerationRow { id, key, receipt, decision: row.get("decision")? })
    })?;
    let Some(mut row) = found else { return Ok(None) };
    row.decision = unpack(&row.decision)?;
    Ok(Some(row))
}

/// Where a charge was sealed.
struct Sealed {
    vault: Address,
    generation: i64,
    number: i64,
    seq: Option<u32>,
}

fn proof(db: &dyn Database, charge: &Sealed, seq: u32) -> Result<Option<Proof>, LedgerError> {
    let settled = db.row(
            "SELECT b.root, b.leaves, b.signature, bg.first_leaf,
               (SELECT count(*) FROM vault v JOIN charge c ON c.vault = v.id AND c.seq = ?3 AND c.number < ?4
                WHERE v.vault = ?1 AND v.generation = ?2) AS before
             FROM settlement_group g JOIN batch b ON b.id = g.batch
             JOIN batch_group bg ON bg.batch = b.id AND bg.vault = g.vault AND bg.generation = g.generation
             WHERE g.vault = ?1 AND g.generation = ?2 AND g.seq = ?3 AND g.state = 'settled' AND b.signature IS NOT NULL",
        values![&charge.vault, charge.generation, seq, charge.number],
        |row| {
            let index = row.unsigned("first_leaf")? + row.unsigned("before")?;
            let (root, leaves): (Hash, Vec<u8>) = (row.get("root")?, row.get("leaves")?);
            Ok((root, leaves, row.get("signature")?, index))
        },
    )?;
    let Some((root, leaves, transaction, index)) = settled else { return Ok(None) };
    let leaves = leaves.as_chunks::<32>().0;
    let path = merkle::proof(leaves, index as usize).ok_or(LedgerError::Malformed("batch"))?;
    Ok(Some(Proof { transaction, root, index, count: leaves.len() as u64, path, seq }))
}
