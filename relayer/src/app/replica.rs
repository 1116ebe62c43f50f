//! A relayer at work beside others of the same account: each holds some of the partitions of one ledger.

use super::entry::Entry;
use super::keeper::Keeper;
use super::listen::{listen, listen_public};
use super::{Deployment, LAST_CONNECTIONS, OperatorListener, Process, StartError, announce, serve};
use crate::config::Config;
use crate::http::OperatorToken;
use crate::ledger::LedgerError;
use crate::ledger::partitions::Partitions;
use crate::node::Shared;
use crate::replicas::secret::Secret;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Other processes that may each send on as many requests as it may have connections, without one of them keeping the others out.
pub(super) const PROCESSES: usize = 16;

/// A relayer at work, one of several.
pub struct Replica {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    /// Where it listens.
    pub addr: SocketAddr,
    servers: TaskTracker,
    /// Has it give everything back.
    leaving: CancellationToken,
    /// Has it answer the other processes no more.
    ended: CancellationToken,
    keeper: JoinHandle<()>,
    process: Process,
}

/// Starts a relayer that shares its ledger with others: reads the chain, and takes requests for all vaults at once, those of others
/// included. What it holds itself it takes meanwhile.
///
/// # Errors
/// [`StartError`], with nothing left running.
pub async fn start(config: Config) -> Result<Replica, StartError> {
    config.check()?;
    let secret = secret(&config.replicas.secret_file)?;
    let (place, token) = (config.ledger.location()?, OperatorToken::configured(&config)?);
    let (public, own) = (config.server.listen, config.operator.listen);
    let (internal, internal_addr) = listen(config.replicas.listen).await?;
    let named = config.replicas.address.clone();
    let address = if named.is_empty() { internal_addr.to_string() } else { named };
    let of = config.replicas.partitions;
    let site = Arc::new(Deployment::read(&config).await?.site(config)?);
    let shared = site.shared.clone();
    let me = hex::encode(shared.random.bytes());
    let id = me.clone();
    let (domain, relayer) = (site.domain, site.parties.relayer.to_bytes());
    let opening = tokio::task::spawn_blocking(move || Partitions::open(&place, of, (&domain, &relayer), (id, address)));
    let partitions = opening.await.map_err(|_| LedgerError::Closed)??;
    site.reader.lock().await.read().await?;
    let (listener, addr) = listen_public(public).await?;
    let operator = OperatorListener::open(own, token).await?;
    let process = Process::begin(&site).await;
    let entry = Arc::new(Entry::new(shared.clone(), site.directory.clone(), me.clone(), secret));
    let (servers, leaving, ended) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    servers.spawn(serve::serve(listener, shared.clone(), entry.public()));
    let most = PROCESSES * shared.config.server.max_connections;
    servers.spawn(serve::serve_until(ended.clone(), internal, shared.clone(), entry.internal(), most));
    if let Some(operator) = operator {
        operator.serve(&shared, entry.held.clone(), &servers);
    }
    tokio::spawn(entry.clone().greet(leaving.clone()));
    let keeper = Keeper::new(me, site.clone(), entry.clone(), partitions, leaving.clone());
    let keeper = tokio::spawn(keeper.run());
    announce(&site, addr);
    tracing::info!(address = %internal_addr, partitions = of, "serving the other processes of this relayer");
    Ok(Replica { shared, entry, addr, servers, leaving, ended, keeper, process })
}

impl Replica {
    /// Takes over the `[market]` part of another configuration. Returns the other parts that differ, which a restart takes over.
    pub fn reload(&self, config: &Config) -> Vec<&'static str> {
        self.shared.market.reload(config.market.clone());
        self.shared.config.restarts_for(config)
    }

    /// Drains: takes no new connection, and gives each partition to the others as soon as its requests have ended, which have the
    /// configured time. What is longer is ended and charged.
    pub async fn stop(self) {
        let limit = self.shared.config.server.drain() + LAST_CONNECTIONS;
        // What comes now waits for the next holder.
        self.entry.shut_all();
        self.leaving.cancel();
        self.shared.stopping.cancel();
        if let Err(error) = self.keeper.await {
            tracing::error!(%error, "what this process held was given back in a panic");
        }
        // Not before: others would take it for one that is not reached, and end what it still answers them.
        self.ended.cancel();
        self.servers.close();
        if timeout(limit, self.servers.wait()).await.is_err() {
            tracing::warn!("connections are open when the time to drain is over; they end now");
        }
        self.process.end().await;
    }
}

/// The secret in a file.
///
/// # Errors
/// [`StartError::SecretFile`] or [`StartError::Secret`].
pub(crate) fn secret(path: &Path) -> Result<Secret, StartError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| StartError::SecretFile { path: path.into(), source })?;
    Secret::read(&zeroize::Zeroizing::new(text)).ok_or_else(|| StartError::Secret { path: path.into() })
}
