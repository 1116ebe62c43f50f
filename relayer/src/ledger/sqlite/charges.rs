//! The one durable write of a request.

use crate::ledger::{Charge, LedgerError};
use rusqlite::Transaction;
use steam_protocol::receipt::SignedReceipt;

/// Signs and writes a charge. It fails if the request was charged before, or the key's allow-list is not kept here.
pub(super) fn insert(tx: &Transaction<'_>, charge: Charge) -> Result<SignedReceipt, LedgerError> {
    let row = charge.sign()?;
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
    Ok(row.receipt)
}
