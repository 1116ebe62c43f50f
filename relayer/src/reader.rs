//! Polls the chain and publishes what it reads: the registry as `watch` state, balances and keys to [`Vaults`]. Websockets
//! would only be hints, so that nothing relies on them.

pub mod accounts;

use crate::chain::rpc::{Rpc, RpcError};
use crate::chain::{Pubkey, SettlementAccounts, VaultSnapshot};
use crate::registry::Registry;
use crate::vaults::{Directory, Vaults};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

/// The one task that reads.
pub struct Reader {
    nodes: Vec<Arc<dyn Rpc>>,
    parties: SettlementAccounts,
    /// Those that are held here, as long as somebody uses them.
    vaults: Vec<Weak<Vaults>>,
    /// All of them.
    directory: Arc<Directory>,
    registry: watch::Sender<Arc<Registry>>,
    seen: HashMap<Pubkey, VaultSnapshot>,
}

impl Reader {
    /// A reader, and the registry it keeps up to date from `first` on.
    pub fn new(
        nodes: Vec<Arc<dyn Rpc>>,
        parties: SettlementAccounts,
        vaults: Arc<Vaults>,
        first: Registry,
    ) -> (Self, watch::Receiver<Arc<Registry>>) {
        let (mut reader, watch) = Self::of_nobody(nodes, parties, vaults.directory(), first);
        reader.begin(&vaults);
        (reader, watch)
    }

    /// One that holds no vaults yet, and knows all of them.
    pub fn of_nobody(
        nodes: Vec<Arc<dyn Rpc>>,
        parties: SettlementAccounts,
        directory: Arc<Directory>,
        first: Registry,
    ) -> (Self, watch::Receiver<Arc<Registry>>) {
        let (registry, watch) = watch::channel(Arc::new(first));
        (Self { nodes, parties, vaults: Vec::new(), directory, registry, seen: HashMap::new() }, watch)
    }

    /// Brings these vaults up to date from the next reading on.
    pub fn begin(&mut self, vaults: &Arc<Vaults>) {
        self.vaults.push(Arc::downgrade(vaults));
    }

    /// Reads with `reader` every `pause` until `shutdown`.
    pub async fn run(reader: Arc<Mutex<Self>>, pause: Duration, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = reader.lock().await.read().await {
                tracing::warn!(%error, "the chain could not be read");
            }
        }
    }

    /// Reads once. A vault on which the nodes do not agree stays as it was last agreed on.
    ///
    /// # Errors
    /// [`RpcError`]; nothing changes then.
    pub async fn read(&mut self) -> Result<(), RpcError> {
        let (program, relayer) = (&self.parties.program, &self.parties.relayer);
        let last = self.registry.borrow().clone();
        let registry = accounts::agreed_registry(&self.nodes, program, relayer, Some(&last)).await?;
        let listed = accounts::all_vault_addresses(&self.nodes, program, relayer).await?;
        self.seen.retain(|address, _| listed.contains(address));
        let addresses: Vec<Pubkey> = listed.into_iter().collect();
        for chunk in addresses.chunks(accounts::VAULTS_AT_ONCE) {
            self.seen.extend(accounts::agreed_vaults(&self.nodes, &self.parties, chunk).await?.vaults);
        }
        let snapshots: Vec<VaultSnapshot> = self.seen.values().cloned().collect();
        self.vaults.retain(|vaults| vaults.strong_count() > 0);
        if self.vaults.is_empty() {
            self.directory.update(&snapshots);
        }
        for vaults in self.vaults.iter().filter_map(Weak::upgrade) {
            vaults.finalized(registry.slot);
            vaults.update(&snapshots, registry.unix_time, registry.relayer.fee_bps);
        }
        self.registry.send_replace(Arc::new(registry));
        Ok(())
    }
}
