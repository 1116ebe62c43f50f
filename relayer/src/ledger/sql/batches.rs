//! Batches and attempts.

use super::charges::find_vault;
use super::sealed::{groups_where, place};
use super::{Database, Reader, charges, groups, incidents, values};
use crate::ledger::batches::{FinishBatch, VoidGroup};
use crate::ledger::batches::{SKIPPED, wait_after};
use crate::ledger::sealing::MAX_RECEIPTS;
use crate::ledger::{Attempt, Batch, BatchId, Cause, DayOfSettlements, LedgerError, SealedGroup};
use std::collections::BTreeMap;
use steam_protocol::units::Usage;
use steam_protocol::{Hash, merkle};

impl Reader {
    /// Batches that are not done, oldest first.
    pub(in crate::ledger) fn open_batches(&self) -> Result<Vec<Batch>, LedgerError> {
        let open = "SELECT id, root, attempts FROM batch WHERE state = 'open' ORDER BY id";
        let mut batches = self.db().rows(open, &[], |row| {
            let (id, root, signed) = (row.get("id")?, row.get("root")?, row.get("attempts")?);
            Ok(Batch { id, root, signed, attempts: Vec::new(), groups: Vec::new() })
        })?;
        for batch in &mut batches {
            batch.attempts = attempts(self.db(), batch.id)?;
            batch.groups = groups_where(self.db(), "batch = ?1 ORDER BY vault", values![batch.id])?;
        }
        Ok(batches)
    }
}

impl Reader {
    /// The leaves of the receipts of each of these groups.
    pub(in crate::ledger) fn leaves(&self, groups: &[SealedGroup]) -> Result<Vec<Vec<Hash>>, LedgerError> {
        leaves(self.db(), groups)
    }

    /// What settlements cost since `since_ms`, by day, the last one first.
    pub(in crate::ledger) fn settlements_by_day(&self, since_ms: i64) -> Result<Vec<DayOfSettlements>, LedgerError> {
        self.db().rows(
            "SELECT done_ms / 86400000 AS day, count(*) AS settlements, CAST(sum(lamports) AS BIGINT) AS lamports
             FROM batch INDEXED BY batch_done WHERE state = 'done' AND done_ms >= ?1 GROUP BY day ORDER BY day DESC",
            values![since_ms],
            |row| {
                let (settlements, lamports) = (row.unsigned("settlements")?, row.unsigned("lamports")?);
                Ok(DayOfSettlements { day: row.get("day")?, settlements, lamports })
            },
        )
    }
}

/// The leaves of the receipts of each of these groups.
fn leaves(db: &dyn Database, groups: &[SealedGroup]) -> Result<Vec<Vec<Hash>>, LedgerError> {
    groups.iter().map(|group| leaves_of(db, group)).collect()
}

/// The leaves of a group's receipts, in the order of their numbers.
///
/// # Errors
/// [`LedgerError::Malformed`] if there are more or fewer than the group says, or they come to something else than it charges: their
/// proofs would lead nowhere.
fn leaves_of(db: &dyn Database, group: &SealedGroup) -> Result<Vec<Hash>, LedgerError> {
    let (vault, generation, seq) = place(group);
    let row = find_vault(db, (vault, generation))?;
    let (mut leaves, mut sums) = (Vec::new(), BTreeMap::new());
    db.each(
        "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.id WHERE c.vault = ?1 AND c.seq = ?2 ORDER BY c.number",
        values![row, seq],
        |row| {
            leaves.push(merkle::leaf(row.blob("receipt")?));
            let r = charges::receipt(row)?;
            let line = (r.key_epoch, r.offer, r.price_version, r.price.is_long(r.usage.prompt()));
            let sum: &mut Usage = sums.entry(line).or_default();
            *sum = sum.checked_add(&r.usage).ok_or(LedgerError::Malformed("charge"))?;
            Ok(())
        },
    )?;
    let lines = group.lines.iter().map(|line| ((line.epoch, line.offer, line.version, line.long), line.usage));
    if leaves.len() != group.receipts as usize || sums != lines.collect::<BTreeMap<_, _>>() {
        return Err(LedgerError::Malformed("settlement group"));
    }
    Ok(leaves)
}

fn attempts(db: &dyn Database, batch: BatchId) -> Result<Vec<Attempt>, LedgerError> {
    let of_batch = "SELECT signature, bytes, last_valid_height, dead FROM attempt WHERE batch = ?1 ORDER BY signature";
    db.rows(of_batch, values![batch], |row| {
        Ok(Attempt {
            signature: row.get("signature")?,
            bytes: row.get("bytes")?,
            last_valid_height: row.unsigned("last_valid_height")?,
            dead: row.get("dead")?,
        })
    })
}

/// Makes a batch of groups that are in none, each with the leaves of its receipts.
pub(super) fn create(db: &dyn Database, groups: &[SealedGroup], own: &[Vec<Hash>]) -> Result<BatchId, LedgerError> {
    let (mut leaves, mut first_leaves) = (Vec::new(), Vec::new());
    for own in own {
        first_leaves.push(leaves.len());
        leaves.extend_from_slice(own);
    }
    let root = merkle::root(&leaves);
    let batch = db.one(
        "INSERT INTO batch (root, leaves, state) VALUES (?1, ?2, 'open') RETURNING id",
        values![&root, leaves.as_flattened()],
        |row| row.get::<BatchId>("id"),
    )?;
    for (group, first_leaf) in groups.iter().zip(first_leaves) {
        let (vault, generation, seq) = place(group);
        let taken = db.execute(
            "UPDATE settlement_group SET batch = ?4
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed' AND batch IS NULL",
            values![&vault, generation, seq, batch],
        )?;
        if taken != 1 {
            return Err(LedgerError::Refused("batch a group twice"));
        }
        db.execute(
            "INSERT INTO batch_group (batch, vault, generation, seq, first_leaf) VALUES (?1, ?2, ?3, ?4, ?5)",
            values![batch, &vault, generation, seq, first_leaf as i64],
        )?;
    }
    Ok(batch)
}

/// Stores a signed transaction.
pub(super) fn store_attempt(db: &dyn Database, batch: BatchId, attempt: &Attempt) -> Result<(), LedgerError> {
    db.execute("UPDATE batch SET attempts = attempts + 1 WHERE id = ?1", values![batch])?;
    db.execute(
        "INSERT INTO attempt (signature, batch, bytes, last_valid_height) VALUES (?1, ?2, ?3, ?4)",
        values![&attempt.signature, batch, &attempt.bytes, attempt.last_valid_height as i64],
    )?;
    Ok(())
}

/// Notes that transactions can no longer land.
pub(super) fn bury_attempts(db: &dyn Database, signatures: &[String]) -> Result<(), LedgerError> {
    for signature in signatures {
        db.execute("UPDATE attempt SET dead = 1 WHERE signature = ?1", values![signature])?;
    }
    Ok(())
}

/// Ends a batch whose groups were applied or skipped.
pub(super) fn finish(db: &dyn Database, it: &FinishBatch) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE batch SET state = 'done', signature = ?2, lamports = ?3, done_ms = ?4 WHERE id = ?1",
        values![it.batch, it.signature.as_ref(), it.lamports as i64, it.now_ms],
    )?;
    for group in &it.applied {
        let (vault, generation, seq) = place(group);
        db.execute(
            "UPDATE settlement_group SET state = 'settled' WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
            values![&vault, generation, seq],
        )?;
    }
    for group in &it.skipped {
        let (vault, generation, seq) = place(group);
        // This batch is done already, and counts.
        let tries: i64 = db.one(
            "SELECT count(*) AS tries FROM batch_group AS carried JOIN batch ON batch.id = carried.batch
             WHERE carried.vault = ?1 AND carried.generation = ?2 AND carried.seq = ?3 AND batch.state = 'done'",
            values![&vault, generation, seq],
            |row| row.get("tries"),
        )?;
        let due = it.height.saturating_add(wait_after(tries, it.retry_blocks));
        db.execute(
            "UPDATE settlement_group SET batch = NULL, waiting = ?5, not_before_height = ?4
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
            values![&vault, generation, seq, due as i64, SKIPPED],
        )?;
    }
    db.execute("UPDATE settlement_group SET batch = NULL WHERE batch = ?1 AND state = 'sealed'", values![it.batch])?;
    Ok(())
}

/// Ends a batch and makes one of each half of its groups.
pub(super) fn split(db: &dyn Database, batch: BatchId, groups: &[SealedGroup]) -> Result<(), LedgerError> {
    retire(db, batch)?;
    let (left, right) = groups.split_at(groups.len() / 2);
    for half in [left, right] {
        if !half.is_empty() {
            create(db, half, &leaves(db, half)?)?;
        }
    }
    Ok(())
}

/// Ends a batch none of whose transactions can land.
pub(super) fn retire(db: &dyn Database, batch: BatchId) -> Result<(), LedgerError> {
    db.execute("UPDATE batch SET state = 'split' WHERE id = ?1", values![batch])?;
    db.execute("UPDATE settlement_group SET batch = NULL WHERE batch = ?1", values![batch])?;
    Ok(())
}

/// Replaces a batch's only group by a void one; says whether its charges were quarantined.
pub(super) fn void_group(db: &dyn Database, it: VoidGroup) -> Result<(SealedGroup, bool), LedgerError> {
    let VoidGroup { batch, group, fault, now_ms } = it;
    let (vault, generation, seq) = place(&group);
    let row = find_vault(db, (vault, generation))?;
    let again = match group.lines.as_slice() {
        [_] if fault.cause == Cause::Kind || group.receipts < 2 => None,
        [_] => Some(group.receipts / 2),
        _ => Some(MAX_RECEIPTS),
    };
    if let Some(most) = again {
        db.execute("UPDATE charge SET seq = NULL, alone = ?3 WHERE vault = ?1 AND seq = ?2", values![row, seq, most])?;
    } else {
        let incident = incidents::open(db, (vault, generation), group.lines.first(), &fault, now_ms)?;
        db.execute(
            "UPDATE charge SET seq = NULL, quarantined = ?3, incident = ?4 WHERE vault = ?1 AND seq = ?2",
            values![row, seq, &fault.reason, incident],
        )?;
    }
    let void = groups::empty(db, &group)?;
    retire(db, batch)?;
    create(db, std::slice::from_ref(&void), &[Vec::new()])?;
    Ok((void, again.is_none()))
}

/// Notes why a batch's groups do not settle.
pub(super) fn hold_up(db: &dyn Database, batch: BatchId, reason: &str) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE settlement_group SET waiting = ?2
         WHERE batch = ?1 AND state = 'sealed' AND waiting IS DISTINCT FROM ?2",
        values![batch, reason],
    )?;
    Ok(())
}
