//! Withdrawals at once that the settler has agreed to: durable before its signature leaves, so that no restart forgets what may
//! still be taken out.

use super::{Ledger, LedgerError};
use crate::chain::Pubkey;
use crate::withdrawals::MAX_SLOTS;
use rusqlite::Connection;
use steam_protocol::units::MicroUsdc;
use steam_protocol::{Address, Hash};

/// A withdrawal that can be carried out without asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Hash of the transaction's message.
    pub message: Hash,
    /// The vault.
    pub vault: Pubkey,
    /// How much; `None` is everything.
    pub amount: Option<MicroUsdc>,
    /// The last slot at which it can be carried out.
    pub valid_until_slot: u64,
}

impl Agreement {
    /// What stands for all that a copy of the ledger does not know: until then a vault may be emptied.
    pub fn unknown(vault: Pubkey, valid_until_slot: u64) -> Self {
        Self { message: unknown(&vault), vault, amount: None, valid_until_slot }
    }

    /// Whether it stands for what is not known.
    pub fn is_unknown(&self) -> bool {
        self.message == unknown(&self.vault)
    }
}

fn unknown(vault: &Pubkey) -> Hash {
    steam_protocol::sha256(&[b"what a copy does not know", vault.as_array()])
}

impl Ledger {
    /// Keeps an agreement, and forgets those that ended long before `slot`, which is final.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn keep_agreement(&self, agreement: Agreement, slot: u64) -> Result<(), LedgerError> {
        self.write(move |tx| {
            // Long after: a node that is asked at the next start may be behind.
            let ended = slot.saturating_sub(2 * MAX_SLOTS);
            tx.prepare_cached("DELETE FROM agreement WHERE valid_until_slot < ?1")?.execute([ended as i64])?;
            keep(tx, &agreement)
        })
        .await
    }
}

pub(super) fn keep(db: &Connection, agreement: &Agreement) -> Result<(), LedgerError> {
    let Agreement { message, vault, amount, valid_until_slot } = *agreement;
    let amount = amount.map(|amount| i64::try_from(amount.0)).transpose();
    let amount = amount.map_err(|_| LedgerError::Refused("agree to a withdrawal of 2^63 µUSDC or more"))?;
    db.prepare_cached(
        "INSERT INTO agreement (message, vault, amount, valid_until_slot) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (message) DO UPDATE SET valid_until_slot = max(valid_until_slot, excluded.valid_until_slot)",
    )?
    .execute((message, vault.to_bytes(), amount, valid_until_slot as i64))?;
    Ok(())
}

/// Every agreement that may not have ended.
pub(super) fn all(db: &Connection) -> Result<Vec<Agreement>, LedgerError> {
    let mut statement = db.prepare("SELECT message, vault, amount, valid_until_slot FROM agreement")?;
    let rows = statement.query_map([], |row| {
        Ok(Agreement {
            message: row.get(0)?,
            vault: Pubkey::from(row.get::<_, Address>(1)?),
            amount: row.get::<_, Option<i64>>(2)?.map(|amount| MicroUsdc(amount as u64)),
            valid_until_slot: row.get::<_, i64>(3)? as u64,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
