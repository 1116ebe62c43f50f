//! Batches and attempts: what carries groups to the chain, until it has applied them or something is found that it does not apply.

use super::groups::{self, MAX_RECEIPTS, SealedGroup, groups_where};
use super::incidents::{self, Fault};
use super::{Ledger, LedgerError};
use rusqlite::{Connection, Transaction};
use steam_protocol::{Hash, merkle};

/// Most a skipped group waits, in multiples of its first wait.
const MAX_BACKOFF: i64 = 128;

/// Why a skipped group waits.
const SKIPPED: &str = "its vault is frozen or holds less than the group comes to";

/// Number of a batch.
pub type BatchId = i64;

/// A signed transaction that was stored before it was sent.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its signature, base58.
    pub signature: String,
    /// The transaction's bytes.
    pub bytes: Vec<u8>,
    /// The last block height it may land at.
    pub last_valid_height: u64,
    /// Whether it can no longer land, by what was known when this was stored.
    pub dead: bool,
}

/// A batch that is not done.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// Merkle root of its receipts.
    pub root: Hash,
    /// Times it was signed.
    pub signed: u32,
    /// The transactions.
    pub attempts: Vec<Attempt>,
    /// In ascending order of vaults.
    pub groups: Vec<SealedGroup>,
}

impl Ledger {
    /// Makes a batch of groups given in ascending order of vaults.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::Refused`] if one is in a batch.
    pub async fn create_batch(&self, groups: Vec<SealedGroup>) -> Result<BatchId, LedgerError> {
        self.write(move |tx| create_batch(tx, &groups)).await
    }

    /// Batches that are not done, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn open_batches(&self) -> Result<Vec<Batch>, LedgerError> {
        self.read(open_batches).await
    }

    /// Stores a signed transaction of a batch; it may be sent once this returns.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn store_attempt(&self, batch: BatchId, attempt: Attempt) -> Result<(), LedgerError> {
        self.write(move |tx| {
            tx.prepare_cached("UPDATE batch SET attempts = attempts + 1 WHERE id = ?1")?.execute([batch])?;
            tx.prepare_cached(
                "INSERT INTO attempt (signature, batch, bytes, last_valid_height) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((attempt.signature, batch, attempt.bytes, attempt.last_valid_height as i64))?;
            Ok(())
        })
        .await
    }

    /// Notes that transactions can no longer land.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn bury_attempts(&self, signatures: Vec<String>) -> Result<(), LedgerError> {
        self.write(move |tx| {
            for signature in signatures {
                tx.prepare_cached("UPDATE attempt SET dead = 1 WHERE signature = ?1")?.execute([signature])?;
            }
            Ok(())
        })
        .await
    }

    /// Ends a batch: `applied` groups are settled by `transaction`, its signature and what it cost in lamports; `skipped` ones
    /// wait for so many blocks after `height`, twice as many each time they were skipped up to [`MAX_BACKOFF`] times that, since
    /// every try costs a transaction; why is kept with them. What is neither is to be batched anew.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn finish_batch(
        &self,
        batch: BatchId,
        transaction: Option<(String, u64)>,
        (applied, skipped): (Vec<SealedGroup>, Vec<SealedGroup>),
        now_ms: i64,
        (height, blocks): (u64, u32),
    ) -> Result<(), LedgerError> {
        let (signature, lamports) = transaction.unzip();
        let lamports = lamports.unwrap_or_default();
        self.write(move |tx| {
            tx.prepare_cached(
                "UPDATE batch SET state = 'done', signature = ?2, lamports = ?3, done_ms = ?4 WHERE id = ?1",
            )?
            .execute((batch, signature, lamports as i64, now_ms))?;
            for group in &applied {
                let (vault, generation, seq) = group.place();
                tx.prepare_cached(
                    "UPDATE settlement_group SET state = 'settled'
                     WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
                )?
                .execute((vault, generation, seq))?;
            }
            for group in &skipped {
                let (vault, generation, seq) = group.place();
                tx.prepare_cached(
                    "UPDATE settlement_group SET batch = NULL, waiting = ?7, not_before_height = ?4 + ?5 * min(?6, 1 << min(30,
                       (SELECT count(*) - 1 FROM batch_group AS carried JOIN batch ON batch.id = carried.batch
                        WHERE carried.vault = ?1 AND carried.generation = ?2 AND carried.seq = ?3
                        AND batch.state = 'done')))
                     WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
                )?
                .execute((vault, generation, seq, height as i64, blocks, MAX_BACKOFF, SKIPPED))?;
            }
            tx.prepare_cached("UPDATE settlement_group SET batch = NULL WHERE batch = ?1 AND state = 'sealed'")?
                .execute([batch])?;
            Ok(())
        })
        .await
    }

    /// Ends a batch none of whose transactions can land, and makes one batch of each half of its groups.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn split_batch(&self, batch: &Batch) -> Result<(), LedgerError> {
        let (id, mut left) = (batch.id, batch.groups.clone());
        self.write(move |tx| {
            retire_batch(tx, id)?;
            let right = left.split_off(left.len() / 2);
            for half in [left, right] {
                if !half.is_empty() {
                    create_batch(tx, &half)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Replaces a batch's only group, which cannot apply and none of whose transactions can land, by a void one at the
    /// same place. Its charges are sealed again one line at a time; those of a line that was alone in fewer and fewer, if
    /// fewer might settle, and what cannot settle even so is set aside. Returns the void group and whether that happened.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::Refused`] if the batch holds more than one group.
    pub async fn void_group(
        &self,
        batch: &Batch,
        fault: Fault,
        now_ms: i64,
    ) -> Result<(SealedGroup, bool), LedgerError> {
        let [group] = batch.groups.as_slice() else {
            return Err(LedgerError::Refused("void more than one group at once"));
        };
        let (id, group) = (batch.id, group.clone());
        self.write(move |tx| void_group(tx, id, group, &fault, now_ms)).await
    }

    /// Ends a batch none of whose transactions can land; its groups are to be batched anew.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn release_batch(&self, batch: BatchId) -> Result<(), LedgerError> {
        self.write(move |tx| retire_batch(tx, batch)).await
    }

    /// Notes why a batch's groups do not settle, so that nothing new is held on their vaults until they do.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn hold_up(&self, batch: BatchId, reason: String) -> Result<(), LedgerError> {
        self.write(move |tx| {
            tx.prepare_cached(
                "UPDATE settlement_group SET waiting = ?2 WHERE batch = ?1 AND state = 'sealed' AND waiting IS NOT ?2",
            )?
            .execute((batch, reason))?;
            Ok(())
        })
        .await
    }
}

fn create_batch(tx: &Transaction<'_>, groups: &[SealedGroup]) -> Result<BatchId, LedgerError> {
    let (mut leaves, mut first_leaf) = (Vec::new(), Vec::new());
    for group in groups {
        first_leaf.push(leaves.len());
        let mut receipts = tx.prepare_cached(
            "SELECT receipt FROM charge JOIN record ON record.id = charge.record
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3 ORDER BY number",
        )?;
        let mut rows = receipts.query(group.place())?;
        while let Some(row) = rows.next()? {
            leaves.push(merkle::leaf(row.get_ref(0)?.as_blob().map_err(|_| LedgerError::Malformed("receipt"))?));
        }
        // A leaf too few would move those behind it, and their proofs would lead nowhere.
        if leaves.len() - first_leaf.last().copied().unwrap_or_default() != group.receipts as usize {
            return Err(LedgerError::Malformed("receipt"));
        }
    }
    let root = merkle::root(&leaves);
    tx.prepare_cached("INSERT INTO batch (root, leaves, state) VALUES (?1, ?2, 'open')")?
        .execute((root, leaves.as_flattened()))?;
    let batch = tx.last_insert_rowid();
    for (group, first_leaf) in groups.iter().zip(first_leaf) {
        let (vault, generation, seq) = group.place();
        let taken = tx
            .prepare_cached(
                "UPDATE settlement_group SET batch = ?4
             WHERE vault = ?1 AND generation = ?2 AND seq = ?3 AND state = 'sealed' AND batch IS NULL",
            )?
            .execute((vault, generation, seq, batch))?;
        if taken != 1 {
            return Err(LedgerError::Refused("batch a group twice"));
        }
        tx.prepare_cached("INSERT INTO batch_group VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
            batch,
            vault,
            generation,
            seq,
            first_leaf as i64,
        ))?;
    }
    Ok(batch)
}

fn retire_batch(tx: &Transaction<'_>, batch: BatchId) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE batch SET state = 'split' WHERE id = ?1")?.execute([batch])?;
    tx.prepare_cached("UPDATE settlement_group SET batch = NULL WHERE batch = ?1")?.execute([batch])?;
    Ok(())
}

fn void_group(
    tx: &Transaction<'_>,
    batch: BatchId,
    mut group: SealedGroup,
    fault: &Fault,
    now_ms: i64,
) -> Result<(SealedGroup, bool), LedgerError> {
    let place = group.place();
    let again = match group.lines.as_slice() {
        [_] if !fault.by_amount || group.receipts < 2 => None,
        [_] => Some(group.receipts / 2),
        _ => Some(MAX_RECEIPTS),
    };
    if let Some(most) = again {
        tx.prepare_cached(
            "UPDATE charge SET seq = NULL, alone = ?4 WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        )?
        .execute((place.0, place.1, place.2, most))?;
    } else {
        let incident = incidents::open(tx, (place.0, place.1), group.lines.first(), fault, now_ms)?;
        tx.prepare_cached(
            "UPDATE charge SET seq = NULL, aside = ?4, incident = ?5 WHERE vault = ?1 AND generation = ?2 AND seq = ?3",
        )?
        .execute((place.0, place.1, place.2, &fault.reason, incident))?;
    }
    groups::empty(tx, &mut group)?;
    retire_batch(tx, batch)?;
    create_batch(tx, std::slice::from_ref(&group))?;
    Ok((group, again.is_none()))
}

fn open_batches(db: &Connection) -> Result<Vec<Batch>, LedgerError> {
    let mut statement = db.prepare_cached("SELECT id, root, attempts FROM batch WHERE state = 'open' ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        batches.push(Batch {
            id,
            root: row.get(1)?,
            signed: row.get(2)?,
            attempts: attempts(db, id)?,
            groups: groups_where(db, "batch = ?1 ORDER BY vault", id)?,
        });
    }
    Ok(batches)
}

fn attempts(db: &Connection, batch: BatchId) -> Result<Vec<Attempt>, LedgerError> {
    let mut statement =
        db.prepare_cached("SELECT signature, bytes, last_valid_height, dead FROM attempt WHERE batch = ?1")?;
    let rows = statement.query_map([batch], |row| {
        Ok(Attempt {
            signature: row.get(0)?,
            bytes: row.get(1)?,
            last_valid_height: row.get::<_, i64>(2)? as u64,
            dead: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
