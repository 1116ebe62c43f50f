//! Batches and attempts.

use super::Reader;
use super::charges::find_vault;
use super::groups;
use super::incidents;
use super::row::Columns;
use super::sealed::{groups_where, place};
use crate::ledger::batches::{FinishBatch, VoidGroup};
use crate::ledger::batches::{MAX_BACKOFF, SKIPPED};
use crate::ledger::sealing::MAX_RECEIPTS;
use crate::ledger::{Attempt, Batch, BatchId, Cause, DayOfSettlements, LedgerError, SealedGroup};
use rusqlite::{Connection, Transaction};
use steam_protocol::{Hash, merkle};

impl Reader {
    /// Batches that are not done, oldest first.
    pub(in crate::ledger) fn open_batches(&self) -> Result<Vec<Batch>, LedgerError> {
        let mut statement =
            self.0.prepare_cached("SELECT id, root, attempts FROM batch WHERE state = 'open' ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut batches = Vec::new();
        while let Some(row) = rows.next()? {
            let id = row.get("id")?;
            batches.push(Batch {
                id,
                root: row.get("root")?,
                signed: row.get("attempts")?,
                attempts: attempts(&self.0, id)?,
                groups: groups_where(&self.0, "batch = ?1 ORDER BY vault", id)?,
            });
        }
        Ok(batches)
    }
}

impl Reader {
    /// What settlements cost since `since_ms`, by day, the last one first.
    pub(in crate::ledger) fn settlements_by_day(&self, since_ms: i64) -> Result<Vec<DayOfSettlements>, LedgerError> {
        let mut statement = self.0.prepare_cached(
            "SELECT done_ms / 86400000 AS day, count(*) AS settlements, sum(lamports) AS lamports
             FROM batch INDEXED BY batch_done WHERE state = 'done' AND done_ms >= ?1 GROUP BY day ORDER BY day DESC",
        )?;
        let rows = statement.query_map([since_ms], |row| {
            let (settlements, lamports) = (row.unsigned("settlements")?, row.unsigned("lamports")?);
            Ok(DayOfSettlements { day: row.get("day")?, settlements, lamports })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn attempts(db: &Connection, batch: BatchId) -> Result<Vec<Attempt>, LedgerError> {
    let mut statement =
        db.prepare_cached("SELECT signature, bytes, last_valid_height, dead FROM attempt WHERE batch = ?1")?;
    let rows = statement.query_map([batch], |row| {
        Ok(Attempt {
            signature: row.get("signature")?,
            bytes: row.get("bytes")?,
            last_valid_height: row.unsigned("last_valid_height")?,
            dead: row.get("dead")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes a batch of groups that are in none.
pub(super) fn create(tx: &Transaction<'_>, groups: &[SealedGroup]) -> Result<BatchId, LedgerError> {
    let (mut leaves, mut first_leaves) = (Vec::new(), Vec::new());
    for group in groups {
        first_leaves.push(leaves.len());
        let own = leaves_of(tx, group)?;
        // A leaf too few would move those behind it, and their proofs would lead nowhere.
        if own.len() != group.receipts as usize {
            return Err(LedgerError::Malformed("receipt"));
        }
        leaves.extend(own);
    }
    let root = merkle::root(&leaves);
    tx.prepare_cached("INSERT INTO batch (root, leaves, state) VALUES (?1, ?2, 'open')")?
        .execute((root, leaves.as_flattened()))?;
    let batch = tx.last_insert_rowid();
    for (group, first_leaf) in groups.iter().zip(first_leaves) {
        let (vault, generation, seq) = place(group);
        let taken = tx
            .prepare_cached(
                "UPDATE settlement_group SET batch = ?4
                 WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed' AND batch IS NULL",
            )?
            .execute((vault, generation, seq, batch))?;
        if taken != 1 {
            return Err(LedgerError::Refused("batch a group twice"));
        }
        tx.prepare_cached(
            "INSERT INTO batch_group (batch, vault, generation, seq, first_leaf) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((batch, vault, generation, seq, first_leaf as i64))?;
    }
    Ok(batch)
}

/// The leaves of a group's receipts, in the order of their numbers.
fn leaves_of(tx: &Transaction<'_>, group: &SealedGroup) -> Result<Vec<Hash>, LedgerError> {
    let mut receipts = tx.prepare_cached(
        "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.id WHERE c.vault = ?1 AND c.seq = ?2 ORDER BY c.number",
    )?;
    let (vault, generation, seq) = place(group);
    let mut rows = receipts.query((find_vault(tx, (vault, generation))?, seq))?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next()? {
        let receipt = row.get_ref("receipt")?;
        leaves.push(merkle::leaf(receipt.as_blob().map_err(|_| LedgerError::Malformed("receipt"))?));
    }
    Ok(leaves)
}

/// Stores a signed transaction.
pub(super) fn store_attempt(tx: &Transaction<'_>, batch: BatchId, attempt: &Attempt) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE batch SET attempts = attempts + 1 WHERE id = ?1")?.execute([batch])?;
    tx.prepare_cached("INSERT INTO attempt (signature, batch, bytes, last_valid_height) VALUES (?1, ?2, ?3, ?4)")?
        .execute((&attempt.signature, batch, &attempt.bytes, attempt.last_valid_height as i64))?;
    Ok(())
}

/// Notes that transactions can no longer land.
pub(super) fn bury_attempts(tx: &Transaction<'_>, signatures: &[String]) -> Result<(), LedgerError> {
    for signature in signatures {
        tx.prepare_cached("UPDATE attempt SET dead = 1 WHERE signature = ?1")?.execute([signature])?;
    }
    Ok(())
}

/// Ends a batch whose groups were applied or skipped.
pub(super) fn finish(tx: &Transaction<'_>, it: &FinishBatch) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE batch SET state = 'done', signature = ?2, lamports = ?3, done_ms = ?4 WHERE id = ?1")?
        .execute((it.batch, &it.signature, it.lamports as i64, it.now_ms))?;
    for group in &it.applied {
        tx.prepare_cached(
            "UPDATE settlement_group SET state = 'settled' WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        )?
        .execute(place(group))?;
    }
    for group in &it.skipped {
        let (vault, generation, seq) = place(group);
        tx.prepare_cached(
            "UPDATE settlement_group SET batch = NULL, waiting = ?7, not_before_height = ?4 + ?5 * min(?6, 1 << min(30,
               (SELECT count(*) - 1 FROM batch_group AS carried JOIN batch ON batch.id = carried.batch
                WHERE carried.vault = ?1 AND carried.generation = ?2 AND carried.seq = ?3
                AND batch.state = 'done')))
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        )?
        .execute((vault, generation, seq, it.height as i64, it.retry_blocks, MAX_BACKOFF, SKIPPED))?;
    }
    tx.prepare_cached("UPDATE settlement_group SET batch = NULL WHERE batch = ?1 AND state = 'sealed'")?
        .execute([it.batch])?;
    Ok(())
}

/// Ends a batch and makes one of each half of its groups.
pub(super) fn split(tx: &Transaction<'_>, batch: BatchId, groups: &[SealedGroup]) -> Result<(), LedgerError> {
    retire(tx, batch)?;
    let (left, right) = groups.split_at(groups.len() / 2);
    for half in [left, right] {
        if !half.is_empty() {
            create(tx, half)?;
        }
    }
    Ok(())
}

/// Ends a batch none of whose transactions can land.
pub(super) fn retire(tx: &Transaction<'_>, batch: BatchId) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE batch SET state = 'split' WHERE id = ?1")?.execute([batch])?;
    tx.prepare_cached("UPDATE settlement_group SET batch = NULL WHERE batch = ?1")?.execute([batch])?;
    Ok(())
}

/// Replaces a batch's only group by a void one; says whether its charges were quarantined.
pub(super) fn void_group(tx: &Transaction<'_>, it: VoidGroup) -> Result<(SealedGroup, bool), LedgerError> {
    let VoidGroup { batch, group, fault, now_ms } = it;
    let (vault, generation, seq) = place(&group);
    let row = find_vault(tx, (vault, generation))?;
    let again = match group.lines.as_slice() {
        [_] if fault.cause == Cause::Kind || group.receipts < 2 => None,
        [_] => Some(group.receipts / 2),
        _ => Some(MAX_RECEIPTS),
    };
    if let Some(most) = again {
        tx.prepare_cached("UPDATE charge SET seq = NULL, alone = ?3 WHERE vault = ?1 AND seq = ?2")?
            .execute((row, seq, most))?;
    } else {
        let incident = incidents::open(tx, (vault, generation), group.lines.first(), &fault, now_ms)?;
        tx.prepare_cached(
            "UPDATE charge SET seq = NULL, quarantined = ?3, incident = ?4 WHERE vault = ?1 AND seq = ?2",
        )?
        .execute((row, seq, &fault.reason, incident))?;
    }
    let void = groups::empty(tx, &group)?;
    retire(tx, batch)?;
    create(tx, std::slice::from_ref(&void))?;
    Ok((void, again.is_none()))
}

/// Notes why a batch's groups do not settle.
pub(super) fn hold_up(tx: &Transaction<'_>, batch: BatchId, reason: &str) -> Result<(), LedgerError> {
    tx.prepare_cached(
        "UPDATE settlement_group SET waiting = ?2 WHERE batch = ?1 AND state = 'sealed' AND waiting IS NOT ?2",
    )?
    .execute((batch, reason))?;
    Ok(())
}
