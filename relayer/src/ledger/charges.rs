//! Charges: written once a request, read when the relayer starts and when a receipt is asked for.

use super::agreements::{self, Agreement};
use super::incidents::{self, Standing};
use super::record::{PackedDecision, unpack};
use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::collections::HashMap;
use steam_protocol::merkle;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::{Address, Hash};

/// A charge to be written, with the voucher that covers it.
#[derive(Clone, Debug)]
pub struct ChargeRow {
    /// The generation id the client was given.
    pub id: String,
    /// The session key.
    pub key: Address,
    /// The signed receipt.
    pub receipt: SignedReceipt,
    /// The decision record.
    pub decision: PackedDecision,
    /// A voucher of the key.
    pub voucher: super::StoredVoucher,
    /// The root of the key's allow-list, if it has one.
    pub allow_root: Option<Hash>,
}

/// A receipt as it is stored.
#[derive(Clone, Debug)]
pub struct ReceiptRow {
    /// The generation id.
    pub id: String,
    /// The signed receipt's bytes.
    pub receipt: Vec<u8>,
    /// The session key it belongs to.
    pub key: Address,
    /// `unsettled`, `sealed`, `settled`; or `set aside`, `written off` or `dropped` with the reason.
    pub status: String,
    /// Its inclusion in a settlement, once that is final.
    pub proof: Option<Proof>,
}

/// Inclusion of a receipt in a settlement transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The transaction, base58.
    pub transaction: String,
    /// The batch's Merkle root, as the transaction carries it.
    pub root: Hash,
    /// The receipt's place among the batch's leaves.
    pub index: u64,
    /// The batch's leaves.
    pub count: u64,
    /// Siblings from the leaf to the root.
    pub path: Vec<Hash>,
    /// The group's seq in its vault.
    pub seq: u32,
}

/// A request's routing decision as it is stored.
#[derive(Clone, Debug)]
pub struct GenerationRow {
    /// The generation id.
    pub id: String,
    /// The session key it belongs to.
    pub key: Address,
    /// Canonical JSON, hashed in the receipt.
    pub decision: Vec<u8>,
    /// The signed receipt's bytes.
    pub receipt: Vec<u8>,
}

/// What the relayer's memory is rebuilt from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// By vault and generation.
    pub vaults: HashMap<(Pubkey, u64), LoadedVault>,
    /// Requests charged lately, so that they cannot be sent again: vault, epoch, request hash, Unix milliseconds.
    pub recent: Vec<(Pubkey, u32, Hash, i64)>,
    /// Withdrawals at once that may still be carried out.
    pub agreements: Vec<Agreement>,
    /// What people had decided by then, and on what nothing is held.
    pub standing: Standing,
}

/// A vault's part of [`Loaded`].
#[derive(Clone, Debug, Default)]
pub struct LoadedVault {
    /// The next receipt's number.
    pub next_number: u64,
    /// By epoch.
    pub keys: HashMap<u32, LoadedKey>,
    /// Sums not known to be settled: seq of the sealed group or none, epoch, amount.
    pub unsettled: Vec<(Option<u32>, u32, Pico)>,
}

/// A session key's part of [`Loaded`].
#[derive(Clone, Copy, Debug)]
pub struct LoadedKey {
    /// What all its receipts come to.
    pub cumulative: Pico,
    /// The most it authorised.
    pub authorized: MicroUsdc,
}

impl Ledger {
    /// Writes a charge inside the writer's transaction.
    ///
    /// # Errors
    /// [`LedgerError::Database`], also when the request was charged before, or the key's allow-list is not kept here.
    pub(crate) fn insert_charge(tx: &Transaction<'_>, row: &ChargeRow) -> Result<(), LedgerError> {
        let r = &row.receipt.receipt;
        let total = r.charge.checked_add(r.fee).ok_or(LedgerError::Refused("charge more than u128"))?;
        let authorized = i64::try_from(row.voucher.authorized.0)
            .map_err(|_| LedgerError::Refused("store an authorization of 2^63 µUSDC or more"))?;
        tx.prepare_cached("INSERT INTO record (receipt, decision, packed) VALUES (?1, ?2, true)")?
            .execute((row.receipt.to_bytes(), row.decision.as_bytes()))?;
        let record = tx.last_insert_rowid();
        tx.prepare_cached(
            "INSERT INTO charge (vault, generation, number, id, public_key, epoch, slot, request_hash, provider, offer, version, fee_bps,
             input, cached, output, total, started_ms, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(rusqlite::params![
            r.vault,
            r.generation as i64,
            r.number as i64,
            row.id,
            row.key,
            r.key_epoch,
            r.key_slot,
            r.request_hash,
            r.provider,
            r.offer,
            r.price_version,
            r.fee_bps,
            r.usage.input,
            r.usage.cached,
            r.usage.output,
            total.0.to_be_bytes(),
            r.started_at_ms,
            record,
        ])?;
        tx.prepare_cached(
            "INSERT INTO vault (vault, generation, next_number) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET next_number = max(next_number, excluded.next_number)",
        )?
        .execute((r.vault, r.generation as i64, r.number as i64 + 1))?;
        tx.prepare_cached(
            "INSERT INTO session_key (vault, generation, epoch, slot, cumulative, authorized, request_hash, signature, allow_root)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET cumulative = max(cumulative, excluded.cumulative),
               request_hash = iif(excluded.authorized > authorized, excluded.request_hash, request_hash),
               signature = iif(excluded.authorized > authorized, excluded.signature, signature),
               authorized = max(authorized, excluded.authorized)",
        )?
        .execute((
            r.vault,
            r.generation as i64,
            r.key_epoch,
            r.key_slot,
            r.key_cumulative.0.to_be_bytes(),
            authorized,
            row.voucher.request_hash,
            row.voucher.signature,
            row.allow_root,
        ))?;
        Ok(())
    }

    /// What the relayer's memory is rebuilt from; `recent_since_ms` bounds the requests that could still be replayed.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn load(&self, recent_since_ms: i64) -> Result<Loaded, LedgerError> {
        self.read(move |db| load(db, recent_since_ms)).await
    }

    /// The decision of a request by its generation id.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn generation(&self, id: &str) -> Result<Option<GenerationRow>, LedgerError> {
        let id = id.to_owned();
        self.read(move |db| generation(db, "c.id = ?1", [id])).await
    }

    /// The decision of a request by its receipt: the vault, its generation, and the receipt's number.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn generation_of_receipt(
        &self,
        vault: Pubkey,
        generation: u64,
        number: u64,
    ) -> Result<Option<GenerationRow>, LedgerError> {
        let place = (vault.to_bytes(), generation as i64, number as i64);
        self.read(move |db| self::generation(db, "c.vault = ?1 AND c.generation = ?2 AND c.number = ?3", place)).await
    }

    /// What a key was charged for requests since `since_ms`, Unix milliseconds: when, and how much.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn charges_of_key(&self, key: Address, since_ms: i64) -> Result<Vec<(i64, Pico)>, LedgerError> {
        self.read(move |db| {
            let mut charges = db.prepare(
                "SELECT started_ms, total FROM charge WHERE started_ms > ?1 AND public_key = ?2 ORDER BY started_ms",
            )?;
            let rows =
                charges.query_map((since_ms, key), |row| Ok((row.get(0)?, Pico(u128::from_be_bytes(row.get(1)?)))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// A receipt by its generation id, with its proof of inclusion once it is settled.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn receipt(&self, id: &str) -> Result<Option<ReceiptRow>, LedgerError> {
        let id = id.to_owned();
        self.read(move |db| receipt(db, &id)).await
    }

    /// The receipt of a request that a key signed, by the request's hash.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn receipt_of_request(
        &self,
        key: &crate::vaults::KeyRef,
        request_hash: Hash,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let key = *key;
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.record
                     WHERE vault = ?1 AND generation = ?2 AND epoch = ?3 AND request_hash = ?4",
                )?
                .query_row((key.vault.to_bytes(), key.generation as i64, key.epoch, request_hash), |row| row.get(0))
                .optional()?)
        })
        .await
    }
}

fn generation(
    db: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Option<GenerationRow>, LedgerError> {
    let found = db
        .prepare_cached(&format!(
            "SELECT c.id, c.public_key, r.receipt, r.decision, r.packed FROM charge c JOIN record r ON r.id = c.record WHERE {condition}"
        ))?
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((id, key, receipt, decision, packed)) = found else { return Ok(None) };
    Ok(Some(GenerationRow { id, key, receipt, decision: unpack(decision, packed)? }))
}

struct Settled {
    vault: Address,
    generation: i64,
    number: i64,
    seq: Option<u32>,
}

fn receipt(db: &Connection, id: &str) -> Result<Option<ReceiptRow>, LedgerError> {
    let found = db
        .prepare_cached(
            "SELECT c.id, r.receipt, c.public_key, c.vault, c.generation, c.number, c.seq, c.aside, g.state, i.resolution FROM charge c
             JOIN record r ON r.id = c.record
             LEFT JOIN incident i ON i.id = c.incident
             LEFT JOIN settlement_group g ON g.vault = c.vault AND g.generation = c.generation AND g.seq = c.seq
             WHERE c.id = ?1",
        )?
        .query_row([id], |row| {
            let (aside, state): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
            let resolution: Option<String> = row.get(9)?;
            let resolution = resolution.unwrap_or_else(|| "set aside".into());
            let status = aside.map(|reason| format!("{resolution}: {reason}")).or(state);
            let status = status.unwrap_or_else(|| "unsettled".into());
            let place = Settled { vault: row.get(3)?, generation: row.get(4)?, number: row.get(5)?, seq: row.get(6)? };
            Ok((ReceiptRow { id: row.get(0)?, receipt: row.get(1)?, key: row.get(2)?, status, proof: None }, place))
        })
        .optional()?;
    let Some((mut row, place)) = found else { return Ok(None) };
    if let Some(seq) = place.seq {
        row.proof = proof(db, &place, seq)?;
    }
    Ok(Some(row))
}

fn proof(db: &Connection, place: &Settled, seq: u32) -> Result<Option<Proof>, LedgerError> {
    let settled = db
        .prepare_cached(
            "SELECT b.root, b.leaves, b.signature, bg.first_leaf,
               (SELECT count(*) FROM charge c WHERE c.vault = ?1 AND c.generation = ?2 AND c.seq = ?3 AND c.number < ?4)
             FROM settlement_group g JOIN batch b ON b.id = g.batch
             JOIN batch_group bg ON bg.batch = b.id AND bg.vault = g.vault AND bg.generation = g.generation
             WHERE g.vault = ?1 AND g.generation = ?2 AND g.seq = ?3 AND g.state = 'settled' AND b.signature IS NOT NULL",
        )?
        .query_row((place.vault, place.generation, seq, place.number), |row| {
            let index = row.get::<_, i64>(3)? + row.get::<_, i64>(4)?;
            Ok((row.get::<_, Hash>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?, index as usize))
        })
        .optional()?;
    let Some((root, leaves, transaction, index)) = settled else { return Ok(None) };
    let leaves = leaves.as_chunks::<32>().0;
    let path = merkle::proof(leaves, index).ok_or(LedgerError::Malformed("batch"))?;
    Ok(Some(Proof { transaction, root, index: index as u64, count: leaves.len() as u64, path, seq }))
}

fn load(db: &Connection, recent_since_ms: i64) -> Result<Loaded, LedgerError> {
    // One moment of the database: what is decided meanwhile is told by the next look at the incidents.
    let db = &db.unchecked_transaction()?;
    let decided = incidents::decisions(db)?;
    let (standing, agreements) = (incidents::standing(db, decided)?, agreements::all(db)?);
    let mut loaded = Loaded { standing, agreements, ..Loaded::default() };
    let mut vaults = db.prepare("SELECT vault, generation, next_number FROM vault")?;
    let mut rows = vaults.query([])?;
    while let Some(row) = rows.next()? {
        let vault = LoadedVault { next_number: row.get::<_, i64>(2)? as u64, ..LoadedVault::default() };
        loaded.vaults.insert(place(row)?, vault);
    }
    let mut keys = db.prepare("SELECT vault, generation, epoch, cumulative, authorized FROM session_key")?;
    let mut rows = keys.query([])?;
    while let Some(row) = rows.next()? {
        let key = LoadedKey {
            cumulative: Pico(u128::from_be_bytes(row.get(3)?)),
            authorized: MicroUsdc(row.get::<_, i64>(4)? as u64),
        };
        loaded.vaults.entry(place(row)?).or_default().keys.insert(row.get(2)?, key);
    }
    let mut unsettled: HashMap<(Pubkey, u64, Option<u32>, u32), Pico> = HashMap::new();
    let mut charges = db.prepare(
        "SELECT c.vault, c.generation, c.seq, c.epoch, c.total FROM charge c INDEXED BY charge_open
         WHERE c.seq IS NULL AND c.aside IS NULL
         UNION ALL
         SELECT c.vault, c.generation, c.seq, c.epoch, c.total FROM incident i INDEXED BY incident_open
         JOIN charge c ON c.incident = i.id WHERE i.resolution IS NULL AND c.seq IS NULL
         UNION ALL
         SELECT c.vault, c.generation, c.seq, c.epoch, c.total FROM settlement_group g
         JOIN charge c ON c.vault = g.vault AND c.generation = g.generation AND c.seq = g.seq WHERE g.state = 'sealed'",
    )?;
    let mut rows = charges.query([])?;
    while let Some(row) = rows.next()? {
        let (vault, generation) = place(row)?;
        let sum = unsettled.entry((vault, generation, row.get(2)?, row.get(3)?)).or_default();
        let total = Pico(u128::from_be_bytes(row.get(4)?));
        *sum = sum.checked_add(total).ok_or(LedgerError::Malformed("charge"))?;
    }
    for ((vault, generation, seq, epoch), amount) in unsettled {
        loaded.vaults.entry((vault, generation)).or_default().unsettled.push((seq, epoch, amount));
    }
    let mut recent = db.prepare("SELECT vault, epoch, request_hash, started_ms FROM charge WHERE started_ms >= ?1")?;
    let mut rows = recent.query([recent_since_ms])?;
    while let Some(row) = rows.next()? {
        loaded.recent.push((Pubkey::from(row.get::<_, Address>(0)?), row.get(1)?, row.get(2)?, row.get(3)?));
    }
    Ok(loaded)
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Pubkey, u64)> {
    Ok((Pubkey::from(row.get::<_, Address>(0)?), row.get::<_, i64>(1)? as u64))
}
