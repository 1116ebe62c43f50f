//! Drops what was settled or decided long ago, a few batches at a time.

use super::charges::find_vault;
use crate::ledger::LedgerError;
use rusqlite::{Params, Transaction};
use steam_protocol::Address;

/// Batches dropped in one transaction: requests are charged between two.
const BATCHES: u32 = 16;

/// Drops some of what was settled or decided before `before_ms`; says whether there is more.
pub(super) fn prune(tx: &Transaction<'_>, before_ms: i64) -> Result<bool, LedgerError> {
    // In the order they were settled: what goes of a vault is the beginning of its chain.
    let old: Vec<i64> = tx
        .prepare_cached("SELECT id FROM batch WHERE state = 'done' AND done_ms < ?1 ORDER BY done_ms, id LIMIT ?2")?
        .query_map((before_ms, BATCHES), |row| row.get("id"))?
        .collect::<Result<_, _>>()?;
    for batch in &old {
        drop_groups(tx, *batch)?;
        // Earlier batches that were split or released have no groups left.
        for table in ["attempt", "batch_group"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE batch = ?1 OR batch IN (SELECT id FROM batch WHERE id < ?1 AND state = 'split')"),
                [batch],
            )?;
        }
        tx.execute("DELETE FROM batch WHERE id = ?1 OR (id < ?1 AND state = 'split')", [batch])?;
    }
    drop_charges(
        tx,
        "incident IN (SELECT id FROM incident WHERE resolution IN ('written off', 'dropped') AND resolved_ms < ?1)",
        [before_ms],
    )?;
    tx.prepare_cached(
        "DELETE FROM charged_minute WHERE minute < ?1 AND minute < (SELECT max(minute) FROM charged_minute)",
    )?
    .execute([before_ms.div_euclid(60_000)])?;
    Ok(old.len() == BATCHES as usize)
}

fn drop_groups(tx: &Transaction<'_>, batch: i64) -> Result<(), LedgerError> {
    let groups: Vec<(Address, i64, u32)> = tx
        .prepare_cached("SELECT vault, generation, seq FROM settlement_group WHERE batch = ?1 AND state = 'settled'")?
        .query_map([batch], |row| Ok((row.get("vault")?, row.get("generation")?, row.get("seq")?)))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        let (vault, generation, seq) = group;
        if let Some(row) = find_vault(tx, (vault, generation))? {
            drop_charges(tx, "vault = ?1 AND seq = ?2", (row, seq))?;
        }
        tx.prepare_cached("UPDATE vault SET pruned_seq = max(pruned_seq, ?3) WHERE vault = ?1 AND generation = ?2")?
            .execute(group)?;
        tx.prepare_cached(
            "DELETE FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3
               AND seq < (SELECT max(seq) FROM settlement_group WHERE vault = ?1 AND generation = ?2)",
        )?
        .execute(group)?;
    }
    // Groups of pruned batches that were kept as the last of their vault and are not the last any more.
    tx.prepare_cached(
        "DELETE FROM settlement_group AS g WHERE g.batch IS NOT NULL AND g.state = 'settled'
           AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = g.batch)
           AND g.seq < (SELECT max(seq) FROM settlement_group l WHERE l.vault = g.vault AND l.generation = g.generation)
           AND (g.vault, g.generation) IN (SELECT vault, generation FROM batch_group WHERE batch = ?1)",
    )?
    .execute([batch])?;
    Ok(())
}

/// Drops the charges of which `condition` holds, with everything that is said of them elsewhere.
fn drop_charges(tx: &Transaction<'_>, condition: &str, values: impl Params + Copy) -> Result<(), LedgerError> {
    for table in ["record WHERE id", "idempotent_request WHERE charge"] {
        let dropped = format!("DELETE FROM {table} IN (SELECT id FROM charge WHERE {condition})");
        tx.prepare_cached(&dropped)?.execute(values)?;
    }
    tx.prepare_cached(&format!("DELETE FROM charge WHERE {condition}"))?.execute(values)?;
    Ok(())
}
