//! Sealed groups as rows.

use super::row::Columns;
use crate::chain::Pubkey;
use crate::ledger::recovery::Head;
use crate::ledger::{LedgerError, SealedGroup};
use rusqlite::{Connection, Row};
use std::collections::HashMap;
use steam_protocol::{Address, Hash};

/// A group's primary key.
pub(super) fn place(group: &SealedGroup) -> (Address, i64, u32) {
    (group.vault.to_bytes(), group.generation as i64, group.seq)
}

/// Where the hash chains of all vaults end.
pub(super) fn heads(db: &Connection) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
    let mut statement = db.prepare(
        "SELECT g.vault, g.generation, g.seq, g.hash, g.state, g.previous FROM settlement_group g
         WHERE g.seq = (SELECT max(seq) FROM settlement_group l WHERE l.vault = g.vault AND l.generation = g.generation)",
    )?;
    let rows = statement.query_map([], |row| {
        let (seq, hash, state): (u32, Hash, String) = (row.get("seq")?, row.get("hash")?, row.get("state")?);
        let head = match state.as_str() {
            "sealed" => Head { settled: (seq.saturating_sub(1), row.get("previous")?), sealed: Some((seq, hash)) },
            _ => Head { settled: (seq, hash), sealed: None },
        };
        Ok((row.place()?, head))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn content(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&(&group.vouchers, &group.lines)).map_err(|_| LedgerError::Malformed("settlement group"))
}

pub(super) fn memberships(group: &SealedGroup) -> Result<Vec<u8>, LedgerError> {
    borsh::to_vec(&group.memberships).map_err(|_| LedgerError::Malformed("settlement group"))
}

/// Groups of which `condition` holds, with `value` as its parameter.
pub(super) fn groups_where(db: &Connection, condition: &str, value: i64) -> Result<Vec<SealedGroup>, LedgerError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT vault, generation, seq, receipts, fee_bps, hash, content, memberships FROM settlement_group
         WHERE {condition}"
    ))?;
    let mut rows = statement.query([value])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        groups.push(group(row)?);
    }
    Ok(groups)
}

fn group(row: &Row<'_>) -> Result<SealedGroup, LedgerError> {
    let malformed = |_| LedgerError::Malformed("settlement group");
    let (content, memberships): (Vec<u8>, Vec<u8>) = (row.get("content")?, row.get("memberships")?);
    let (vouchers, lines) = borsh::from_slice(&content).map_err(malformed)?;
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
        memberships: borsh::from_slice(&memberships).map_err(malformed)?,
    })
}
