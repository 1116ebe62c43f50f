//! An RPC node over LiteSVM: what is sent is final at once, and what a test says about versions and tables it answers.

use super::svm::Svm;
use super::{Chain, Done, Failure, Now, Refusal, Stored};
use anchor_lang::prelude::Pubkey;
use async_trait::async_trait;
use solana_signature::Signature;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use steam::chain::rpc::{ChainAccount, Rehearsal, Rpc, RpcError, Simulation, TransactionState};
use steam::settle::form::is_v1;

/// Blocks a blockhash lives.
const BLOCKHASH_LIFE: u64 = 150;

/// A chain that a test and a node share.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Svm>>);

/// The node.
pub struct Node {
    chain: Shared,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    statuses: HashMap<Signature, TransactionState>,
    sent: Vec<Vec<u8>>,
    without_v1: bool,
    lies: HashMap<Pubkey, Vec<u8>>,
}

impl Shared {
    /// LiteSVM, shared.
    pub fn start(upgrade_authority: &Pubkey) -> Self {
        Self(Arc::new(Mutex::new(Svm::start(upgrade_authority))))
    }

    fn chain(&self) -> MutexGuard<'_, Svm> {
        self.0.lock().unwrap()
    }
}

impl Chain for Shared {
    fn send(&mut self, transaction: &[u8]) -> Result<Done, Failure> {
        self.chain().send(transaction)
    }

    fn blockhash(&self) -> [u8; 32] {
        self.chain().blockhash()
    }

    fn account(&self, address: &Pubkey) -> Option<Stored> {
        self.chain().account(address)
    }

    fn set_account(&mut self, address: &Pubkey, account: Stored) {
        self.chain().set_account(address, account);
    }

    fn now(&self) -> Now {
        self.chain().now()
    }

    fn advance(&mut self, seconds: i64, slots: u64) {
        let mut chain = self.chain();
        chain.advance(seconds, slots);
        chain.hash_slots();
    }
}

impl Node {
    /// A node of `chain`.
    pub fn new(chain: Shared) -> Self {
        Self { chain, state: Mutex::default() }
    }

    /// Whether it takes transactions of version 1.
    pub fn take_version_1(&self, takes: bool) {
        self.state().without_v1 = !takes;
    }

    /// Says that the account at `address` holds `data`; nothing is the truth.
    pub fn lie(&self, address: Pubkey, data: Option<Vec<u8>>) {
        match data {
            Some(data) => self.state().lies.insert(address, data),
            None => self.state().lies.remove(&address),
        };
    }

    /// What it was sent since it was last asked.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state().sent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The slot before this one: each transaction has one of its own.
    fn finalized_slot(&self) -> u64 {
        self.chain.now().slot.saturating_sub(1)
    }

    fn read(&self, transaction: &[u8]) -> Result<(), RpcError> {
        if is_v1(transaction) && self.state().without_v1 {
            return Err(RpcError::Node("failed to deserialize a transaction of version 1".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Rpc for Node {
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError> {
        Ok(super::GENESIS_HASH)
    }

    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError> {
        let state = self.state();
        let account = |address: &Pubkey| {
            let stored = self.chain.account(address)?;
            let data = state.lies.get(address).cloned().unwrap_or(stored.data);
            Some(ChainAccount { lamports: stored.lamports, owner: stored.owner, data })
        };
        Ok((self.finalized_slot(), addresses.iter().map(account).collect()))
    }

    async fn program_accounts(&self, _: &Pubkey, _: &[(usize, Vec<u8>)]) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
        Err(RpcError::Node("this node does not search".into()))
    }

    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError> {
        Ok((self.chain.blockhash(), self.chain.now().slot + BLOCKHASH_LIFE))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        Ok(self.chain.now().slot)
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<Simulation, RpcError> {
        self.read(transaction)?;
        Ok(match self.chain.chain().clone().any_blockhash().simulate(transaction) {
            Ok(done) => Simulation::Succeeds { units: done.units },
            Err(Failure { refusal: Refusal::Code(code), .. }) => {
                Simulation::Fails { code: Some(code), reason: format!("code {code}") }
            }
            Err(Failure { refusal: Refusal::Runtime(reason), .. }) => Simulation::Fails { code: None, reason },
        })
    }

    async fn rehearse(&self, _: &[u8], _: &[Pubkey]) -> Result<Rehearsal, RpcError> {
        Err(RpcError::Node("this node rehearses nothing".into()))
    }

    async fn recent_fees(&self, _: &[Pubkey]) -> Result<Vec<u64>, RpcError> {
        Ok(Vec::new())
    }

    async fn lamports(&self, address: &Pubkey) -> Result<u64, RpcError> {
        Ok(self.chain.account(address).map_or(0, |stored| stored.lamports))
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError> {
        self.read(transaction)?;
        let result = self.chain.clone().send(transaction);
        self.chain.clone().advance(0, 1);
        let parsed: solana_transaction::versioned::VersionedTransaction = wincode::deserialize(transaction).unwrap();
        let error = result.err().map(|failure| format!("{:?}", failure.refusal));
        let state = TransactionState { slot: self.finalized_slot(), finalized: true, error };
        let mut known = self.state();
        known.sent.push(transaction.to_vec());
        known.statuses.entry(parsed.signatures[0]).or_insert(state);
        Ok(())
    }

    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError> {
        let state = self.state();
        Ok(signatures.iter().map(|signature| state.statuses.get(signature).cloned()).collect())
    }
}
