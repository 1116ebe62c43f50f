//! What the relayer's memory is rebuilt from.

use super::charges::{self, first_since, key_sums};
use super::{Database, Reader, Row, agreements, incidents, values};
use crate::chain::Pubkey;
use crate::ledger::{LedgerError, Loaded, LoadedKey, LoadedVault, RecentRequest};
use std::collections::HashMap;
impl Reader {
    /// Everything, as of one moment; requests since `recent_since_ms`.
    pub(in crate::ledger) fn load(&self, recent_since_ms: i64) -> Result<Loaded, LedgerError> {
        self.db().snapshot(|| load(self.db(), recent_since_ms))
    }
}

fn load(db: &dyn Database, recent_since_ms: i64) -> Result<Loaded, LedgerError> {
    // What is decided meanwhile is told by the next look at the incidents.
    let decided = incidents::decisions(db)?;
    let mut loaded = Loaded {
        incidents: incidents::report(db, decided)?,
        agreements: agreements::all(db)?,
        vaults: vaults(db)?,
        recent: recent(db, recent_since_ms)?,
    };
    keys(db, &mut loaded)?;
    open(db, &mut loaded)?;
    waiting(db, &mut loaded)?;
    Ok(loaded)
}

fn vaults(db: &dyn Database) -> Result<HashMap<(Pubkey, u64), LoadedVault>, LedgerError> {
    let vaults = db.rows("SELECT vault, generation, next_number FROM vault", &[], |row| {
        Ok((row.place()?, LoadedVault { next_number: row.unsigned("next_number")?, ..LoadedVault::default() }))
    })?;
    Ok(vaults.into_iter().collect())
}

fn keys(db: &dyn Database, loaded: &mut Loaded) -> Result<(), LedgerError> {
    db.each(
        "SELECT v.vault, v.generation, k.epoch, k.cumulative, k.authorized, k.request_hash, k.signature
         FROM session_key k JOIN vault v ON v.id = k.vault",
        &[],
        |row| {
            let sums = key_sums(row)?;
            let key = LoadedKey { cumulative: sums.cumulative, authorized: sums.voucher.authorized };
            loaded.vaults.entry(row.place()?).or_default().keys.insert(row.get("epoch")?, key);
            Ok(())
        },
    )
}

/// Open charges: what they come to, and what follows from them for their keys and vaults.
fn open(db: &dyn Database, loaded: &mut Loaded) -> Result<(), LedgerError> {
    db.each(
        "SELECT v.vault, v.generation, k.epoch, c.number, c.seq, r.receipt, r.voucher
         FROM charge c INDEXED BY charge_open JOIN record r ON r.id = c.id JOIN session_key k ON k.id = c.key
         JOIN vault v ON v.id = c.vault WHERE c.seq IS NULL AND c.quarantined IS NULL",
        &[],
        |row| {
            let vault = loaded.vaults.entry(row.place()?).or_default();
            owe(row, vault)?;
            vault.next_number = vault.next_number.max(row.unsigned("number")? + 1);
            if let Some(key) = vault.keys.get_mut(&row.get::<u32>("epoch")?) {
                key.cumulative = key.cumulative.max(charges::receipt(row)?.key_cumulative);
                key.authorized = key.authorized.max(charges::voucher(row)?.authorized);
            }
            Ok(())
        },
    )
}

/// Charges that wait for a person's decision, and those of groups under way.
fn waiting(db: &dyn Database, loaded: &mut Loaded) -> Result<(), LedgerError> {
    db.each(
        "WITH waiting AS (
           SELECT c.id FROM incident i INDEXED BY incident_open JOIN charge c ON c.incident = i.id
           WHERE i.resolution IS NULL AND c.seq IS NULL
           UNION ALL
           SELECT c.id FROM settlement_group g JOIN vault v ON v.vault = g.vault AND v.generation = g.generation
           JOIN charge c ON c.vault = v.id AND c.seq = g.seq WHERE g.state = 'sealed')
         SELECT v.vault, v.generation, k.epoch, c.seq, r.receipt
         FROM waiting w JOIN charge c ON c.id = w.id JOIN record r ON r.id = c.id JOIN session_key k ON k.id = c.key
         JOIN vault v ON v.id = c.vault",
        &[],
        |row| owe(row, loaded.vaults.entry(row.place()?).or_default()),
    )
}

fn owe(row: &dyn Row, vault: &mut LoadedVault) -> Result<(), LedgerError> {
    let total = charges::total(&charges::receipt(row)?)?;
    vault.unsettled.load(row.opt("seq")?, row.get("epoch")?, total)
}

/// Requests that began since `since_ms`.
fn recent(db: &dyn Database, since_ms: i64) -> Result<Vec<RecentRequest>, LedgerError> {
    let first = first_since(db, since_ms)?;
    let mut recent = Vec::new();
    db.each("SELECT id, receipt FROM record WHERE id >= ?1", values![first], |row| {
        let receipt = charges::receipt(row)?;
        if receipt.started_at_ms >= since_ms {
            recent.push(RecentRequest {
                vault: Pubkey::from(receipt.vault),
                epoch: receipt.key_epoch,
                request_hash: receipt.request_hash,
                started_ms: receipt.started_at_ms,
                charge: row.get("id")?,
            });
        }
        Ok(())
    })?;
    Ok(recent)
}
