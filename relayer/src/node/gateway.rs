//! The chain for web pages: they read accounts and hand in signed transactions through the relayer, and need no RPC node. What is asked is
//! bounded in size, in number at once and by the second, apart from the requests to models, so that neither can crowd out the other.

mod faucet;
mod opening;
mod sponsor;
mod transaction;

pub use faucet::{Faucet, Grant};
pub use opening::{Opening, SLOT, authorized};
pub use sponsor::{InvalidOpening, Sponsor, SponsorError, Sponsored};
pub use transaction::InvalidTransaction;

use crate::chain::rpc::{Rpc, RpcError, Simulation, TransactionState};
use crate::chain::{Pubkey, SettlementAccounts, quorum};
use crate::node::budget::Budget;
use solana_signature::Signature;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Most requests at once.
const PLACES: usize = 32;
/// Part of all requests that one peer may make.
const SHARES: f64 = 5.0;
/// Pause after which a request that found no place may come again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a page gets nothing from the chain.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The transaction is not carried.
    #[error("this transaction is not sent: {0}")]
    Invalid(#[from] InvalidTransaction),
    /// The transaction would fail on chain.
    #[error("this transaction would fail, so it was not sent: {0}")]
    WouldFail(String),
    /// Too many requests.
    #[error("too many requests for the chain at once; try again in {} second", RETRY.as_secs())]
    Busy,
    /// No node answers.
    #[error("the relayer cannot reach the chain at the moment; try again in {} seconds", RETRY.as_secs())]
    Chain(#[from] RpcError),
    /// This relayer has no faucet.
    #[error("this relayer gives no test money")]
    NoFaucet,
    /// The faucet cannot give.
    #[error("the faucet's transaction cannot be made: {0}")]
    Faucet(String),
    /// An opening is not paid for.
    #[error(transparent)]
    Sponsor(#[from] SponsorError),
}

impl GatewayError {
    /// When to try again, if that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy | Self::Chain(_) => Some(RETRY),
            Self::Sponsor(error) => error.retry_after(),
            Self::Invalid(_) | Self::WouldFail(_) | Self::NoFaucet | Self::Faucet(_) => None,
        }
    }
}

/// An account, as a page reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRead {
    /// The finalized slot of the reading.
    pub slot: u64,
    /// Its lamports; 0 if there is no such account.
    pub lamports: u64,
    /// The program that owns it; `None` if there is no such account.
    pub owner: Option<Pubkey>,
    /// Its bytes, if the owner is this program or the token program. Nobody needs others from here.
    pub data: Option<Vec<u8>>,
}

/// What became of a transaction, and how far the chain is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nothing, if no node knows the transaction.
    pub state: Option<TransactionState>,
    /// The finalized block height: an unknown transaction is dead once this is past its last valid one.
    pub block_height: u64,
}

/// The chain behind its bounds.
pub struct Gateway {
    nodes: Vec<Arc<dyn Rpc>>,
    accounts: SettlementAccounts,
    places: Semaphore,
    budget: Budget,
    shares: Budget<IpAddr>,
    genesis: OnceCell<[u8; 32]>,
    faucet: Option<Faucet>,
    sponsor: Option<Sponsor>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// At most `per_second` requests a second reach `nodes`, of one peer a fifth of them.
    pub fn new(
        nodes: Vec<Arc<dyn Rpc>>,
        accounts: SettlementAccounts,
        per_second: u32,
        (faucet, sponsor): (Option<Faucet>, Option<Sponsor>),
    ) -> Self {
        Self {
            nodes,
            accounts,
            places: Semaphore::new(PLACES),
            budget: Budget::new(0.0, per_second.into()),
            shares: Budget::new(0.0, f64::from(per_second) / SHARES),
            genesis: OnceCell::new(),
            faucet,
            sponsor,
        }
    }

    /// The accounts that transactions for this relayer name.
    pub fn accounts(&self) -> &SettlementAccounts {
        &self.accounts
    }

    /// Whether test money is given.
    pub fn has_faucet(&self) -> bool {
        self.faucet.is_some()
    }

    /// The cluster's genesis hash.
    ///
    /// # Errors
    /// [`GatewayError::Busy`], [`GatewayError::Chain`]
    pub async fn genesis_hash(&self) -> Result<[u8; 32], GatewayError> {
        let known = self.genesis.get_or_try_init(|| async {
            let _place = self.place(None)?;
            self.first(|node| async move { node.genesis_hash().await }).await
        });
        known.await.copied()
    }

    /// A recent blockhash, and the last block height at which it is valid.
    ///
    /// # Errors
    /// [`GatewayError::Busy`], [`GatewayError::Chain`]
    pub async fn blockhash(&self, peer: Option<IpAddr>) -> Result<([u8; 32], u64), GatewayError> {
        let _place = self.place(peer)?;
        self.first(|node| async move { node.blockhash().await }).await
    }

    /// An account at the last finalized slot.
    ///
    /// # Errors
    /// [`GatewayError::Busy`], [`GatewayError::Chain`]
    pub async fn account(&self, address: &Pubkey, peer: Option<IpAddr>) -> Result<AccountRead, GatewayError> {
        let _place = self.place(peer)?;
        self.first(|node| async move {
            let (slot, found) = node.accounts(std::slice::from_ref(address)).await?;
            let found = found.into_iter().next().flatten();
            let lamports = found.as_ref().map_or(0, |account| account.lamports);
            let owner = found.as_ref().map(|account| account.owner);
            let shown = [Some(self.accounts.program), Some(anchor_spl::token::ID)].contains(&owner);
            let data = found.filter(|_| shown).map(|account| account.data);
            Ok(AccountRead { slot, lamports, owner, data })
        })
        .await
    }

    /// Checks a signed transaction, simulates it, and hands it to every node. One that the cluster has already is there.
    ///
    /// # Errors
    /// [`GatewayError::Invalid`], [`GatewayError::WouldFail`], [`GatewayError::Busy`], [`GatewayError::Chain`]
    pub async fn submit(&self, bytes: &[u8], peer: Option<IpAddr>) -> Result<Signature, GatewayError> {
        let signature = transaction::check(bytes, &self.accounts.program)?;
        let _place = self.place(peer)?;
        let delivered = self.deliver(bytes).await;
        self.unless_there(&signature, delivered).await?;
        Ok(signature)
    }

    /// What came of handing over a transaction. A client that got no answer may send the same one again: if it has already
    /// succeeded, that is no error.
    async fn unless_there(&self, signature: &Signature, handed: Result<(), GatewayError>) -> Result<(), GatewayError> {
        let Err(error) = handed else { return Ok(()) };
        let known = self.first(|node| async move { node.statuses(std::slice::from_ref(signature)).await }).await;
        let there = known.is_ok_and(|states| states.into_iter().flatten().any(|state| state.error.is_none()));
        if there { Ok(()) } else { Err(error) }
    }

    async fn deliver(&self, bytes: &[u8]) -> Result<(), GatewayError> {
        match self.first(|node| async move { node.simulate(bytes).await }).await? {
            Simulation::Succeeds { .. } => self.send(bytes).await,
            Simulation::Fails { reason, .. } => Err(GatewayError::WouldFail(reason)),
        }
    }

    /// What became of a transaction.
    ///
    /// # Errors
    /// [`GatewayError::Busy`], [`GatewayError::Chain`]
    pub async fn progress(&self, signature: &Signature, peer: Option<IpAddr>) -> Result<Progress, GatewayError> {
        let _place = self.place(peer)?;
        self.first(|node| async move {
            // The height first: a transaction that is unknown afterwards was unknown at that height.
            let block_height = node.block_height().await?;
            let state = node.statuses(std::slice::from_ref(signature)).await?.into_iter().next().flatten();
            Ok(Progress { state, block_height })
        })
        .await
    }

    /// Sends test money to `wallet`.
    ///
    /// # Errors
    /// [`GatewayError::NoFaucet`], [`GatewayError::Busy`], [`GatewayError::Chain`], [`GatewayError::Faucet`]
    pub async fn grant(&self, wallet: &Pubkey, peer: Option<IpAddr>) -> Result<(Signature, u64, Grant), GatewayError> {
        let faucet = self.faucet.as_ref().ok_or(GatewayError::NoFaucet)?;
        if !faucet.may_give() {
            return Err(GatewayError::Busy);
        }
        let (blockhash, last_valid_block_height) = self.blockhash(peer).await?;
        let (bytes, signature) = faucet.transaction(wallet, blockhash).map_err(GatewayError::Faucet)?;
        let _place = self.place(peer)?;
        self.send(&bytes).await?;
        Ok((signature, last_valid_block_height, Faucet::GRANT))
    }

    /// Hands a transaction to every node; one that takes it is enough.
    async fn send(&self, bytes: &[u8]) -> Result<(), GatewayError> {
        let sent = futures::future::join_all(self.nodes.iter().map(|node| node.send(bytes))).await;
        let mut refusal = RpcError::Node("no node is configured".into());
        for result in sent {
            match result {
                Ok(()) => return Ok(()),
                Err(error) => refusal = error,
            }
        }
        Err(refusal.into())
    }

    /// The answer of the first node that answers, in the order of the configuration. Nothing here is decided on its word.
    async fn first<'a, T, F>(&'a self, call: impl Fn(&'a dyn Rpc) -> F) -> Result<T, GatewayError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        // What a node says has its address in it, which is for the operator alone.
        let (_, answer) = quorum::first(&self.nodes, 0, call)
            .await
            .inspect_err(|error| tracing::debug!(%error, "no RPC node answers what the gateway asks"))?;
        Ok(answer)
    }

    fn place(&self, peer: Option<IpAddr>) -> Result<SemaphorePermit<'_>, GatewayError> {
        let place = self.places.try_acquire().map_err(|_| GatewayError::Busy)?;
        let now = Instant::now();
        // What is beyond a peer's own share takes nothing from the others.
        let shared = peer.is_none() || self.shares.take(peer, now);
        if shared && self.budget.take(None, now) { Ok(place) } else { Err(GatewayError::Busy) }
    }
}
