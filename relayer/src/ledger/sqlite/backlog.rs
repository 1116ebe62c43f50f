//! What has waited for its settlement.

use super::Reader;
use super::row::Columns;
use crate::ledger::LedgerError;
use crate::ledger::backlog::Backlog;

impl Reader {
    /// What waits, at the finalized block `height`, and what was spent since `since_ms`.
    pub(in crate::ledger) fn backlog(&self, height: u64, since_ms: i64) -> Result<Backlog, LedgerError> {
        // A vault's oldest charge is the one of its lowest number.
        let mut statement = self.0.prepare_cached(
            "SELECT (SELECT min(c.started_ms) FROM (
                       SELECT vault, generation, min(number) AS number FROM charge INDEXED BY charge_open
                         WHERE seq IS NULL AND quarantined IS NULL GROUP BY vault, generation
                       UNION ALL
                       SELECT g.vault, g.generation, (SELECT min(number) FROM charge INDEXED BY charge_group
                         WHERE vault = g.vault AND generation = g.generation AND seq = g.seq)
                         FROM settlement_group g WHERE g.state = 'sealed') AS first
                     JOIN charge c ON c.vault = first.vault AND c.generation = first.generation
                       AND c.number = first.number) AS oldest_ms,
                    (SELECT count(*) FROM settlement_group
                     WHERE state = 'sealed' AND batch IS NULL AND not_before_height > ?1) AS skipped,
                    (SELECT count(*) FROM incident INDEXED BY incident_open WHERE resolution IS NULL) AS incidents,
                    (SELECT coalesce(sum(lamports), 0) FROM batch INDEXED BY batch_done
                     WHERE state = 'done' AND done_ms > ?2) AS lamports",
        )?;
        Ok(statement.query_row([height as i64, since_ms], |row| {
            Ok(Backlog {
                oldest_ms: row.get("oldest_ms")?,
                skipped_groups: row.unsigned("skipped")?,
                quarantined: row.unsigned("incidents")?,
                lamports: row.unsigned("lamports")?,
            })
        })?)
    }
}
