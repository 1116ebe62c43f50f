//! A node whose answers a test decides.

use crate::chain::Pubkey;
use crate::chain::rpc::{ChainAccount, Rehearsal, Rpc, RpcError, Simulation, TransactionState};
use async_trait::async_trait;
use solana_signature::Signature;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// What the node knows.
pub struct Known {
    pub accounts: HashMap<Pubkey, ChainAccount>,
    pub simulation: Simulation,
    /// What a transaction that is rehearsed does.
    pub rehearsal: Option<Rehearsal>,
    /// The finalized block height.
    pub height: u64,
    /// The last height at which the newest blockhash is valid.
    pub last_valid: u64,
    pub statuses: HashMap<Signature, TransactionState>,
    pub sent: Vec<Vec<u8>>,
    /// Every question is refused.
    pub down: bool,
    /// A transaction is taken, and the answer is an error.
    pub sending_fails: bool,
    /// No question is answered before this is notified.
    pub held: Option<Arc<Notify>>,
}

/// See the module.
pub struct FakeChain(Mutex<Known>);

impl FakeChain {
    pub fn new() -> Self {
        let simulation = Simulation::Succeeds { units: 1 };
        let (accounts, statuses) = (HashMap::new(), HashMap::new());
        let sent = Vec::new();
        Self(Mutex::new(Known {
            accounts,
            simulation,
            rehearsal: None,
            height: 60,
            last_valid: 150,
            statuses,
            sent,
            down: false,
            sending_fails: false,
            held: None,
        }))
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    async fn asked(&self) -> Result<(), RpcError> {
        let held = self.known().held.clone();
        if let Some(held) = held {
            held.notified().await;
        }
        if self.known().down { Err(RpcError::Node("cannot connect".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Rpc for FakeChain {
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError> {
        self.asked().await.map(|()| [3; 32])
    }

    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError> {
        self.asked().await?;
        let known = self.known();
        let found = addresses.iter().map(|address| known.accounts.get(address).cloned());
        Ok((77, found.collect()))
    }

    async fn program_accounts(&self, _: &Pubkey, _: &[(usize, Vec<u8>)]) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
        unreachable!("pages do not search")
    }

    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError> {
        self.asked().await.map(|()| ([4; 32], self.known().last_valid))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        self.asked().await.map(|()| self.known().height)
    }

    async fn simulate(&self, _: &[u8]) -> Result<Simulation, RpcError> {
        self.asked().await.map(|()| self.known().simulation.clone())
    }

    async fn rehearse(&self, _: &[u8], _: &[Pubkey]) -> Result<Rehearsal, RpcError> {
        self.asked().await?;
        self.known().rehearsal.clone().ok_or_else(|| RpcError::Node("nothing is rehearsed here".into()))
    }

    async fn recent_fees(&self, _: &[Pubkey]) -> Result<Vec<u64>, RpcError> {
        unreachable!("pages do not ask for fees")
    }

    async fn lamports(&self, address: &Pubkey) -> Result<u64, RpcError> {
        self.asked().await?;
        Ok(self.known().accounts.get(address).map_or(0, |account| account.lamports))
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError> {
        self.asked().await?;
        let mut known = self.known();
        known.sent.push(transaction.into());
        if known.sending_fails { Err(RpcError::Node("already processed".into())) } else { Ok(()) }
    }

    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError> {
        self.asked().await?;
        let known = self.known();
        Ok(signatures.iter().map(|signature| known.statuses.get(signature).cloned()).collect())
    }
}
