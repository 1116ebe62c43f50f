//! The chain, as far as a ledger can be compared with it.

use super::{CliError, Nodes, Result};
use crate::addresses;
use crate::chain::rpc::{HttpRpc, RpcError};
use crate::chain::{Pubkey, SettlementAccounts, VaultSnapshot};
use crate::cli::solana::Global;
use crate::ledger::partitions::Share;
use crate::ledger::reconcile::OnChain;
use crate::reader::accounts;
use std::collections::BTreeSet;
use steam_protocol::{Address, Hash};

/// What the nodes say together of a relayer's vaults.
pub struct Seen {
    /// Vaults as all nodes have them.
    pub reading: accounts::Reading,
    /// The cluster's clock, in Unix seconds.
    pub unix_time: i64,
    /// Vaults on which the nodes differ, so that nothing can be said of them.
    pub unclear: Vec<Pubkey>,
    /// The relayer's receipt keys, by number.
    pub receipt_keys: Vec<(u32, Address)>,
}

impl Nodes {
    /// Reads the vaults that name the ledger's relayer and belong to its share, and those it knows, from every endpoint; nothing if none is named.
    ///
    /// # Errors
    /// If one does not answer, or is of another cluster than the ledger.
    pub async fn look(
        &self,
        global: &Global,
        (domain, relayer): (Hash, Pubkey),
        (known, share): (&[Pubkey], Share),
    ) -> Result<Option<Seen>> {
        let urls = self.urls(global);
        if urls.is_empty() {
            return Ok(None);
        }
        let failed = |error: RpcError| {
            CliError::new("chain", format!("cannot read the chain: {error}"))
                .next("check the endpoints named with --rpc-url")
        };
        let nodes = HttpRpc::all(&urls).map_err(failed)?;
        let program = addresses::program();
        for node in &nodes {
            let genesis = node.genesis_hash().await.map_err(failed)?;
            if steam_protocol::domain::domain(&program.to_bytes(), &genesis) != domain {
                return Err(CliError::new(
                    "wrong_cluster",
                    "an endpoint is of another cluster than the ledger, or the program is another",
                )
                .next("name the cluster the relayer settles on with --rpc-url, and its program with --program"));
            }
        }
        let registry = accounts::agreed_registry(&nodes, &program, &relayer, None).await.map_err(failed)?;
        let parties = SettlementAccounts {
            program,
            config: accounts::config_address(&program),
            relayer,
            settler: registry.relayer.settler,
            fee_token: registry.relayer.fee_token,
            mint: registry.mint,
        };
        let listed = accounts::all_vault_addresses(&nodes, &program, &relayer).await.map_err(failed)?;
        let own = listed.iter().filter(|vault| share.has(vault.as_array()));
        let all: Vec<Pubkey> = own.chain(known).copied().collect::<BTreeSet<_>>().into_iter().collect();
        let mut reading = accounts::Reading::default();
        for chunk in all.chunks(accounts::VAULTS_AT_ONCE) {
            let part = accounts::agreed_vaults(&nodes, &parties, chunk).await.map_err(failed)?;
            reading.vaults.extend(part.vaults);
            reading.absent.extend(part.absent);
        }
        let unclear = all
            .into_iter()
            .filter(|vault| !reading.vaults.contains_key(vault) && !reading.absent.contains_key(vault))
            .collect();
        Ok(Some(Seen {
            reading,
            unix_time: registry.unix_time,
            unclear,
            receipt_keys: registry.relayer.receipt_keys.clone(),
        }))
    }
}

impl Seen {
    /// What a ledger is reconciled with.
    pub fn on_chain(&self) -> OnChain<'_> {
        OnChain {
            vaults: self.vaults(),
            absent: self.reading.absent.iter().map(|(address, slot)| (*address, *slot)).collect(),
            disputed: self.unclear.clone(),
        }
    }

    /// The vaults on chain, in a fixed order.
    pub fn vaults(&self) -> Vec<&VaultSnapshot> {
        let mut vaults: Vec<&VaultSnapshot> = self.reading.vaults.values().collect();
        vaults.sort_unstable_by_key(|vault| vault.address);
        vaults
    }
}
