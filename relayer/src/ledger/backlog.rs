//! What has waited for its settlement, and what waits in vain.

use super::{Ledger, LedgerError};

/// What there is to look after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// When the oldest request that is charged and not settled began, in Unix milliseconds.
    pub oldest_ms: Option<i64>,
    /// Groups that the program skipped and that wait for a later block.
    pub skipped_groups: u64,
    /// Times charges were set aside that wait for a person's decision.
    pub set_aside: u64,
    /// Lamports that settlements cost since the time asked for.
    pub lamports: u64,
}

impl Ledger {
    /// What waits, at the finalized block `height`, and what was spent since `since_ms`, Unix milliseconds.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn backlog(&self, height: u64, since_ms: i64) -> Result<Backlog, LedgerError> {
        self.read(move |db| {
            // A vault's oldest charge is the one of its lowest number.
            let mut statement = db.prepare_cached(
                "SELECT (SELECT min(c.started_ms) FROM (
                           SELECT vault, generation, min(number) AS number FROM charge INDEXED BY charge_open
                             WHERE seq IS NULL AND aside IS NULL GROUP BY vault, generation
                           UNION ALL
                           SELECT g.vault, g.generation, (SELECT min(number) FROM charge INDEXED BY charge_group
                             WHERE vault = g.vault AND generation = g.generation AND seq = g.seq)
                             FROM settlement_group g WHERE g.state = 'sealed') AS first
                         JOIN charge c ON c.vault = first.vault AND c.generation = first.generation
                           AND c.number = first.number),
                        (SELECT count(*) FROM settlement_group
                         WHERE state = 'sealed' AND batch IS NULL AND not_before_height > ?1),
                        (SELECT count(*) FROM incident INDEXED BY incident_open WHERE resolution IS NULL),
                        (SELECT coalesce(sum(lamports), 0) FROM batch INDEXED BY batch_done
                         WHERE state = 'done' AND done_ms > ?2)",
            )?;
            Ok(statement.query_row([height as i64, since_ms], |row| {
                let count = |at| row.get::<_, i64>(at).map(|n| n as u64);
                Ok(Backlog {
                    oldest_ms: row.get(0)?,
                    skipped_groups: count(1)?,
                    set_aside: count(2)?,
                    lamports: count(3)?,
                })
            })?)
        })
        .await
    }
}
