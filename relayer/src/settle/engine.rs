//! One round after another: resolve what was sent, seal what is due, batch it, sign, store, send.

use super::tables::Tables;
use super::{SettleError, Status, alerts};
use crate::chain::quorum::within;
use crate::chain::rpc::Rpc;
use crate::chain::{Pubkey, SettlementAccounts};
use crate::clock::Clock;
use crate::config::{AlertConfig, SettleConfig};
use crate::ledger::Ledger;
use crate::ledger::recovery::ChainPosition;
use crate::reader::accounts;
use crate::registry::Registry;
use crate::settle::dust::Waiting;
use crate::vaults::Vaults;
use solana_keypair::Keypair;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use version::Version1;

mod batch;
mod monitor;
mod resolve;
mod seal;
mod submit;
mod tables;
mod version;

/// The reason recorded with the quarantined charges of a closed vault.
const CLOSED: &str = "the vault was closed before it was seen to be settled";

/// Time that a round under way has to end once the relayer is to end: its nodes may not answer.
const LAST_ROUND: Duration = Duration::from_secs(5);

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
    /// What the chain says about prices.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// How long dust may wait whose price was replaced, see [`crate::settle::grace`].
    pub replaced: Duration,
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
    waiting: Waiting,
    /// Vaults that were to be settled in the last round.
    due: HashSet<Pubkey>,
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
            waiting: Waiting::default(),
            due: HashSet::new(),
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
            // What a round has begun is taken up at the next start, whether or not it comes to its end.
            let late = async {
                shutdown.cancelled().await;
                tokio::time::sleep(LAST_ROUND).await;
            };
            let result = tokio::select! {
                result = self.round(round) => result,
                () = late => return,
            };
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
        self.setup.ledger.finish_sealing().await?;
        let open = self.setup.ledger.open_batches().await?;
        // Not when a group is voided, alone: the answer of that write may be lost. And before what was set aside is taken off.
        open.iter().flat_map(|batch| &batch.groups).for_each(|group| self.owe_voided(group));
        let seen = self.observe(&open).await?;
        self.height = seen.height;
        for batch in open {
            let id = batch.id;
            if !self.advance(batch, &seen).await? {
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
