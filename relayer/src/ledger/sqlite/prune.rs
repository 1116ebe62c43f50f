//! Drops what was settled or decided long ago, a few batches at a time.

use crate::ledger::LedgerError;
use rusqlite::Transaction;
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
        // Those that were divided or released before it have nothing left of their own.
        for table in ["attempt", "batch_group"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE batch = ?1 OR batch IN (SELECT id FROM batch WHERE id < ?1 AND state = 'split')"),
                [batch],
            )?;
        }
        tx.execute("DELETE FROM batch WHERE id = ?1 OR (id < ?1 AND state = 'split')", [batch])?;
    }
    for charges in [
        "DELETE FROM record WHERE id IN (SELECT record FROM charge WHERE incident IN
           (SELECT id FROM incident WHERE resolution IN ('written off', 'dropped') AND resolved_ms < ?1))",
        "DELETE FROM charge WHERE incident IN
           (SELECT id FROM incident WHERE resolution IN ('written off', 'dropped') AND resolved_ms < ?1)",
    ] {
        tx.prepare_cached(charges)?.execute([before_ms])?;
    }
    Ok(old.len() == BATCHES as usize)
}

fn drop_groups(tx: &Transaction<'_>, batch: i64) -> Result<(), LedgerError> {
    let groups: Vec<(Address, i64, u32)> = tx
        .prepare_cached("SELECT vault, generation, seq FROM settlement_group WHERE batch = ?1 AND state = 'settled'")?
        .query_map([batch], |row| Ok((row.get("vault")?, row.get("generation")?, row.get("seq")?)))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        tx.prepare_cached(
            "DELETE FROM record WHERE id IN (SELECT record FROM charge WHERE vault = ?1 AND generation = ?2 AND seq = ?3)",
        )?
        .execute(group)?;
        tx.prepare_cached("DELETE FROM charge WHERE vault = ?1 AND generation = ?2 AND seq = ?3")?.execute(group)?;
        tx.prepare_cached("UPDATE vault SET pruned_seq = max(pruned_seq, ?3) WHERE vault = ?1 AND generation = ?2")?
            .execute(group)?;
        tx.prepare_cached(
            "DELETE FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3
               AND seq < (SELECT max(seq) FROM settlement_group WHERE vault = ?1 AND generation = ?2)",
        )?
        .execute(group)?;
    }
    // One that was a vault's last when its batch went, and is no longer.
    tx.prepare_cached(
        "DELETE FROM settlement_group AS g WHERE g.batch IS NOT NULL AND g.state = 'settled'
           AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = g.batch)
           AND g.seq < (SELECT max(seq) FROM settlement_group l WHERE l.vault = g.vault AND l.generation = g.generation)
           AND (g.vault, g.generation) IN (SELECT vault, generation FROM batch_group WHERE batch = ?1)",
    )?
    .execute([batch])?;
    Ok(())
}
