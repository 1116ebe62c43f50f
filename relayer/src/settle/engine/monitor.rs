//! The state of settlement, for the people who operate the relayer.

use super::{SettleError, Settler, alerts};
use crate::clock::DAY_MS;
use crate::settle::alerts::Facts;
use futures::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// Time after which a node counts as not answering.
const PATIENCE: Duration = Duration::from_secs(5);

impl Settler {
    /// Looks where settlement stands and tells what a person should know. It decides nothing, so that it goes by what
    /// each node says for itself, also when one of them does not answer.
    ///
    /// # Errors
    /// [`SettleError::Ledger`]
    pub async fn watch(&mut self) -> Result<(), SettleError> {
        let now = self.setup.clock.unix_ms();
        let waiting = self.setup.ledger.backlog(self.height, now.saturating_sub(DAY_MS)).await?;
        let pending = self.setup.ledger.pending().await?;
        let settler = &self.setup.parties.settler;
        let told = join_all(self.setup.nodes.iter().map(|node| async move {
            let height = timeout(PATIENCE, node.block_height()).await;
            let lamports = timeout(PATIENCE, node.lamports(settler)).await;
            (height.ok().and_then(Result::ok), lamports.ok().and_then(Result::ok))
        }));
        let (heights, lamports): (Vec<_>, Vec<_>) = told.await.into_iter().unzip();
        let age = |since: i64| u64::try_from(now.saturating_sub(since) / 1_000).unwrap_or_default();
        let facts = Facts {
            oldest_unsettled_seconds: self.waiting.oldest_ms(&waiting.sealed, &self.due).map(age),
            unsettled_receipts: pending.receipts,
            skipped_groups: waiting.skipped_groups,
            set_aside: waiting.quarantined,
            halted_vaults: self.halted.len() as u64,
            fees_of_day: waiting.lamports,
            settler_lamports: lamports.into_iter().flatten().min(),
            heights,
        };
        let told = alerts::of(&facts, &self.setup.alerts);
        for name in alerts::NAMES {
            let was = self.status.borrow().alerts.iter().any(|alert| alert.name == name);
            match told.iter().find(|alert| alert.name == name) {
                Some(alert) if !was => tracing::error!(alert = name, message = alert.message, "alert"),
                None if was => tracing::info!(alert = name, "alert is over"),
                Some(_) | None => {}
            }
        }
        self.status.send_modify(|status| (status.facts, status.alerts) = (facts, told));
        Ok(())
    }
}
