//! A partition of the ledger at work: the ledger, its vaults, and the tasks that belong to them. A process that runs alone has one, which is the
//! whole ledger.

use super::{StartError, read_keypair};
use crate::allow_lists::AllowLists;
use crate::board;
use crate::chain::SettlementAccounts;
use crate::chain::rpc::Rpc;
use crate::clock::{Clock, DAY_MS};
use crate::config::{Config, SettleConfig};
use crate::ledger::partitions::Share;
use crate::ledger::{Ledger, LedgerError, Location, Siblings};
use crate::node::gateway::{Faucet, Gateway, Sponsor};
use crate::node::{Node, Shared};
use crate::probe::Prober;
use crate::reader::Reader;
use crate::settle::{Settler, Setup};
use crate::vaults::{Directory, Identity, Vaults};
use crate::withdrawals::Withdrawals;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::{Address, Hash};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Pause between two looks for what was kept as long as configured.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Pause between two looks at what became of the openings that were paid for.
const SPONSOR_EVERY: Duration = Duration::from_secs(10);

/// Opens a ledger for the deployment and the relayer that are named.
pub(super) type Open = dyn Fn(Location, Hash, Address) -> BoxFuture<'static, Result<Ledger, LedgerError>> + Send + Sync;

/// Opens one on a thread that may wait.
pub(super) fn open(place: Location, domain: Hash, relayer: Address) -> BoxFuture<'static, Result<Ledger, LedgerError>> {
    Box::pin(async move {
        let opening = tokio::task::spawn_blocking(move || Ledger::open(place, &domain, &relayer));
        opening.await.map_err(|_| LedgerError::Closed)?
    })
}

/// What a process opens partitions with.
pub(super) struct Site {
    pub(super) shared: Arc<Shared>,
    pub(super) reader: Arc<Mutex<Reader>>,
    /// All of the relayer's vaults.
    pub(super) directory: Arc<Directory>,
    pub(super) nodes: Vec<Arc<dyn Rpc>>,
    pub(super) parties: SettlementAccounts,
    pub(super) domain: Hash,
    pub(super) settler: Keypair,
    pub(super) receipts: SigningKey,
    pub(super) receipt_key_id: u32,
    /// How long dust may wait whose price was replaced.
    pub(super) replaced: Duration,
    pub(super) opens: Arc<Open>,
}

/// A partition that is open.
pub(super) struct Partition {
    /// What its requests see.
    pub(super) node: Arc<Node>,
    share: Share,
    /// Ends what goes on beside requests, once nothing new can be charged, or if nobody has the partition any more.
    background: DropGuard,
    workers: TaskTracker,
}

impl Site {
    /// Opens a partition, the one of `siblings` that is at `place`, as a start of the relayer does: loads what is owed, reads the chain after that, and compares both, before
    /// anything is sold.
    ///
    /// # Errors
    /// [`StartError`]; it is not open then.
    pub(super) async fn open(
        &self,
        place: Location,
        siblings: Option<Siblings>,
        share: Share,
    ) -> Result<Partition, StartError> {
        let (ledger, vaults) = self.load(place, siblings, share).await?;
        self.begin(ledger, vaults, share).await
    }

    /// Opens the ledger, and loads from it what vaults owe and which requests cannot come again.
    async fn load(
        &self,
        place: Location,
        siblings: Option<Siblings>,
        share: Share,
    ) -> Result<(Ledger, Arc<Vaults>), StartError> {
        let (domain, relayer, clock) = (self.domain, self.parties.relayer, &self.shared.clock);
        let ledger = (self.opens)(place, domain, relayer.to_bytes()).await?;
        let ledger = match siblings {
            Some(siblings) => ledger.beside(&siblings, share.partition),
            None => ledger,
        };
        ledger.want_free(self.shared.config.ledger.min_free_bytes);
        let remembered_since = (clock.unix() - crate::vaults::REMEMBER_SECONDS) * 1_000;
        ledger.finish_sealing().await?;
        let loaded = ledger.load(remembered_since).await?;
        let identity = Identity { domain, relayer, key_id: self.receipt_key_id, receipt_key: self.receipts.clone() };
        let vaults = Vaults::new(identity, ledger.clone(), clock.clone(), loaded);
        Ok((ledger, Arc::new(vaults.sharing(share, self.directory.clone()))))
    }

    async fn begin(&self, ledger: Ledger, vaults: Arc<Vaults>, share: Share) -> Result<Partition, StartError> {
        let (shared, parties) = (&self.shared, self.parties);
        let config = &shared.config;
        let allow_lists = AllowLists::load(ledger.clone(), vaults.clone()).await?;
        let withdrawals = Withdrawals::new(vaults.clone(), ledger.clone(), parties, self.settler.insecure_clone());
        // What a page asks of the chain is bounded for all vaults together, so that one partition has it.
        let home = share.partition == 0;
        let sponsor = if home { sponsor(config, &parties, &ledger, &shared.clock)? } else { None };
        let givers = (faucet(config, &parties)?, sponsor);
        let gateway = Gateway::new(self.nodes.clone(), parties, config.server.chain_requests_per_second, givers);
        {
            let mut reader = self.reader.lock().await;
            reader.begin(&vaults);
            reader.read().await?;
        }
        let (mut settlement, settle) = Settler::new(self.settlement(&ledger, &vaults));
        settlement.survey().await?;
        if home {
            board::restore(&shared.board, &ledger, shared.clock.unix_ms()).await?;
            board::seed_from_history(&shared.board, &shared.scorer, shared.clock.unix_ms());
        }
        // From here on nothing fails.
        let (background, workers) = (CancellationToken::new(), TaskTracker::new());
        workers.spawn(settlement.run(background.clone()));
        let days = config.ledger.keep_receipts_days;
        workers.spawn(prune(ledger.clone(), shared.clock.clone(), days, background.clone()));
        if home {
            let (board, registry) = (shared.board.clone(), shared.registry.clone());
            workers.spawn(board::keep(board, registry, ledger.clone(), shared.clock.clone(), background.clone()));
        }
        let shutdown = shared.stopping.child_token();
        let node = Arc::new(Node {
            shared: shared.clone(),
            vaults,
            allow_lists,
            withdrawals,
            gateway,
            ledger,
            settle,
            tasks: TaskTracker::new(),
            shutdown,
            ending: CancellationToken::new(),
        });
        if node.gateway.sponsor().is_some() {
            workers.spawn(watch_sponsor(node.clone()));
        }
        Ok(Partition { node, share, background: background.drop_guard(), workers })
    }

    fn settlement(&self, ledger: &Ledger, vaults: &Arc<Vaults>) -> Setup {
        let config = &self.shared.config;
        Setup {
            ledger: ledger.clone(),
            vaults: vaults.clone(),
            nodes: self.nodes.clone(),
            clock: self.shared.clock.clone(),
            parties: self.parties,
            keypair: self.settler.insecure_clone(),
            config: settlement_of(config),
            alerts: config.alerts.clone(),
            registry: self.shared.registry.clone(),
            replaced: self.replaced,
        }
    }
}

impl Partition {
    /// Starts the probes, if the operator pays for any out of a vault of this partition.
    ///
    /// # Errors
    /// [`StartError::Probe`].
    pub(super) async fn probe(&self) -> Result<(), StartError> {
        if let Some(prober) = Prober::new(self.node.clone(), self.share).await? {
            self.workers.spawn(prober.run());
        }
        Ok(())
    }

    /// Ends what goes on beside requests, once those have ended. What is sealed or sent by then is taken up by whoever opens the
    /// partition next.
    pub(super) async fn close(self) {
        self.node.shutdown.cancel();
        drop(self.background);
        self.workers.close();
        self.workers.wait().await;
        if let Err(error) = self.node.ledger.close().await {
            tracing::warn!(%error, "the ledger had ended before it was closed");
        }
    }
}

/// How charges are settled. A local network's transactions cost nobody anything: nothing waits there.
fn settlement_of(config: &Config) -> SettleConfig {
    let min_fee_microusdc = if config.upstream.localnet { 0 } else { config.settle.min_fee_microusdc };
    SettleConfig { min_fee_microusdc, ..config.settle.clone() }
}

/// Drops what was settled `days` ago, a little at a time, until `shutdown`.
async fn prune(ledger: Ledger, clock: Arc<dyn Clock>, days: u32, shutdown: CancellationToken) {
    if days == 0 {
        return;
    }
    loop {
        let before = clock.unix_ms() - i64::from(days) * DAY_MS;
        let more = ledger.prune(before).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is older than ledger.keep_receipts_days could not be dropped");
            false
        });
        let pause = if more { Duration::from_millis(20) } else { PRUNE_EVERY };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The faucet, if one is configured.
fn faucet(config: &Config, accounts: &SettlementAccounts) -> Result<Option<Faucet>, StartError> {
    let path = &config.chain.faucet_keypair;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    Ok(Some(Faucet::new(read_keypair(path)?, accounts.mint)))
}

/// Who pays for openings, if somebody does. It has nothing else to do: whatever it signs could otherwise be about something else.
fn sponsor(
    config: &Config,
    accounts: &SettlementAccounts,
    ledger: &Ledger,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Sponsor>, StartError> {
    let settings = &config.sponsor;
    if settings.keypair.as_os_str().is_empty() {
        return Ok(None);
    }
    let keypair = read_keypair(&settings.keypair)?;
    if [accounts.settler, read_keypair(&config.chain.receipt_keypair)?.pubkey()].contains(&keypair.pubkey()) {
        return Err(StartError::Mismatch(
            "sponsor.keypair is the settler's or the one of receipts: make another one with `steam keygen`, and send it SOL".into(),
        ));
    }
    Ok(Some(Sponsor::new(keypair, settings.clone(), ledger.clone(), clock.clone())))
}

/// Finds out what became of openings until the relayer shuts down.
async fn watch_sponsor(node: Arc<Node>) {
    loop {
        match node.gateway.resolve_sponsored().await {
            Ok(counted) => node.metrics.sponsor(counted, node.gateway.sponsor_lamports().await),
            Err(error) => {
                tracing::warn!(%error, "what became of sponsored openings is not known yet, so all of them count")
            }
        }
        tokio::select! {
            () = node.shutdown.cancelled() => return,
            () = tokio::time::sleep(SPONSOR_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Pubkey;
    use crate::clock::SystemClock;
    use crate::relay::testing::world::World;

    #[tokio::test]
    async fn what_goes_on_beside_requests_ends_with_its_partition() {
        let world = World::new(Vec::new()).await;
        let (background, workers) = (CancellationToken::new(), TaskTracker::new());
        let ends = background.clone();
        workers.spawn(async move { ends.cancelled().await });
        let (share, waiting) = (Share::WHOLE, workers.clone());
        drop(Partition { node: world.node.clone(), share, background: background.drop_guard(), workers });
        waiting.close();
        tokio::time::timeout(Duration::from_secs(10), waiting.wait()).await.expect("it has ended");
    }

    #[test]
    fn the_sponsor_is_neither_the_settler_nor_the_receipt_key() {
        let files = tempfile::tempdir().unwrap();
        let write = |seed: u8| {
            let path = files.path().join(format!("{seed}.json"));
            std::fs::write(&path, format!("{:?}", Keypair::new_from_array([seed; 32]).to_bytes())).unwrap();
            path
        };
        let at = |seed: u8| Keypair::new_from_array([seed; 32]).pubkey();
        let zero = Pubkey::default();
        let accounts = SettlementAccounts {
            program: zero,
            config: zero,
            relayer: zero,
            settler: at(7),
            fee_token: zero,
            mint: zero,
        };
        let ledger = Ledger::open(&files.path().join("steam.db"), &[0; 32], &[0; 32]).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut config = Config::default();
        config.chain.receipt_keypair = write(8);
        assert!(sponsor(&config, &accounts, &ledger, &clock).unwrap().is_none(), "off unless it is named");
        for (seed, taken) in [(7, true), (8, true), (9, false)] {
            config.sponsor.keypair = write(seed);
            match sponsor(&config, &accounts, &ledger, &clock) {
                Err(error) => assert!(taken && error.to_string().contains("sponsor.keypair"), "{seed}: {error}"),
                Ok(found) => assert_eq!((taken, found.unwrap().address()), (false, at(seed))),
            }
        }
        config.sponsor.keypair = files.path().join("none.json");
        let error = sponsor(&config, &accounts, &ledger, &clock).unwrap_err().to_string();
        assert!(error.contains("none.json"), "{error}");
    }
}
