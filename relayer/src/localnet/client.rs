//! Sends transactions to a local network and waits for them: confirmed is the next block, final comes 31 later.

use crate::chain::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::config::RpcSendTransactionConfig;
use solana_rpc_client_api::request::RpcRequest;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::Transaction;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a transaction may take to be confirmed or final.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(40);

/// Why a request to the network failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The RPC endpoint.
    #[error("{0}")]
    Rpc(#[from] Box<solana_rpc_client_api::client_error::Error>),
    /// It cannot be built.
    #[error("{0}")]
    Invalid(String),
    /// The program said no.
    #[error("transaction {signature} failed: {error}")]
    Failed {
        /// The transaction.
        signature: Signature,
        /// Its error.
        error: String,
    },
    /// It was never heard of again.
    #[error("transaction {0} did not become {1} in {PATIENCE:?}")]
    Lost(Signature, &'static str),
    /// There is no such token account.
    #[error("{0} is no token account")]
    NoTokenAccount(Pubkey),
}

impl From<solana_rpc_client_api::client_error::Error> for ClientError {
    fn from(error: solana_rpc_client_api::client_error::Error) -> Self {
        Self::Rpc(Box::new(error))
    }
}

/// A connection to a local network's node.
#[derive(Clone)]
pub struct Client(Arc<RpcClient>);

impl Client {
    /// A client of the endpoint at `url`.
    pub fn new(url: &str) -> Self {
        Self(Arc::new(RpcClient::new_with_commitment(url.into(), CommitmentConfig::confirmed())))
    }

    /// Signs and sends one transaction, paid for by the first signer, and waits until it is confirmed.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn send(&self, instructions: &[Instruction], signers: &[&Keypair]) -> Result<Signature, ClientError> {
        let payer = signers.first().map(|signer| signer.pubkey());
        let blockhash = self.0.get_latest_blockhash().await?;
        let mut transaction = Transaction::new_with_payer(instructions, payer.as_ref());
        transaction.try_sign(signers, blockhash).map_err(|error| ClientError::Invalid(error.to_string()))?;
        // The simulation before sending tells what is wrong, log lines included.
        let config = RpcSendTransactionConfig {
            preflight_commitment: Some(CommitmentConfig::confirmed().commitment),
            ..RpcSendTransactionConfig::default()
        };
        let signature = self.0.send_transaction_with_config(&transaction, config).await?;
        self.wait(&signature, CommitmentConfig::confirmed(), "confirmed").await?;
        Ok(signature)
    }

    /// Waits until a transaction is final.
    ///
    /// # Errors
    /// [`ClientError::Failed`], [`ClientError::Lost`]
    pub async fn finalized(&self, signature: &Signature) -> Result<(), ClientError> {
        self.wait(signature, CommitmentConfig::finalized(), "final").await
    }

    async fn wait(
        &self,
        signature: &Signature,
        until: CommitmentConfig,
        name: &'static str,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let statuses = self.0.get_signature_statuses(std::slice::from_ref(signature)).await?.value;
            if let Some(status) = statuses.into_iter().flatten().next() {
                if let Some(error) = &status.err {
                    return Err(ClientError::Failed { signature: *signature, error: error.to_string() });
                }
                if status.satisfies_commitment(until) {
                    return Ok(());
                }
            }
            tokio::time::sleep(POLL).await;
        }
        Err(ClientError::Lost(*signature, name))
    }

    /// Balance of a token account, in the token's smallest unit.
    ///
    /// # Errors
    /// [`ClientError::NoTokenAccount`], [`ClientError::Rpc`]
    pub async fn token_balance(&self, account: &Pubkey) -> Result<u64, ClientError> {
        let data = self.account(account).await?.ok_or(ClientError::NoTokenAccount(*account))?;
        // The amount follows mint and owner.
        let amount = data.get(64..72).and_then(|bytes| bytes.try_into().ok());
        amount.map(u64::from_le_bytes).ok_or(ClientError::NoTokenAccount(*account))
    }

    /// An account's bytes, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Rpc`]
    pub async fn account(&self, address: &Pubkey) -> Result<Option<Vec<u8>>, ClientError> {
        let answer = self.0.get_account_with_commitment(address, CommitmentConfig::confirmed()).await?;
        Ok(answer.value.map(|account| account.data))
    }

    /// The cluster's genesis hash.
    ///
    /// # Errors
    /// [`ClientError::Rpc`]
    pub async fn genesis_hash(&self) -> Result<[u8; 32], ClientError> {
        Ok(self.0.get_genesis_hash().await?.to_bytes())
    }

    /// Calls a method of the network's own.
    pub(super) async fn call(&self, method: &'static str, params: serde_json::Value) -> Result<(), ClientError> {
        Ok(self.0.send::<serde_json::Value>(RpcRequest::Custom { method }, params).await.map(drop)?)
    }

    /// The endpoint's own client, for what this one does not do.
    pub fn rpc(&self) -> &RpcClient {
        &self.0
    }
}
