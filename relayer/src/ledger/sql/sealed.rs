//! Sealed groups as rows.

use super::{Database, Row, Value};
use crate::chain::Pubkey;
use crate::ledger::recovery::Head;
use crate::ledger::{LedgerError, SealedGroup};
use std::collections::HashMap;
use steam_protocol::{Address, Hash};

/// A group's primary key.
pub(super) fn place(group: &SealedGroup) -> (Address, i64, u32) {
    (group.vault.to_bytes(), group.generation as i64, group.seq)
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
