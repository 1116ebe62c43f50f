//! A process's part of a ledger that several share, without anything that listens: for those who give it another clock, nodes and ledgers, and
//! carry requests to it themselves.

use super::entry::Entry;
use super::keeper::Keeper;
use super::partition::Open;
use super::{Deployment, StartError, Surroundings};
use crate::chain::SettlementAccounts;
use crate::chain::rpc::Rpc;
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::partitions::Partitions;
use crate::ledger::{LedgerError, Location};
use crate::node::held::Held;
use crate::node::{Random, Shared};
use crate::reader::{Reader, accounts};
use crate::replicas::secret::Secret;
use crate::upstream::Upstream;
use ed25519_dalek::SigningKey;
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a process is given.
pub struct Setup {
    /// The configuration, of which nothing is read that names a file or a server.
    pub config: Config,
    /// Where the ledger is: on a simulated server.
    pub ledger: Location,
    /// The process's name, which no other one ever has.
    pub id: String,
    /// Where the others reach it.
    pub address: String,
    /// The nodes of the cluster.
    pub nodes: Vec<Arc<dyn Rpc>>,
    /// The accounts of the relayer.
    pub parties: SettlementAccounts,
    /// Who signs settlements.
    pub settler: Keypair,
    /// Who signs receipts.
    pub receipts: SigningKey,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// All randomness.
    pub rng: StdRng,
    /// What calls providers, of whom none is called: many processes may share one, since it reads the system's certificates.
    pub upstream: Arc<Upstream>,
    /// Opens a partition for writing.
    pub opens: Arc<Open>,
}

/// A process at work. What it has begun goes on until its runtime ends.
pub struct Seat {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    leaving: CancellationToken,
}

impl Seat {
    /// Reads the chain, and takes its part of the ledger from then on.
    ///
    /// # Errors
    /// [`StartError`], with nothing left running.
    pub async fn take(setup: Setup) -> Result<Self, StartError> {
        let Setup { config, ledger, id, address, nodes, parties, settler, receipts, clock, rng, upstream, opens } =
            setup;
        let of = config.replicas.partitions;
        let pause = config.chain.pause();
        let registry = accounts::agreed_registry(&nodes, &parties.program, &parties.relayer, None).await?;
        let deployment = Deployment { nodes, parties, registry, settler, receipts, replaced: Duration::ZERO };
        let surroundings = Surroundings { clock, random: Random::new(rng), upstream, opens };
        let site = Arc::new(deployment.site_in(config, surroundings));
        let member = id.clone();
        let whose = (&site.domain, &parties.relayer.to_bytes());
        let partitions = Partitions::open(&ledger, of, whose, (member, address))?;
        site.reader.lock().await.read().await?;
        let secret = Secret::read(&hex::encode(site.shared.random.bytes())).ok_or(LedgerError::Closed)?;
        let shared = site.shared.clone();
        let entry = Arc::new(Entry::new(shared.clone(), site.directory.clone(), id.clone(), secret));
        let leaving = CancellationToken::new();
        tokio::spawn(Reader::run(site.reader.clone(), pause, shared.stopping.clone()));
        tokio::spawn(Keeper::new(id, site, entry.clone(), partitions, leaving.clone()).run());
        Ok(Self { shared, entry, leaving })
    }

    /// What it holds.
    pub fn held(&self) -> Arc<Held> {
        self.entry.held.clone()
    }

    /// Where it would send a request for a partition that it does not hold.
    pub fn elsewhere(&self, partition: u16) -> Option<String> {
        self.entry.places.of(partition)
    }

    /// Waits until the process at `address` is given up.
    pub async fn gone(&self, address: &str) {
        self.entry.places.gone(address).await;
    }

    /// What its requests share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Has it give everything back, as [`Replica::stop`](super::replica::Replica::stop) does.
    pub fn leave(&self) {
        self.entry.shut_all();
        self.leaving.cancel();
        self.shared.stopping.cancel();
    }
}
