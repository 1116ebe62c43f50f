//! Seals what a vault's keys have spent into the next group of its chain.

use super::{CLOSED, Settler, Setup};
use crate::config::SettleConfig;
use crate::ledger::{GroupState, OpenVault, SealedGroup};
use crate::reader::accounts;
use crate::settle::SettleError;
use crate::settle::form::{Form, Weight};
use crate::vaults::Vaults;
use futures::future::join_all;
use steam_protocol::units::MicroUsdc;

/// Whether the fees of `open` cover their share of a transaction, or have waited for more for as long as they may, at `now` in
/// Unix milliseconds. The ledger says since when, so that a restart does not let them wait anew; a clock that was set back lets
/// nothing wait.
pub fn is_worth_sealing(vaults: &Vaults, config: &SettleConfig, open: &OpenVault, now: i64) -> bool {
    let longest = i64::try_from(config.dust_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    !(0..longest).contains(&now.saturating_sub(open.began_ms))
        || !vaults.may_wait(&open.vault, open.generation, MicroUsdc(config.min_fee_microusdc))
}

impl Settler {
    /// Seals the next group of every vault that has charges worth it and none under way.
    pub(super) async fn seal(&mut self) -> Result<(), SettleError> {
        let now = self.setup.clock.unix_ms();
        let open = self.setup.ledger.vaults_to_seal().await?;
        let Setup { vaults, config, .. } = &self.setup;
        let due: Vec<OpenVault> = open.into_iter().filter(|open| is_worth_sealing(vaults, config, open, now)).collect();
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
                    }
                }
            }
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        Ok(())
    }
}
