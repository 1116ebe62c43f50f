//! Drops what was settled or decided long ago, a few batches at a time.

use super::charges::find_vault;
use super::{Database, Value, values};
use crate::ledger::LedgerError;
use steam_protocol::Address;

/// Batches dropped in one transaction: requests are charged between two.
const BATCHES: u32 = 16;

/// Drops some of what was settled or decided before `before_ms`; says whether there is more.
pub(super) fn prune(db: &dyn Database, before_ms: i64) -> Result<bool, LedgerError> {
    // In the order they were settled: what goes of a vault is the beginning of its chain.
    let old: Vec<i64> = db.rows(
        "SELECT id FROM batch WHERE state = 'done' AND done_ms < ?1 ORDER BY done_ms, id LIMIT ?2",
        values![before_ms, BATCHES],
        |row| row.get("id"),
    )?;
    for batch in &old {
        drop_groups(db, *batch)?;
        // Earlier batches that were split or released have no groups left.
        for table in ["attempt", "batch_group"] {
            db.execute(
                &format!("DELETE FROM {table} WHERE batch = ?1 OR batch IN (SELECT id FROM batch WHERE id < ?1 AND state = 'split')"),
                values![*batch],
            )?;
        }
        db.execute("DELETE FROM batch WHERE id = ?1 OR (id < ?1 AND state = 'split')", values![*batch])?;
    }
    drop_charges(
        db,
        "incident IN (SELECT id FROM incident WHERE resolution IN ('written off', 'dropped') AND resolved_ms < ?1)",
        values![before_ms],
    )?;
    db.execute(
        "DELETE FROM charged_minute WHERE minute < ?1 AND minute < (SELECT max(minute) FROM charged_minute)",
        values![before_ms.div_euclid(60_000)],
    )?;
    Ok(old.len() == BATCHES as usize)
}

fn drop_groups(db: &dyn Database, batch: i64) -> Result<(), LedgerError> {
    let groups: Vec<(Address, i64, u32)> = db.rows(
        "SELECT vault, generation, seq FROM settlement_group WHERE batch = ?1 AND state = 'settled'",
        values![batch],
        |row| Ok((row.get("vault")?, row.get("generation")?, row.get("seq")?)),
    )?;
    for (vault, generation, seq) in groups {
        if let Some(row) = find_vault(db, (vault, generation))? {
            drop_charges(db, "vault = ?1 AND seq = ?2", values![row, seq])?;
        }
        let group = values![&vault, generation, seq];
        db.execute("UPDATE vault SET pruned_seq = ?3 WHERE vault = ?1 AND generation = ?2 AND pruned_seq < ?3", group)?;
        db.execute(
            "DELETE FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq = ?3
               AND seq < (SELECT max(seq) FROM settlement_group WHERE vault = ?1 AND generation = ?2)",
            group,
        )?;
    }
    // Groups of pruned batches that were kept as the last of their vault and are not the last any more.
    db.execute(
        "DELETE FROM settlement_group AS g WHERE g.batch IS NOT NULL AND g.state = 'settled'
           AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = g.batch)
           AND g.seq < (SELECT max(seq) FROM settlement_group l WHERE l.vault = g.vault AND l.generation = g.generation)
           AND (g.vault, g.generation) IN (SELECT vault, generation FROM batch_group WHERE batch = ?1)",
        values![batch],
    )?;
    Ok(())
}

/// Drops the charges of which `condition` holds, with everything that is said of them elsewhere.
fn drop_charges(db: &dyn Database, condition: &str, values: &[Value<'_>]) -> Result<(), LedgerError> {
    for table in ["record WHERE id", "idempotent_request WHERE charge"] {
        db.execute(&format!("DELETE FROM {table} IN (SELECT id FROM charge WHERE {condition})"), values)?;
    }
    db.execute(&format!("DELETE FROM charge WHERE {condition}"), values)?;
    Ok(())
}
