//! What has waited for its settlement.

use super::{Reader, charges, values};
use crate::ledger::LedgerError;
use crate::ledger::backlog::Backlog;

impl Reader {
    /// What waits, at the finalized block `height`, and what was spent since `since_ms`.
    pub(in crate::ledger) fn backlog(&self, height: u64, since_ms: i64) -> Result<Backlog, LedgerError> {
        // Charges are numbered and stored in the order in which they were made.
        let sealed = self.db().rows(
            "SELECT r.receipt FROM record r WHERE r.id IN (
               SELECT (SELECT min(c.id) FROM charge c WHERE c.vault = v.id AND c.seq = g.seq) FROM settlement_group g
               JOIN vault v ON v.vault = g.vault AND v.generation = g.generation WHERE g.state = 'sealed')
             ORDER BY r.id",
            &[],
            |row| {
                let receipt = charges::receipt(row)?;
                Ok((receipt.vault.into(), receipt.started_at_ms))
            },
        )?;
        self.db().one(
            "SELECT (SELECT count(*) FROM settlement_group
                     WHERE state = 'sealed' AND batch IS NULL AND not_before_height > ?1) AS skipped,
                    (SELECT count(*) FROM incident INDEXED BY incident_open WHERE resolution IS NULL) AS incidents,
                    (SELECT CAST(coalesce(sum(lamports), 0) AS BIGINT) FROM batch INDEXED BY batch_done
                     WHERE state = 'done' AND done_ms > ?2) AS lamports",
            values![height as i64, since_ms],
            |row| {
                Ok(Backlog {
                    sealed: sealed.clone(),
                    skipped_groups: row.unsigned("skipped")?,
                    quarantined: row.unsigned("incidents")?,
                    lamports: row.unsigned("lamports")?,
                })
            },
        )
    }
}
