//! What commands read of a ledger and decide about it.

use super::{Database, Reader, charges, incidents, sealed, values};
use crate::chain::Pubkey;
use crate::ledger::LedgerError;
use crate::ledger::incidents::{Decision, IncidentId, ResolveError};
use crate::ledger::recovery::{Head, SettledSums};
use std::collections::HashMap;
use steam_protocol::Hash;
use steam_protocol::units::Pico;

impl Reader {
    /// Where the hash chains of all vaults end.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn heads(&self) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
        sealed::heads(self.db())
    }

    /// The vaults that the ledger knows, one for each of their generations.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn vaults(&self) -> Result<Vec<Pubkey>, LedgerError> {
        self.db().rows("SELECT vault FROM vault", &[], |row| row.address("vault"))
    }

    /// The deployment the ledger belongs to: domain and relayer.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn deployment(&self) -> Result<(Hash, Pubkey), LedgerError> {
        deployment(self.db())?.ok_or(LedgerError::Malformed("deployment"))
    }

    /// When it was copied from a ledger, if it is a copy, in Unix milliseconds.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn copied_ms(&self) -> Result<Option<i64>, LedgerError> {
        copied_ms(self.db())
    }

    /// The largest time the ledger has seen, in Unix milliseconds: a clock that is behind it is wrong.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn last_seen_ms(&self) -> Result<i64, LedgerError> {
        let mut last_ms = 0;
        self.db().each(
            "SELECT receipt FROM record WHERE id >= (SELECT coalesce(max(charge), 0) FROM charged_minute)",
            &[],
            |row| {
                let receipt = charges::receipt(row)?;
                last_ms = last_ms.max(receipt.started_at_ms.saturating_add(receipt.duration_ms.into()));
                Ok(())
            },
        )?;
        Ok(last_ms)
    }

    /// What a vault's groups up to `seq` come to, where all of their receipts are here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn settled_sums(
        &self,
        (vault, generation): (Pubkey, u64),
        seq: u32,
    ) -> Result<Option<SettledSums>, LedgerError> {
        let place = values![vault.as_array(), generation as i64, seq];
        let (receipts, incomplete): (u64, bool) = self.db().one(
            "SELECT (SELECT CAST(coalesce(sum(receipts), 0) AS BIGINT) FROM settlement_group
                     WHERE vault = ?1 AND generation = ?2 AND seq <= ?3) AS receipts,
                    (EXISTS (SELECT 1 FROM settlement_group
                             WHERE vault = ?1 AND generation = ?2 AND seq <= ?3 AND adopted IS NOT NULL)
                     OR EXISTS (SELECT 1 FROM vault WHERE vault = ?1 AND generation = ?2 AND pruned_seq > 0)) AS incomplete",
            place,
            |row| Ok((row.unsigned("receipts")?, row.get("incomplete")?)),
        )?;
        if incomplete {
            return Ok(None);
        }
        let mut total = Pico::ZERO;
        self.db().each(
            "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.id JOIN vault v ON v.id = c.vault
             WHERE v.vault = ?1 AND v.generation = ?2 AND c.seq <= ?3",
            place,
            |row| {
                let charge = charges::total(&charges::receipt(row)?)?;
                total = total.checked_add(charge).ok_or(LedgerError::Malformed("charge"))?;
                Ok(())
            },
        )?;
        // Of a group that was copied while it was sealed, and settled since.
        let half = sealed::unmarked(self.db())?.into_iter();
        let half = half.filter(|group| (group.vault, group.generation) == (vault, generation) && group.seq <= seq);
        for charge in half.flat_map(|group| group.charges) {
            let receipt = "SELECT receipt FROM record WHERE id = ?1";
            let charge = self.db().one(receipt, values![charge], |row| charges::total(&charges::receipt(row)?))?;
            total = total.checked_add(charge).ok_or(LedgerError::Malformed("charge"))?;
        }
        Ok(Some(SettledSums { receipts, total }))
    }
}

/// Whose ledger it is: domain and relayer.
pub(in crate::ledger) fn deployment(db: &dyn Database) -> Result<Option<(Hash, Pubkey)>, LedgerError> {
    db.row("SELECT domain, relayer FROM deployment", &[], |row| Ok((row.get("domain")?, row.address("relayer")?)))
}

/// When the ledger was copied from another, if it is a copy.
pub(in crate::ledger) fn copied_ms(db: &dyn Database) -> Result<Option<i64>, LedgerError> {
    db.one("SELECT max(made_ms) AS made_ms FROM copy", &[], |row| row.opt("made_ms"))
}

/// Decides about incidents: all of them or none.
pub(in crate::ledger) fn resolve(
    db: &dyn Database,
    ids: &[IncidentId],
    decision: &Decision,
) -> Result<(), ResolveError> {
    db.transaction(true, || ids.iter().try_for_each(|id| incidents::resolve(db, *id, decision)))
}
