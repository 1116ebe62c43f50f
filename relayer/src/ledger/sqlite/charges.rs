//! The one durable write of a request: three appended rows. What else is known of a charge follows from its receipt.

use super::row::Columns;
use crate::ledger::charges::{ChargeId, ChargeRow};
use crate::ledger::groups::KeySums;
use crate::ledger::{Charge, LedgerError, StoredVoucher};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use std::collections::HashMap;
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::{Address, Hash};

/// Keys whose rows are remembered at the most.
const REMEMBERED: usize = 65_536;

/// What the writer remembers of the file, so that it need not look it up for every charge.
#[derive(Default)]
pub(super) struct Places {
    /// Row ids of vaults and keys, by vault, generation and epoch.
    keys: HashMap<(Address, u64, u32), Place>,
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct Place {
    vault: i64,
    key: i64,
}

/// Where the tables end.
#[derive(Clone, Copy)]
struct End {
    /// The next charge.
    id: ChargeId,
    /// The last minute in which a charge ended.
    minute: i64,
}

/// A charge that could not be written.
pub(super) enum Failure {
    /// Nothing of it is in the transaction.
    Whole(LedgerError),
    /// A part of it is.
    Partial(LedgerError),
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Whole(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Whole(error.into())
    }
}

impl Places {
    /// Forgets everything: the file may not have it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn end(&mut self, db: &Connection) -> rusqlite::Result<End> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        // Pruning may have taken away the last charges, but not that they were.
        let mut statement = db.prepare_cached(
            "SELECT max((SELECT coalesce(max(id), 0) FROM charge), (SELECT coalesce(max(charge), 0) FROM charged_minute)) AS id,
                    (SELECT max(minute) FROM charged_minute) AS minute",
        )?;
        let end = statement.query_row([], |row| {
            let minute: Option<i64> = row.get("minute")?;
            Ok(End { id: row.get::<_, ChargeId>("id")? + 1, minute: minute.unwrap_or(i64::MIN) })
        })?;
        self.end = Some(end);
        Ok(end)
    }

    /// The rows of a charge's vault and key, which are made if this is their first one.
    fn of(&mut self, tx: &Transaction<'_>, row: &ChargeRow) -> Result<Place, LedgerError> {
        let r = &row.receipt.receipt;
        let name = (r.vault, r.generation, r.key_epoch);
        if let Some(place) = self.keys.get(&name) {
            return Ok(*place);
        }
        let vault = vault(tx, (r.vault, r.generation as i64))?;
        let mut find = tx.prepare_cached("SELECT id FROM session_key WHERE vault = ?1 AND epoch = ?2")?;
        let key = match find.query_row((vault, r.key_epoch), |row| row.get("id")).optional()? {
            Some(key) => key,
            None => insert_key(tx, vault, row)?,
        };
        let place = Place { vault, key };
        if self.keys.len() >= REMEMBERED {
            self.keys.clear();
        }
        self.keys.insert(name, place);
        Ok(place)
    }
}

/// The row of a vault's generation, which is made if it is not there.
pub(super) fn vault(tx: &Transaction<'_>, place: (Address, i64)) -> Result<i64, LedgerError> {
    if let Some(id) = find_vault(tx, place)? {
        return Ok(id);
    }
    tx.prepare_cached("INSERT INTO vault (vault, generation, next_number) VALUES (?1, ?2, 1)")?.execute(place)?;
    Ok(tx.last_insert_rowid())
}

/// The row of a vault's generation.
pub(super) fn find_vault(db: &Connection, place: (Address, i64)) -> Result<Option<i64>, LedgerError> {
    let mut find = db.prepare_cached("SELECT id FROM vault WHERE vault = ?1 AND generation = ?2")?;
    Ok(find.query_row(place, |row| row.get("id")).optional()?)
}

fn insert_key(tx: &Transaction<'_>, vault: i64, row: &ChargeRow) -> Result<i64, LedgerError> {
    let r = &row.receipt.receipt;
    tx.prepare_cached(
        "INSERT INTO session_key (vault, epoch, slot, public_key, cumulative, authorized, request_hash, signature, allow_root)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute((
        vault,
        r.key_epoch,
        r.key_slot,
        row.key,
        r.key_cumulative.0.to_be_bytes(),
        stored_amount(row.voucher.authorized)?,
        row.voucher.request_hash,
        row.voucher.signature,
        row.allow_root,
    ))?;
    Ok(tx.last_insert_rowid())
}

/// Signs and writes a charge. It fails if the key's allow-list is not kept here, or if it is a request that came with an
/// `Idempotency-Key` and was charged before.
pub(super) fn insert(
    tx: &Transaction<'_>,
    charge: Box<Charge>,
    places: &mut Places,
) -> Result<(SignedReceipt, ChargeId), Failure> {
    let row = charge.sign()?;
    let r = &row.receipt.receipt;
    total(r)?;
    stored_amount(row.voucher.authorized)?;
    let number = i64::try_from(r.number).map_err(|_| LedgerError::Refused("number a receipt beyond 2^63"))?;
    let end = places.end(tx)?;
    let place = places.of(tx, &row)?;
    tx.prepare_cached(
        "INSERT INTO record (id, generation_id, receipt, voucher, decision) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((end.id, &row.id, row.receipt.to_bytes(), stored_voucher(&row.voucher), row.decision.as_bytes()))?;
    rest(tx, &row, number, (place, end), places).map_err(|error| Failure::Partial(error.into()))?;
    Ok((row.receipt, end.id))
}

/// What is written of a charge after its record.
fn rest(
    tx: &Transaction<'_>,
    row: &ChargeRow,
    number: i64,
    (place, end): (Place, End),
    places: &mut Places,
) -> rusqlite::Result<()> {
    let r = &row.receipt.receipt;
    tx.prepare_cached("INSERT INTO charge (id, vault, key, number) VALUES (?1, ?2, ?3, ?4)")?.execute((
        end.id,
        place.vault,
        place.key,
        number,
    ))?;
    if row.idempotent {
        tx.prepare_cached("INSERT INTO idempotent_request (charge, key, request_hash) VALUES (?1, ?2, ?3)")?
            .execute((end.id, place.key, r.request_hash))?;
    }
    let minute = minute_of(r.started_at_ms.saturating_add(r.duration_ms.into()));
    if minute > end.minute {
        tx.prepare_cached("INSERT INTO charged_minute (minute, charge) VALUES (?1, ?2)")?.execute((minute, end.id))?;
    }
    places.end = Some(End { id: end.id + 1, minute: end.minute.max(minute) });
    Ok(())
}

fn minute_of(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(60_000)
}

/// A charge from which on all are that ended since `since_ms`, Unix milliseconds; later ones may have ended before.
pub(super) fn first_since(db: &Connection, since_ms: i64) -> Result<ChargeId, LedgerError> {
    let mut statement = db.prepare_cached("SELECT min(charge) AS first FROM charged_minute WHERE minute >= ?1")?;
    let first: Option<ChargeId> = statement.query_row([minute_of(since_ms)], |row| row.get("first"))?;
    Ok(first.unwrap_or(ChargeId::MAX))
}

/// What a charge comes to, with its fee.
pub(super) fn total(receipt: &Receipt) -> Result<Pico, LedgerError> {
    receipt.charge.checked_add(receipt.fee).ok_or(LedgerError::Malformed("charge"))
}

/// The column `receipt`.
pub(super) fn receipt(row: &Row<'_>) -> Result<Receipt, LedgerError> {
    decode(row.get_ref("receipt")?.as_blob().map_err(|_| LedgerError::Malformed("receipt"))?)
}

/// A receipt from its signed bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Receipt, LedgerError> {
    SignedReceipt::from_bytes(bytes).map(|signed| signed.receipt).map_err(|_| LedgerError::Malformed("receipt"))
}

/// The column `voucher`, as [`stored_voucher`] wrote it.
pub(super) fn voucher(row: &Row<'_>) -> Result<StoredVoucher, LedgerError> {
    let malformed = || LedgerError::Malformed("voucher");
    let bytes = row.get_ref("voucher")?.as_blob().map_err(|_| malformed())?;
    borsh::from_slice(bytes).map_err(|_| malformed())
}

/// 104 bytes: authorized µUSDC, the hash of the request it was signed for, and the signature.
fn stored_voucher(voucher: &StoredVoucher) -> [u8; 104] {
    let mut bytes = [0; 104];
    let (authorized, rest) = bytes.split_at_mut(8);
    let (request_hash, signature) = rest.split_at_mut(32);
    authorized.copy_from_slice(&voucher.authorized.0.to_le_bytes());
    request_hash.copy_from_slice(&voucher.request_hash);
    signature.copy_from_slice(&voucher.signature);
    bytes
}

/// An amount as SQLite's signed number.
fn stored_amount(amount: MicroUsdc) -> Result<i64, LedgerError> {
    i64::try_from(amount.0).map_err(|_| LedgerError::Refused("store an authorization of 2^63 µUSDC or more"))
}

/// The sums of a row of `session_key`.
pub(super) fn key_sums(row: &Row<'_>) -> rusqlite::Result<KeySums> {
    let (request_hash, signature): (Hash, [u8; 64]) = (row.get("request_hash")?, row.get("signature")?);
    let voucher = StoredVoucher { authorized: MicroUsdc(row.unsigned("authorized")?), request_hash, signature };
    Ok(KeySums { cumulative: row.pico("cumulative")?, voucher })
}

/// Stores the sums of the key in row `key`.
pub(super) fn store_sums(tx: &Transaction<'_>, key: i64, sums: &KeySums) -> Result<(), LedgerError> {
    let voucher = &sums.voucher;
    tx.prepare_cached(
        "UPDATE session_key SET cumulative = ?2, authorized = ?3, request_hash = ?4, signature = ?5 WHERE id = ?1",
    )?
    .execute((
        key,
        sums.cumulative.0.to_be_bytes(),
        stored_amount(voucher.authorized)?,
        voucher.request_hash,
        voucher.signature,
    ))?;
    Ok(())
}

/// Notes with a vault and its keys what its open charges say, before these are taken out of settlement.
pub(super) fn keep_sums(tx: &Transaction<'_>, vault: i64) -> Result<(), LedgerError> {
    let mut keys: HashMap<i64, KeySums> = HashMap::new();
    let mut next_number = 0;
    let mut known =
        tx.prepare_cached("SELECT cumulative, authorized, request_hash, signature FROM session_key WHERE id = ?1")?;
    let mut statement = tx.prepare_cached(
        "SELECT c.key, c.number, r.receipt, r.voucher FROM charge c INDEXED BY charge_open JOIN record r ON r.id = c.id
         WHERE c.seq IS NULL AND c.quarantined IS NULL AND c.vault = ?1",
    )?;
    let mut rows = statement.query([vault])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get("key")?;
        let sums = match keys.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(known.query_row([key], key_sums)?),
        };
        sums.raise(receipt(row)?.key_cumulative, voucher(row)?);
        next_number = next_number.max(row.get::<_, i64>("number")? + 1);
    }
    for (key, sums) in &keys {
        store_sums(tx, *key, sums)?;
    }
    raise_number(tx, vault, next_number)
}

/// Numbers nothing of a vault below `next_number` any more.
pub(super) fn raise_number(tx: &Transaction<'_>, vault: i64, next_number: i64) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE vault SET next_number = max(next_number, ?2) WHERE id = ?1")?
        .execute((vault, next_number))?;
    Ok(())
}
