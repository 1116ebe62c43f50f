//! Sealed groups as rows.

use super::charges::find_vault;
use super::{Database, Row, Value, values};
use crate::chain::Pubkey;
use crate::ledger::charges::ChargeId;
use crate::ledger::groups::Unmarked;
use crate::ledger::recovery::Head;
use crate::ledger::{LedgerError, SealedGroup};
use std::collections::HashMap;
use steam_protocol::{Address, Hash};

/// A group's primary key.
pub(super) fn place(group: &SealedGroup) -> (Address, i64, u32) {
    (group.vault.to_bytes(), group.generation as i64, group.seq)
}

/// The charges that sealed groups lack: the first open ones of their vaults. Nothing may be opened again before they have them.
pub(super) fn unmarked(db: &dyn Database) -> Result<Vec<Unmarked>, LedgerError> {
    let first = "SELECT id FROM charge INDEXED BY charge_open WHERE seq IS NULL AND quarantined IS NULL AND vault = ?1
         ORDER BY id LIMIT ?2";
    let mut unmarked = Vec::new();
    for group in groups_where(db, "state = 'sealed' AND batch IS NULL", &[])? {
        let (row, lacks) = lacks(db, &group)?;
        if lacks == 0 {
            continue;
        }
        let charges = db.rows(first, values![row, lacks], |row| row.get::<ChargeId>("id"))?;
        if charges.len() != lacks as usize {
            return Err(LedgerError::Malformed("settlement group"));
        }
        unmarked.push(Unmarked { vault: group.vault, generation: group.generation, seq: group.seq, charges });
    }
    Ok(unmarked)
}

/// The row of a sealed group's vault, and how many of its charges were not given its seq yet.
pub(super) fn lacks(db: &dyn Database, group: &SealedGroup) -> Result<(Option<i64>, u32), LedgerError> {
    let (vault, generation, seq) = place(group);
    let vault = find_vault(db, (vault, generation))?;
    let count = "SELECT count(*) AS marked FROM charge INDEXED BY charge_group WHERE vault = ?1 AND seq = ?2";
    let marked: u32 = db.one(count, values![vault, seq], |row| row.get("marked"))?;
    Ok((vault, group.receipts.saturating_sub(marked)))
}

/// Gives charges their group's seq.
///
/// # Errors
/// [`LedgerError::Refused`] if one of them is not open.
pub(super) fn mark(db: &dyn Database, seq: u32, charges: &[ChargeId]) -> Result<(), LedgerError> {
    let mark = "UPDATE charge SET seq = ?2 WHERE id = ?1 AND seq IS NULL AND quarantined IS NULL";
    if db.execute_each(mark, charges, values![seq])? != charges.len() as u64 {
        return Err(LedgerError::Refused("seal a charge that is not open"));
    }
    Ok(())
}

/// Where the hash chains of all vaults end.
pub(super) fn heads(db: &dyn Database) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
    let mut heads = HashMap::new();
    db.each(
        "SELECT g.vault, g.generation, g.seq, g.hash, g.state, g.previous FROM settlement_group g
         WHERE g.seq = (SELECT max(seq) FROM settlement_group l WHERE l.vault = g.vault AND l.generation = g.generation)",
        &[],
        |row| {
            let (seq, hash): (u32, Hash) = (row.get("seq")?, row.get("hash")?);
            let head = match row.get::<String>("state")?.as_str() {
                "sealed" => Head { settled: (seq.saturating_sub(1), row.get("previous")?), sealed: Some((seq, hash)) },
                _ => Head { settled: (seq, hash), sealed: None },
            };
            heads.insert(row.place()?, head);
            Ok(())
        },
    )?;
    Ok(heads)
}

pub(super) fn content(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&(&group.vouchers, &group.lines)).map_err(|_| LedgerError::Malformed("settlement group"))
}

pub(super) fn memberships(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&group.memberships).map_err(|_| LedgerError::Malformed("settlement group"))
}

/// Groups of which `condition` holds, with `values` as its parameters.
pub(super) fn groups_where(
    db: &dyn Database,
    condition: &str,
    values: &[Value<'_>],
) -> Result<Vec<SealedGroup>, LedgerError> {
    let groups = format!(
        "SELECT vault, generation, seq, receipts, fee_bps, hash, content, memberships FROM settlement_group
         WHERE {condition}"
    );
    db.rows(&groups, values, group)
}

fn group(row: &dyn Row) -> Result<SealedGroup, LedgerError> {
    let malformed = |_| LedgerError::Malformed("settlement group");
    let (vouchers, lines) = borsh::from_slice(row.blob("content")?).map_err(malformed)?;
    let (vault, generation) = row.place()?;
    Ok(SealedGroup {
        vault,
        generation,
        seq: row.get("seq")?,
        receipts: row.get("receipts")?,
        fee_bps: row.get("fee_bps")?,
        hash: row.get("hash")?,
        vouchers,
        lines,
        memberships: borsh::from_slice(row.blob("memberships")?).map_err(malformed)?,
    })
}
