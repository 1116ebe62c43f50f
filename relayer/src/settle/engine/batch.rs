//! Puts sealed groups into batches: one batch is one transaction.

use super::resolve::{Head, head};
use super::{CLOSED, Settler};
use crate::ledger::SealedGroup;
use crate::settle::SettleError;
use crate::settle::form::Weight;
use futures::future::try_join_all;

impl Settler {
    /// Puts sealed groups into as few batches as they fit.
    pub(super) async fn form_batches(&mut self) -> Result<(), SettleError> {
        let groups = self.setup.ledger.unbatched(self.height).await?;
        let reading = self.read_vaults(groups.iter().map(|group| group.vault)).await?;
        let mut due: Vec<SealedGroup> = Vec::new();
        for group in groups {
            // The group must not reach a later vault of the same address, not even as a void group.
            if reading.is_gone(&group.vault, group.generation) {
                tracing::error!(vault = %group.vault, seq = group.seq, "a vault was closed before a group could settle");
                self.setup.ledger.abandon_group(&group, CLOSED, self.setup.clock.unix_ms()).await?;
                self.setup.vaults.unsealed(&group);
                continue;
            }
            // A halted vault waits for a person, and its group does not delay those of other vaults.
            if let Some(vault) = reading.vaults.get(&group.vault)
                && matches!(head(&group, vault), Head::Foreign)
            {
                self.halt(group.vault);
                continue;
            }
            due.push(group);
        }
        let batches = self.pack(due);
        try_join_all(batches.into_iter().map(|groups| self.setup.ledger.create_batch(groups))).await?;
        Ok(())
    }

    /// Groups, in the order of their vaults, by the transaction they go into.
    fn pack(&mut self, mut groups: Vec<SealedGroup>) -> Vec<Vec<SealedGroup>> {
        let weights = self.weigh(&groups);
        let Some(form) = self.forms().pop().filter(|_| !groups.is_empty()) else { return Vec::new() };
        if self.uses_tables() {
            self.tables.count(&self.setup.parties, &form, &weights);
        }
        let sizes = form.pack(&self.setup.parties, &weights);
        sizes.into_iter().map(|size| groups.drain(..size).collect()).collect()
    }

    pub(super) fn weigh(&self, groups: &[SealedGroup]) -> Vec<Weight> {
        groups.iter().map(|group| Weight::of(&self.setup.parties, group)).collect()
    }
}
