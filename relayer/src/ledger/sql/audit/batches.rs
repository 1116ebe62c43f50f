//! The batches: each tree has its root, and the leaves of the groups that it settled.

use super::name;
use crate::ledger::LedgerError;
use crate::ledger::audit::Audit;
use crate::ledger::sql::{Database, Row, values};
use std::collections::HashMap;
use steam_protocol::{Address, Hash, merkle};

/// By vault, generation and seq.
type LeavesOfGroups = HashMap<(Address, i64, u32), Vec<Hash>>;

pub(super) fn look(db: &dyn Database, leaves_of: &LeavesOfGroups, audit: &mut Audit) -> Result<(), LedgerError> {
    for id in db.rows("SELECT id FROM batch ORDER BY id", &[], |row| row.get("id"))? {
        audit.batches += 1;
        batch(db, id, leaves_of, audit)?;
    }
    let lost: bool = db.one(
        "SELECT EXISTS (SELECT 1 FROM settlement_group g WHERE g.batch IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.id = g.batch)
           AND g.seq > (SELECT pruned_seq FROM vault v WHERE v.vault = g.vault AND v.generation = g.generation)) AS lost",
        &[],
        |row| row.get("lost"),
    )?;
    audit.expect(!lost, "batch", &"file", "a group is in a batch that is not there");
    Ok(())
}

fn batch(db: &dyn Database, id: i64, leaves_of: &LeavesOfGroups, audit: &mut Audit) -> Result<(), LedgerError> {
    let (root, leaves, state) = db.one("SELECT root, leaves, state FROM batch WHERE id = ?1", values![id], |row| {
        Ok((row.get::<Hash>("root")?, row.get::<Vec<u8>>("leaves")?, row.get::<String>("state")?))
    })?;
    let leaves = leaves.as_chunks::<32>().0;
    audit.expect(merkle::root(leaves) == root, "batch", &format!("batch {id}"), "its root is not that of its leaves");
    db.each(
        "SELECT bg.vault, bg.generation, bg.seq, bg.first_leaf, g.state, g.receipts, v.pruned_seq FROM batch_group bg
         JOIN settlement_group g ON g.vault = bg.vault AND g.generation = bg.generation AND g.seq = bg.seq
           AND g.batch = bg.batch
         JOIN vault v ON v.vault = bg.vault AND v.generation = bg.generation WHERE bg.batch = ?1",
        values![id],
        |row| group(row, (id, leaves, &state), leaves_of, audit),
    )
}

/// Looks at a group that a batch carried.
fn group(
    group: &dyn Row,
    (id, leaves, state): (i64, &[Hash], &str),
    leaves_of: &LeavesOfGroups,
    audit: &mut Audit,
) -> Result<(), LedgerError> {
    let (vault, generation, seq): (Address, i64, u32) =
        (group.get("vault")?, group.get("generation")?, group.get("seq")?);
    if seq <= group.get::<u32>("pruned_seq")? {
        return Ok(());
    }
    let at = format!("batch {id}, vault {} group {seq}", name(vault));
    let (first, receipts): (u32, u32) = (group.get("first_leaf")?, group.get("receipts")?);
    let own = leaves_of.get(&(vault, generation, seq)).map_or(&[][..], Vec::as_slice);
    let part = leaves.get(first as usize..first as usize + receipts as usize);
    audit.expect(part == Some(own), "batch", &at, "its leaves are not the group's receipts");
    let group_state: String = group.get("state")?;
    let fits = matches!((state, group_state.as_str()), ("done", "settled") | ("open", "sealed"));
    let problem = "a batch that is done has groups that are not settled, or the other way round";
    audit.expect(fits, "batch", &at, problem);
    Ok(())
}
