//! Seals what a vault's keys have spent into the next group of its chain.

use super::{CLOSED, Settler, Setup};
use crate::ledger::{GroupState, OpenVault, SealedGroup};
use crate::reader::accounts;
use crate::settle::SettleError;
use crate::settle::dust::{Sorted, filling};
use crate::settle::form::{Form, Weight};
use futures::future::join_all;

impl Settler {
    /// Seals the next group of every vault that has charges worth it and none under way, and of others that fill their
    /// transactions.
    pub(super) async fn seal(&mut self) -> Result<(), SettleError> {
        let now = self.setup.clock.unix_ms();
        let open = self.setup.ledger.vaults_to_seal().await?;
        let registry = self.setup.registry.borrow().clone();
        let Setup { vaults, config, replaced, .. } = &self.setup;
        let Sorted { due, dust } = self.waiting.sort((vaults, config, *replaced), &registry, open, now);
        self.due = due.iter().map(|open| open.vault).collect();
        let sealed = self.seal_all(due, now).await?;
        if let Some(form) = self.forms().pop() {
            let more = filling(&form, &self.setup.parties, &sealed, dust);
            self.seal_all(more, now).await?;
        }
        Ok(())
    }

    /// Seals the next group of each of these. Returns the groups.
    async fn seal_all(&mut self, due: Vec<OpenVault>, now: i64) -> Result<Vec<SealedGroup>, SettleError> {
        let mut groups = Vec::new();
        for chunk in due.chunks(accounts::VAULTS_AT_ONCE) {
            let reading = self.read_vaults(chunk.iter().map(|open| open.vault)).await?;
            // Together, so that they wait for one write.
            let mut sealing = Vec::new();
            for open in chunk {
                let OpenVault { vault, generation, .. } = open;
                if reading.is_gone(vault, *generation) {
                    let charges = self.setup.ledger.abandon_charges((*vault, *generation), CLOSED, now).await?;
                    tracing::error!(%vault, generation, charges, "a vault was closed before its charges were sealed");
                    continue;
                }
                let Some(on_chain) = reading.vaults.get(vault).filter(|v| v.generation == *generation) else {
                    continue;
                };
                let head = (on_chain.settle_seq, on_chain.settle_hash);
                let parties = self.setup.parties;
                let fits = move |group: &SealedGroup| Form::Plain.fits(&parties, [&Weight::of(&parties, group)]);
                let ledger = &self.setup.ledger;
                sealing.push(async move { (vault, ledger.seal(open.clone(), head, fits).await) });
            }
            let mut failure = None;
            for (vault, sealed) in join_all(sealing).await {
                // A vault that was sealed is noted even if sealing another one failed.
                let sealed = match sealed {
                    Ok(sealed) => sealed,
                    Err(error) => {
                        failure = failure.or(Some(error));
                        continue;
                    }
                };
                match sealed {
                    GroupState::Idle => {}
                    GroupState::Behind => self.problem = Some(format!("the nodes' reading of vault {vault} is old")),
                    GroupState::Halted => self.halt(*vault),
                    GroupState::Sealed(group, totals) => {
                        self.setup.vaults.sealed(&group, &totals);
                        self.resume(vault);
                        tracing::debug!(%vault, seq = group.seq, receipts = group.receipts, "sealed");
                        groups.push(group);
                    }
                }
            }
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        Ok(groups)
    }
}
