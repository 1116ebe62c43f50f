//! What has waited for its settlement.

use super::row::Columns;
use super::{Reader, charges};
use crate::ledger::LedgerError;
use crate::ledger::backlog::Backlog;

impl Reader {
    /// What waits, at the finalized block `height`, and what was spent since `since_ms`.
    pub(in crate::ledger) fn backlog(&self, height: u64, since_ms: i64) -> Result<Backlog, LedgerError> {
        // Charges are numbered and stored in the order in which they were made.
        let mut first = self.0.prepare_cached(
            "SELECT r.receipt FROM record r WHERE r.id IN (
               SELECT (SELECT min(c.id) FROM charge c WHERE c.vault = v.id AND c.seq = g.seq) FROM settlement_group g
               JOIN vault v ON v.vault = g.vault AND v.generation = g.generation WHERE g.state = 'sealed')",
        )?;
        let mut rows = first.query([])?;
        let mut sealed = Vec::new();
        while let Some(row) = rows.next()? {
            let receipt = charges::receipt(row)?;
            sealed.push((receipt.vault.into(), receipt.started_at_ms));
        }
        let mut statement = self.0.prepare_cached(
            "SELECT (SELECT count(*) FROM settlement_group
                     WHERE state = 'sealed' AND batch IS NULL AND not_before_height > ?1) AS skipped,
                    (SELECT count(*) FROM incident INDEXED BY incident_open WHERE resolution IS NULL) AS incidents,
                    (SELECT coalesce(sum(lamports), 0) FROM batch INDEXED BY batch_done
                     WHERE state = 'done' AND done_ms > ?2) AS lamports",
        )?;
        Ok(statement.query_row([height as i64, since_ms], |row| {
            Ok(Backlog {
                sealed,
                skipped_groups: row.unsigned("skipped")?,
                quarantined: row.unsigned("incidents")?,
                lamports: row.unsigned("lamports")?,
            })
        })?)
    }
}
