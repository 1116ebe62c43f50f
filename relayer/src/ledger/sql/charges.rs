//! What stands behind a charge: its vault, its key and what they come to. What else is known of it follows from its receipt.

use super::{Database, Row, values};
use crate::ledger::charges::{ChargeId, ChargeRow};
use crate::ledger::groups::KeySums;
use crate::ledger::{Charge, LedgerError, StoredVoucher};
use std::collections::HashMap;
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::{Address, Hash};

/// Keys whose rows are remembered at the most.
const REMEMBERED: usize = 65_536;

/// What a writer remembers of the database, so that it need not look it up for every charge.
#[derive(Default)]
pub(in crate::ledger) struct Places {
    /// Row ids of vaults and keys, by vault, generation and epoch.
    keys: HashMap<(Address, u64, u32), Place>,
    end: Option<End>,
}

/// The rows of a charge's vault and key.
#[derive(Clone, Copy)]
pub(in crate::ledger) struct Place {
    pub vault: i64,
    pub key: i64,
}

/// Where the tables end.
#[derive(Clone, Copy, Default)]
pub(in crate::ledger) struct End {
    /// The next charge.
    pub id: ChargeId,
    /// The last minute in which a charge ended.
    pub minute: i64,
}

impl Places {
    /// Forgets everything: the database may not have it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn end(&mut self, db: &dyn Database) -> Result<End, LedgerError> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        // Pruning may have taken away the last charges, but not that they were.
        let end = db.one(
            "SELECT (SELECT coalesce(max(id), 0) FROM charge) AS last,
                    (SELECT coalesce(max(charge), 0) FROM charged_minute) AS first_of_minute,
                    (SELECT max(minute) FROM charged_minute) AS minute",
            &[],
            |row| {
                let last = row.get::<ChargeId>("last")?.max(row.get("first_of_minute")?);
                Ok(End { id: last + 1, minute: row.opt("minute")?.unwrap_or(i64::MIN) })
            },
        )?;
        self.end = Some(end);
        Ok(end)
    }

    pub fn set_end(&mut self, end: End) {
        self.end = Some(end);
    }

    /// The rows of a charge's vault and key, which are made if this is their first one.
    pub fn of(&mut self, db: &dyn Database, row: &ChargeRow) -> Result<Place, LedgerError> {
        let r = &row.receipt.receipt;
        let name = (r.vault, r.generation, r.key_epoch);
        if let Some(place) = self.keys.get(&name) {
            return Ok(*place);
        }
        let vault = vault(db, (r.vault, r.generation as i64))?;
        let find = "SELECT id FROM session_key WHERE vault = ?1 AND epoch = ?2";
        let key = match db.row(find, values![vault, r.key_epoch], |row| row.get("id"))? {
            Some(key) => key,
            None => insert_key(db, vault, row)?,
        };
        let place = Place { vault, key };
        if self.keys.len() >= REMEMBERED {
            self.keys.clear();
        }
        self.keys.insert(name, place);
        Ok(place)
    }
}

/// A charge that may be written, with its signatures.
pub(in crate::ledger) struct Checked {
    pub row: ChargeRow,
    pub number: i64,
    /// The minute in which it ended.
    pub minute: i64,
}

impl Checked {
    /// Signs a charge, and refuses what no ledger can hold.
    pub fn new(charge: Box<Charge>) -> Result<Self, LedgerError> {
        let row = charge.sign()?;
        let r = &row.receipt.receipt;
        total(r)?;
        stored_amount(row.voucher.authorized)?;
        let number = i64::try_from(r.number).map_err(|_| LedgerError::Refused("number a receipt beyond 2^63"))?;
        let minute = minute_of(r.started_at_ms.saturating_add(r.duration_ms.into()));
        Ok(Self { row, number, minute })
    }
}

/// The row of a vault's generation, which is made if it is not there.
pub(super) fn vault(db: &dyn Database, place: (Address, i64)) -> Result<i64, LedgerError> {
    if let Some(id) = find_vault(db, place)? {
        return Ok(id);
    }
    let insert = "INSERT INTO vault (vault, generation, next_number) VALUES (?1, ?2, 1) RETURNING id";
    db.one(insert, values![&place.0, place.1], |row| row.get("id"))
}

/// The row of a vault's generation.
pub(super) fn find_vault(db: &dyn Database, (vault, generation): (Address, i64)) -> Result<Option<i64>, LedgerError> {
    let find = "SELECT id FROM vault WHERE vault = ?1 AND generation = ?2";
    db.row(find, values![&vault, generation], |row| row.get("id"))
}

fn insert_key(db: &dyn Database, vault: i64, row: &ChargeRow) -> Result<i64, LedgerError> {
    let r = &row.receipt.receipt;
    db.one(
        "INSERT INTO session_key (vault, epoch, slot, public_key, cumulative, authorized, request_hash, signature, allow_root)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
        values![
            vault,
            r.key_epoch,
            r.key_slot,
            &row.key,
            &r.key_cumulative.0.to_be_bytes(),
            stored_amount(row.voucher.authorized)?,
            &row.voucher.request_hash,
            &row.voucher.signature,
            row.allow_root.as_ref(),
        ],
        |row| row.get("id"),
    )
}

fn minute_of(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(60_000)
}

/// A charge from which on all are that ended since `since_ms`, Unix milliseconds; later ones may have ended before.
pub(super) fn first_since(db: &dyn Database, since_ms: i64) -> Result<ChargeId, LedgerError> {
    let first = "SELECT min(charge) AS first FROM charged_minute WHERE minute >= ?1";
    Ok(db.one(first, values![minute_of(since_ms)], |row| row.opt("first"))?.unwrap_or(ChargeId::MAX))
}

/// What a charge comes to, with its fee.
pub(super) fn total(receipt: &Receipt) -> Result<Pico, LedgerError> {
    receipt.charge.checked_add(receipt.fee).ok_or(LedgerError::Malformed("charge"))
}

/// The column `receipt`.
pub(super) fn receipt(row: &dyn Row) -> Result<Receipt, LedgerError> {
    decode(row.blob("receipt")?)
}

/// A receipt from its signed bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Receipt, LedgerError> {
    SignedReceipt::from_bytes(bytes).map(|signed| signed.receipt).map_err(|_| LedgerError::Malformed("receipt"))
}

/// The column `voucher`, as [`stored_voucher`] wrote it.
pub(super) fn voucher(row: &dyn Row) -> Result<StoredVoucher, LedgerError> {
    borsh::from_slice(row.blob("voucher")?).map_err(|_| LedgerError::Malformed("voucher"))
}

/// 104 bytes: authorized µUSDC, the hash of the request it was signed for, and the signature.
pub(in crate::ledger) fn stored_voucher(voucher: &StoredVoucher) -> [u8; 104] {
    let mut bytes = [0; 104];
    let (authorized, rest) = bytes.split_at_mut(8);
    let (request_hash, signature) = rest.split_at_mut(32);
    authorized.copy_from_slice(&voucher.authorized.0.to_le_bytes());
    request_hash.copy_from_slice(&voucher.request_hash);
    signature.copy_from_slice(&voucher.signature);
    bytes
}

/// An amount as a database's signed number.
fn stored_amount(amount: MicroUsdc) -> Result<i64, LedgerError> {
    i64::try_from(amount.0).map_err(|_| LedgerError::Refused("store an authorization of 2^63 µUSDC or more"))
}

/// The sums of a row of `session_key`.
pub(super) fn key_sums(row: &dyn Row) -> Result<KeySums, LedgerError> {
    let (request_hash, signature): (Hash, [u8; 64]) = (row.get("request_hash")?, row.get("signature")?);
    let voucher = StoredVoucher { authorized: MicroUsdc(row.unsigned("authorized")?), request_hash, signature };
    Ok(KeySums { cumulative: row.pico("cumulative")?, voucher })
}

/// Stores the sums of the key in row `key`.
pub(super) fn store_sums(db: &dyn Database, key: i64, sums: &KeySums) -> Result<(), LedgerError> {
    let voucher = &sums.voucher;
    db.execute(
        "UPDATE session_key SET cumulative = ?2, authorized = ?3, request_hash = ?4, signature = ?5 WHERE id = ?1",
        values![
            key,
            &sums.cumulative.0.to_be_bytes(),
            stored_amount(voucher.authorized)?,
            &voucher.request_hash,
            &voucher.signature,
        ],
    )?;
    Ok(())
}

/// Notes with a vault and its keys what its open charges say, before these are taken out of settlement.
pub(super) fn keep_sums(db: &dyn Database, vault: i64) -> Result<(), LedgerError> {
    let mut keys: HashMap<i64, KeySums> = HashMap::new();
    let mut next_number = 0;
    db.each(
        "SELECT c.key, c.number, r.receipt, r.voucher FROM charge c INDEXED BY charge_open JOIN record r ON r.id = c.id
         WHERE c.seq IS NULL AND c.quarantined IS NULL AND c.vault = ?1",
        values![vault],
        |row| {
            let said = KeySums { cumulative: receipt(row)?.key_cumulative, voucher: voucher(row)? };
            keys.entry(row.get("key")?).or_insert(said).raise(said.cumulative, said.voucher);
            next_number = next_number.max(row.get::<i64>("number")? + 1);
            Ok(())
        },
    )?;
    let known = "SELECT cumulative, authorized, request_hash, signature FROM session_key WHERE id = ?1";
    for (key, said) in &keys {
        let mut sums = db.one(known, values![*key], key_sums)?;
        sums.raise(said.cumulative, said.voucher);
        store_sums(db, *key, &sums)?;
    }
    raise_number(db, vault, next_number)
}

/// Numbers nothing of a vault below `next_number` any more.
pub(super) fn raise_number(db: &dyn Database, vault: i64, next_number: i64) -> Result<(), LedgerError> {
    let raise = "UPDATE vault SET next_number = ?2 WHERE id = ?1 AND next_number < ?2";
    db.execute(raise, values![vault, next_number])?;
    Ok(())
}
