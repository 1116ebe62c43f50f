//! One round after another: resolve what was sent, seal what is due, batch it, sign, store, send.

use super::form::{self, Form, Weight};
use super::tables::Tables;
use super::{SettleError, Status, agreed, alerts};
use crate::chain::quorum::within;
use crate::chain::rpc::Rpc;
use crate::chain::{Pubkey, SettlementAccounts};
use crate::clock::Clock;
use crate::config::{AlertConfig, SettleConfig};
use crate::ledger::recovery::ChainPosition;
use crate::ledger::{Batch, GroupState, Ledger, OpenVault, SealedGroup};
use crate::reader::accounts;
use crate::vaults::Vaults;
use futures::future::{join_all, try_join_all};
use judge::{Head, Look, Verdict, head, signature};
use solana_keypair::Keypair;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::units::MicroUsdc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use version::Version1;

mod judge;
mod monitor;
mod submit;
mod version;

/// Blocks before a group that the program skipped, because its vault was frozen or too poor, is first tried again: about
/// half a minute. Not seconds: the machine's clock may be set wrong and right again.
const SKIPPED_RETRY_BLOCKS: u32 = 100;

/// Signatures that a node tells the status of in one answer.
const STATUSES_AT_ONCE: usize = 256;

/// The reason recorded with the quarantined charges of a closed vault.
const CLOSED: &str = "the vault was closed before it was seen to be settled";

/// Everything a settler works with.
pub struct Setup {
    /// Charges and groups.
    pub ledger: Ledger,
    /// Money in memory.
    pub vaults: Arc<Vaults>,
    /// The chain: what decides must be the same at every node.
    pub nodes: Vec<Arc<dyn Rpc>>,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Who settles.
    pub parties: SettlementAccounts,
    /// The settler's key: signs and pays.
    pub keypair: Keypair,
    /// Pace and prices.
    pub config: SettleConfig,
    /// When to alert a person.
    pub alerts: AlertConfig,
}

/// What a round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Brings on what is under way.
    Resolve,
    /// Seals new groups as well, applies what was decided about incidents and looks after lookup tables.
    Seal,
}

/// The one task that settles.
pub struct Settler {
    setup: Setup,
    status: watch::Sender<Status>,
    halted: BTreeSet<Pubkey>,
    version1: Version1,
    tables: Tables,
    /// The finalized block height at the beginning of this round.
    height: u64,
    /// The node that answered last.
    asked: usize,
    /// Why a batch could not be sent in this round.
    problem: Option<String>,
}

impl Settler {
    /// A settler and where it stands.
    pub fn new(setup: Setup) -> (Self, watch::Receiver<Status>) {
        let (status, watch) = watch::channel(Status::default());
        let version1 = Version1::new(setup.config.transaction);
        let settler = Self {
            setup,
            status,
            halted: BTreeSet::new(),
            version1,
            tables: Tables::default(),
            height: 0,
            asked: 0,
            problem: None,
        };
        (settler, watch)
    }

    /// Settles until `shutdown`; what was sent by then is resolved at the next start.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let pace = Duration::from_millis(self.setup.config.resend_ms.min(self.setup.config.interval_ms));
        let interval = Duration::from_millis(self.setup.config.interval_ms);
        let mut seal_at = Instant::now();
        loop {
            let round = if Instant::now() >= seal_at { Round::Seal } else { Round::Resolve };
            let result = self.round(round).await;
            if round == Round::Seal && result.is_ok() {
                seal_at = Instant::now() + interval;
            }
            if let Err(error) = result {
                tracing::warn!(%error, "settlement did not advance");
                self.problem = Some(error.to_string());
            }
            if round == Round::Seal
                && let Err(error) = self.watch().await
            {
                tracing::warn!(%error, "it is not known where settlement stands");
            }
            let problem = self.problem.take();
            self.status.send_modify(|status| status.problem = problem);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pace) => {}
            }
        }
    }

    /// One round. Groups under way come first, also after a restart.
    ///
    /// # Errors
    /// [`SettleError`]; what was done until then stays done.
    pub async fn round(&mut self, round: Round) -> Result<(), SettleError> {
        let mut waiting = BTreeSet::new();
        let open = self.setup.ledger.open_batches().await?;
        let look = self.look(&open).await?;
        self.height = look.height;
        for batch in open {
            let id = batch.id;
            if !self.advance(batch, &look).await? {
                waiting.insert(id);
            }
        }
        if round == Round::Seal {
            self.apply_incidents().await?;
            let doubted: BTreeSet<Pubkey> =
                self.setup.vaults.in_doubt().into_iter().chain(self.halted.clone()).collect();
            let doubted: Vec<Pubkey> = doubted.into_iter().collect();
            self.compare_heads(&doubted).await?;
            self.seal().await?;
        }
        if self.uses_tables() {
            self.read_tables().await?;
        }
        self.form_batches().await?;
        for batch in self.setup.ledger.open_batches().await? {
            if !waiting.contains(&batch.id) && batch.attempts.iter().all(|attempt| attempt.dead) {
                self.submit(batch).await?;
            }
        }
        if round == Round::Seal {
            self.tend_tables().await;
        }
        self.report().await
    }

    /// Acts on the verdict about a batch. Returns false if there is no verdict yet: nothing may be done about the batch then.
    async fn advance(&mut self, batch: Batch, look: &Look) -> Result<bool, SettleError> {
        match self.judge(&batch, look)? {
            Verdict::Done { signature, applied, skipped } => {
                let transaction = signature.as_deref().unwrap_or_default();
                for group in &applied {
                    tracing::info!(vault = %group.vault, seq = group.seq, receipts = group.receipts, transaction, "settled");
                }
                for group in &skipped {
                    tracing::warn!(vault = %group.vault, seq = group.seq, "the program skipped a group: its vault is frozen or holds too little");
                }
                let (now, height) = (self.setup.clock.unix_ms(), look.height);
                let settled = !applied.is_empty();
                let attempt = batch.attempts.iter().find(|one| Some(&one.signature) == signature.as_ref());
                let transaction = attempt.map(|attempt| (attempt.signature.clone(), form::fee_of(&attempt.bytes)));
                self.setup
                    .ledger
                    .finish_batch(batch.id, transaction, (applied, skipped), now, (height, SKIPPED_RETRY_BLOCKS))
                    .await?;
                if attempt.is_some_and(|attempt| form::is_v1(&attempt.bytes)) {
                    self.version1.landed();
                }
                if settled {
                    self.status.send_modify(|status| {
                        status.last_signature = signature.or(status.last_signature.take());
                        status.last_settled_at = Some(now.div_euclid(1_000));
                    });
                }
            }
            Verdict::Resend(alive) => {
                for attempt in alive {
                    self.send(&attempt.bytes).await;
                }
            }
            Verdict::Sign(dead) => {
                self.doubt_forms_of(&batch, &dead);
                self.setup.ledger.bury_attempts(dead).await?;
            }
            Verdict::Release => {
                self.setup.ledger.release_batch(batch.id).await?;
                return Ok(false);
            }
            Verdict::Wait => return Ok(false),
        }
        Ok(true)
    }

    /// Asks the chain about all batches together: one call a batch would take longer than the settlements.
    async fn look(&self, batches: &[Batch]) -> Result<Look, SettleError> {
        let (height, nodes) = agreed::present(&self.setup.nodes).await?;
        let mut signatures = Vec::new();
        for attempt in batches.iter().flat_map(|batch| &batch.attempts) {
            signatures.push(signature(attempt)?);
        }
        let mut states = HashMap::new();
        for chunk in signatures.chunks(STATUSES_AT_ONCE) {
            let told = agreed::statuses(&nodes, chunk).await?;
            states.extend(chunk.iter().zip(told).filter_map(|(signature, state)| Some((*signature, state?))));
        }
        let vaults: BTreeSet<Pubkey> =
            batches.iter().flat_map(|batch| &batch.groups).map(|group| group.vault).collect();
        let vaults: Vec<Pubkey> = vaults.into_iter().collect();
        let reading = accounts::agreed_vaults(&nodes, &self.setup.parties, &vaults).await?;
        Ok(Look { height, states, reading })
    }

    /// Compares every vault's head on chain with the ledger, before anything is sold: the ledger may be an old copy. A vault on
    /// which the nodes do not agree yet is sold nothing until they do.
    ///
    /// # Errors
    /// [`SettleError`].
    pub async fn survey(&mut self) -> Result<(), SettleError> {
        let all = self.setup.vaults.addresses();
        self.compare_heads(&all).await
    }

    /// Compares vaults with the ledger: halts those whose head is foreign, lets those go on whose head is known.
    async fn compare_heads(&mut self, addresses: &[Pubkey]) -> Result<(), SettleError> {
        if addresses.is_empty() {
            return Ok(());
        }
        let heads = self.setup.ledger.heads().await?;
        for chunk in addresses.chunks(accounts::VAULTS_AT_ONCE) {
            for (address, vault) in self.read_vaults(chunk.iter().copied()).await?.vaults {
                let known = heads.get(&(address, vault.generation)).copied().unwrap_or_default();
                match known.compare((vault.settle_seq, vault.settle_hash)) {
                    ChainPosition::Known => self.resume(&address),
                    ChainPosition::Foreign | ChainPosition::Contradicted => self.halt(address),
                    ChainPosition::Behind => {
                        self.problem = Some(format!("the nodes' reading of vault {address} is old"))
                    }
                }
            }
        }
        self.status.send_modify(|status| status.halted = self.halted.iter().copied().collect());
        Ok(())
    }

    /// Whether the fees of `open` cover their share of a transaction, or have waited for more for as long as they may. The
    /// ledger says since when, so that a restart does not let them wait anew; a clock that was set back lets nothing wait.
    fn is_worth_sealing(&self, open: &OpenVault, now: i64) -> bool {
        let Setup { vaults, config, .. } = &self.setup;
        let longest = i64::try_from(config.dust_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        !(0..longest).contains(&now.saturating_sub(open.began_ms))
            || !vaults.may_wait(&open.vault, open.generation, MicroUsdc(config.min_fee_microusdc))
    }

    /// Seals the next group of every vault that has charges worth it and none under way.
    async fn seal(&mut self) -> Result<(), SettleError> {
        let now = self.setup.clock.unix_ms();
        let open = self.setup.ledger.vaults_to_seal().await?;
        let due: Vec<OpenVault> = open.into_iter().filter(|open| self.is_worth_sealing(open, now)).collect();
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

    /// Puts sealed groups into as few batches as they fit.
    async fn form_batches(&mut self) -> Result<(), SettleError> {
        let groups = self.setup.ledger.unbatched(self.height).await?;
        let reading = self.read_vaults(groups.iter().map(|group| group.vault)).await?;
        let mut due: Vec<SealedGroup> = Vec::new();
        for group in groups {
            // Another generation's chain must not see it, not even as a void.
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

    /// Sends to every node. A failed send does not change the batch, which is sent again until it is final or dead.
    async fn send(&self, bytes: &[u8]) {
        if let Err(error) = within(&self.setup.nodes, Duration::ZERO, |node| node.send(bytes)).await {
            tracing::debug!(%error, "a node did not take a settlement");
        }
    }

    /// Takes over what people decided about incidents, and on which vaults, keys and offers nothing may be held.
    async fn apply_incidents(&self) -> Result<(), SettleError> {
        let report = self.setup.ledger.incident_report(self.setup.vaults.decisions()).await?;
        self.status.send_modify(|status| status.incidents = report.open);
        self.setup.vaults.apply_incidents(report);
        Ok(())
    }

    async fn report(&self) -> Result<(), SettleError> {
        let pending = self.setup.ledger.pending().await?;
        let waiting = self.setup.ledger.waiting().await?.len() as u64;
        let unsettled = self.setup.vaults.sums().unsettled;
        self.status.send_modify(|status| {
            status.settled_groups = pending.settled_groups;
            status.open_groups = pending.open_groups;
            status.unsettled_receipts = pending.receipts;
            status.unsettled = unsettled;
            status.waiting = waiting;
            status.halted = self.halted.iter().copied().collect();
        });
        Ok(())
    }

    fn halt(&mut self, vault: Pubkey) {
        if self.halted.insert(vault) {
            tracing::error!(%vault, "the chain's state of a vault is no state of this ledger: halted until reconciled");
        }
        self.setup.vaults.halt(&vault);
    }

    fn resume(&mut self, vault: &Pubkey) {
        if self.halted.remove(vault) {
            tracing::info!(%vault, "the chain's state of a vault is this ledger's again");
        }
        self.setup.vaults.resume(vault);
    }

    /// Vaults as all nodes have them, without those on which they differ.
    async fn read_vaults(&self, vaults: impl Iterator<Item = Pubkey>) -> Result<accounts::Reading, SettleError> {
        let addresses: Vec<Pubkey> = vaults.collect();
        Ok(accounts::agreed_vaults(&self.setup.nodes, &self.setup.parties, &addresses).await?)
    }
}

#[cfg(test)]
mod tests;
