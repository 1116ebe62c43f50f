//! Receipts and decision records, for those who ask for them.

use super::Reader;
use super::row::Columns;
use crate::chain::{KeyRef, Pubkey};
use crate::ledger::record::unpack;
use crate::ledger::{GenerationRow, LedgerError, Proof, ReceiptRow};
use rusqlite::{Connection, OptionalExtension, Params};
use steam_protocol::units::Pico;
use steam_protocol::{Address, Hash, merkle};

impl Reader {
    /// The decision of a request by its generation id.
    pub(in crate::ledger) fn generation(&self, id: &str) -> Result<Option<GenerationRow>, LedgerError> {
        generation(&self.0, "c.id = ?1", [id])
    }

    /// The decision of a request by its receipt.
    pub(in crate::ledger) fn generation_of_receipt(
        &self,
        (vault, generation): (Pubkey, u64),
        number: u64,
    ) -> Result<Option<GenerationRow>, LedgerError> {
        let receipt = (vault.to_bytes(), generation as i64, number as i64);
        self::generation(&self.0, "c.vault = ?1 AND c.generation = ?2 AND c.number = ?3", receipt)
    }

    /// What a key was charged since `since_ms`.
    pub(in crate::ledger) fn charges_of_key(
        &self,
        key: &Address,
        since_ms: i64,
    ) -> Result<Vec<(i64, Pico)>, LedgerError> {
        let mut charges = self.0.prepare_cached(
            "SELECT started_ms, total FROM charge WHERE started_ms > ?1 AND public_key = ?2 ORDER BY started_ms",
        )?;
        let rows = charges.query_map((since_ms, key), |row| Ok((row.get("started_ms")?, row.pico("total")?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The receipt of a request by its hash.
    pub(in crate::ledger) fn receipt_of_request(
        &self,
        key: &KeyRef,
        request_hash: &Hash,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let request = (key.vault.to_bytes(), key.generation as i64, key.epoch, request_hash);
        let mut receipt = self.0.prepare_cached(
            "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.record
             WHERE vault = ?1 AND generation = ?2 AND epoch = ?3 AND request_hash = ?4",
        )?;
        Ok(receipt.query_row(request, |row| row.get("receipt")).optional()?)
    }

    /// A receipt by its generation id.
    pub(in crate::ledger) fn receipt(&self, id: &str) -> Result<Option<ReceiptRow>, LedgerError> {
        let found = self
            .0
            .prepare_cached(
                "SELECT c.id, r.receipt, c.public_key, c.vault, c.generation, c.number, c.seq, c.quarantined, g.state, i.resolution
                 FROM charge c JOIN record r ON r.id = c.record
                 LEFT JOIN incident i ON i.id = c.incident
                 LEFT JOIN settlement_group g ON g.vault = c.vault AND g.generation = c.generation AND g.seq = c.seq
                 WHERE c.id = ?1",
            )?
            .query_row([id], |row| {
                let (reason, state): (Option<String>, Option<String>) = (row.get("quarantined")?, row.get("state")?);
                let resolution: Option<String> = row.get("resolution")?;
                let resolution = resolution.unwrap_or_else(|| "set aside".into());
                let status = reason.map(|reason| format!("{resolution}: {reason}")).or(state);
                let status = status.unwrap_or_else(|| "unsettled".into());
                let place = Sealed {
                    vault: row.get("vault")?,
                    generation: row.get("generation")?,
                    number: row.get("number")?,
                    seq: row.get("seq")?,
                };
                let (id, receipt, key) = (row.get("id")?, row.get("receipt")?, row.get("public_key")?);
                Ok((ReceiptRow { id, receipt, key, status, proof: None }, place))
            })
            .optional()?;
        let Some((mut row, place)) = found else { return Ok(None) };
        if let Some(seq) = place.seq {
            row.proof = proof(&self.0, &place, seq)?;
        }
        Ok(Some(row))
    }
}

fn generation(db: &Connection, condition: &str, values: impl Params) -> Result<Option<GenerationRow>, LedgerError> {
    let found = db
        .prepare_cached(&format!(
            "SELECT c.id, c.public_key, r.receipt, r.decision, r.packed FROM charge c JOIN record r ON r.id = c.record
             WHERE {condition}"
        ))?
        .query_row(values, |row| {
            let (id, key, receipt) = (row.get("id")?, row.get("public_key")?, row.get("receipt")?);
            Ok((GenerationRow { id, key, receipt, decision: row.get("decision")? }, row.get("packed")?))
        })
        .optional()?;
    let Some((mut row, packed)) = found else { return Ok(None) };
    row.decision = unpack(row.decision, packed)?;
    Ok(Some(row))
}

/// Where a charge was sealed.
struct Sealed {
    vault: Address,
    generation: i64,
    number: i64,
    seq: Option<u32>,
}

fn proof(db: &Connection, charge: &Sealed, seq: u32) -> Result<Option<Proof>, LedgerError> {
    let settled = db
        .prepare_cached(
            "SELECT b.root, b.leaves, b.signature, bg.first_leaf,
               (SELECT count(*) FROM charge c WHERE c.vault = ?1 AND c.generation = ?2 AND c.seq = ?3 AND c.number < ?4)
               AS before
             FROM settlement_group g JOIN batch b ON b.id = g.batch
             JOIN batch_group bg ON bg.batch = b.id AND bg.vault = g.vault AND bg.generation = g.generation
             WHERE g.vault = ?1 AND g.generation = ?2 AND g.seq = ?3 AND g.state = 'settled' AND b.signature IS NOT NULL",
        )?
        .query_row((charge.vault, charge.generation, seq, charge.number), |row| {
            let index = row.unsigned("first_leaf")? + row.unsigned("before")?;
            let (root, leaves): (Hash, Vec<u8>) = (row.get("root")?, row.get("leaves")?);
            Ok((root, leaves, row.get("signature")?, index))
        })
        .optional()?;
    let Some((root, leaves, transaction, index)) = settled else { return Ok(None) };
    let leaves = leaves.as_chunks::<32>().0;
    let path = merkle::proof(leaves, index as usize).ok_or(LedgerError::Malformed("batch"))?;
    Ok(Some(Proof { transaction, root, index, count: leaves.len() as u64, path, seq }))
}
