//! Co-signed withdrawals.

use super::{Database, values};
use crate::ledger::{Agreement, LedgerError, MAX_AGREEMENT_SLOTS};
use steam_protocol::units::MicroUsdc;

/// Keeps an agreement, and forgets those that ended long before the finalized `slot`.
pub(super) fn keep_and_forget(db: &dyn Database, agreement: &Agreement, slot: u64) -> Result<(), LedgerError> {
    // Long after: a node that is asked at the next start may be behind.
    let ended = slot.saturating_sub(2 * MAX_AGREEMENT_SLOTS);
    db.execute("DELETE FROM agreement WHERE valid_until_slot < ?1", values![ended as i64])?;
    keep(db, agreement)
}

pub(super) fn keep(db: &dyn Database, agreement: &Agreement) -> Result<(), LedgerError> {
    let Agreement { message, vault, amount, valid_until_slot } = *agreement;
    let amount = amount.map(|amount| i64::try_from(amount.0)).transpose();
    let amount = amount.map_err(|_| LedgerError::Refused("co-sign a withdrawal of 2^63 µUSDC or more"))?;
    db.execute(
        "INSERT INTO agreement (message, vault, amount, valid_until_slot) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (message) DO UPDATE SET valid_until_slot = excluded.valid_until_slot
           WHERE agreement.valid_until_slot < excluded.valid_until_slot",
        values![&message, vault.as_array(), amount, valid_until_slot as i64],
    )?;
    Ok(())
}

/// Every agreement that may not have ended.
pub(super) fn all(db: &dyn Database) -> Result<Vec<Agreement>, LedgerError> {
    db.rows("SELECT message, vault, amount, valid_until_slot FROM agreement", &[], |row| {
        Ok(Agreement {
            message: row.get("message")?,
            vault: row.address("vault")?,
            amount: row.opt::<i64>("amount")?.map(|amount| MicroUsdc(amount as u64)),
            valid_until_slot: row.unsigned("valid_until_slot")?,
        })
    })
}
