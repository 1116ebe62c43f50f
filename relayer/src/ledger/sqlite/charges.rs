//! The one durable write of a request: two appended rows.

use crate::ledger::charges::ChargeId;
use crate::ledger::sql::charges::{Checked, End, Place, Places, stored_voucher};
use crate::ledger::{Charge, LedgerError};
use rusqlite::Connection;
use steam_protocol::receipt::SignedReceipt;

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

/// Signs and writes a charge. It fails if the key's allow-list is not kept here, or if it is a request that came with an
/// `Idempotency-Key` and was charged before.
pub(super) fn insert(
    tx: &Connection,
    charge: Box<Charge>,
    places: &mut Places,
) -> Result<(SignedReceipt, ChargeId), Failure> {
    let charge = Checked::new(charge)?;
    let end = places.end(tx)?;
    let place = places.of(tx, &charge.row)?;
    let row = &charge.row;
    tx.prepare_cached(
        "INSERT INTO record (id, generation_id, receipt, voucher, decision) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((end.id, &row.id, row.receipt.to_bytes(), stored_voucher(&row.voucher), row.decision.as_bytes()))?;
    rest(tx, &charge, (place, end), places).map_err(|error| Failure::Partial(error.into()))?;
    Ok((charge.row.receipt, end.id))
}

/// What is written of a charge after its record.
fn rest(tx: &Connection, charge: &Checked, (place, end): (Place, End), places: &mut Places) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO charge (id, vault, key, number) VALUES (?1, ?2, ?3, ?4)")?.execute((
        end.id,
        place.vault,
        place.key,
        charge.number,
    ))?;
    if charge.row.idempotent {
        tx.prepare_cached("INSERT INTO idempotent_request (charge, key, request_hash) VALUES (?1, ?2, ?3)")?
            .execute((end.id, place.key, charge.row.receipt.receipt.request_hash))?;
    }
    if charge.minute > end.minute {
        tx.prepare_cached("INSERT INTO charged_minute (minute, charge) VALUES (?1, ?2)")?
            .execute((charge.minute, end.id))?;
    }
    places.set_end(End { id: end.id + 1, minute: end.minute.max(charge.minute) });
    Ok(())
}
