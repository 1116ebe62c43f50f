//! One RPC session: a node, the commitment at which it is asked, transactions sent until they are confirmed, and what its
//! errors mean.

use super::error::{CliError, Result};
use super::failure;
use super::solana::Global;
use crate::chain::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::client_error::{Error, ErrorKind, Result as RpcResult};
use solana_rpc_client_api::custom_error::{
    JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED, JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY,
};
use solana_rpc_client_api::request::RpcError;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::Transaction;
use solana_transaction::versioned::VersionedTransaction;
use std::time::Duration;

/// Confirmed by a supermajority: what commands read and wait for.
pub const COMMITMENT: CommitmentConfig = CommitmentConfig::confirmed();
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// JSON-RPC: the node does not have this method, or its provider does not sell it.
const METHOD_NOT_FOUND: i64 = -32601;

/// A session with one RPC node.
pub struct RpcSession {
    client: RpcClient,
    url: String,
}

impl RpcSession {
    /// The node of the global flags and the Solana CLI's settings. Nothing is known about its cluster.
    pub fn of(global: &Global) -> Result<Self> {
        Ok(Self::at(global.rpc_url()?))
    }

    /// The node at `url`.
    pub fn at(url: String) -> Self {
        Self { client: RpcClient::new_with_timeout_and_commitment(url.clone(), TIMEOUT, COMMITMENT), url }
    }

    /// The client, for calls that are passed to [`Self::answer`].
    pub fn client(&self) -> &RpcClient {
        &self.client
    }

    /// The node's URL as messages show it.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// What a call of [`Self::client`] answers.
    pub async fn answer<T>(&self, call: impl Future<Output = RpcResult<T>>) -> Result<T> {
        call.await.map_err(|error| self.failed(&error))
    }

    /// The cluster's genesis hash.
    pub async fn genesis(&self) -> Result<[u8; 32]> {
        Ok(self.answer(self.client.get_genesis_hash()).await?.to_bytes())
    }

    /// An account's bytes, or nothing if there is none.
    pub async fn data(&self, address: &Pubkey) -> Result<Option<Vec<u8>>> {
        let found = self.answer(self.client.get_account_with_commitment(address, COMMITMENT)).await?;
        Ok(found.value.map(|account| account.data))
    }

    /// Signs, sends and waits for confirmation. The payer signs; so do `signers`.
    pub async fn send(&self, payer: &Keypair, instructions: &[Instruction], signers: &[&Keypair]) -> Result<Signature> {
        let blockhash = self.answer(self.client.get_latest_blockhash()).await?;
        let mut transaction = Transaction::new_with_payer(instructions, Some(&payer.pubkey()));
        let signers: Vec<&Keypair> = std::iter::once(payer).chain(signers.iter().copied()).collect();
        transaction
            .try_sign(&signers, blockhash)
            .map_err(|error| CliError::new("sign", format!("cannot sign the transaction: {error}")))?;
        self.send_signed(&transaction.into()).await
    }

    /// Sends a transaction that has all its signatures, and waits for confirmation.
    pub async fn send_signed(&self, transaction: &VersionedTransaction) -> Result<Signature> {
        self.client.send_and_confirm_transaction(transaction).await.map_err(|error| {
            match error.get_transaction_error() {
                Some(refused) => failure::of_transaction(&refused, &transaction.message),
                None => self.failed(&error),
            }
        })
    }

    /// Why the node did not answer.
    fn failed(&self, error: &Error) -> CliError {
        let node = self.shown();
        let unreachable = |why: &str| {
            CliError::new("rpc_unreachable", format!("cannot reach the Solana RPC node at {node}: {why}"))
                .next("check that it runs (`steam dev` starts a local network) or name another with --url")
        };
        match error.kind() {
            ErrorKind::Reqwest(error) if error.is_timeout() => unreachable("it did not answer in time"),
            ErrorKind::Reqwest(error) if error.is_connect() => unreachable("the connection was refused or failed"),
            ErrorKind::Reqwest(error) => match error.status() {
                Some(status) if status.as_u16() == 429 => {
                    let message = format!("the Solana RPC node at {node} limits the rate of requests");
                    CliError::new("rpc_rate_limited", message)
                        .next("try again later, or name a node of your own with --url")
                }
                Some(status) => unreachable(&format!("it answered with HTTP status {status}")),
                None => unreachable("it sent no valid answer"),
            },
            ErrorKind::Io(error) => unreachable(&error.to_string()),
            ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => self.refused(*code, message),
            ErrorKind::RpcError(RpcError::ForUser(message)) => {
                CliError::new("rpc_failed", message.trim_end_matches('.').to_owned())
                    .next("check with the same command whether it took effect before repeating it")
            }
            _ => unreachable("it sent no valid answer"),
        }
    }

    /// What a JSON-RPC error code means.
    fn refused(&self, code: i64, message: &str) -> CliError {
        let node = self.shown();
        match code {
            JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY | JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED => {
                CliError::new("rpc_behind", format!("the Solana RPC node at {node} is behind the cluster"))
                    .next("try again later, or name another node with --url")
            }
            METHOD_NOT_FOUND => {
                let message = format!("the Solana RPC node at {node} does not serve a method this command needs");
                CliError::new("rpc_refused", message).next("name another node with --url")
            }
            _ => CliError::new("rpc_refused", format!("the Solana RPC node at {node} refused: {message} ({code})"))
                .next("name another node with --url"),
        }
    }
}

/// A URL without what may be secret in it: RPC providers put access keys into path and query.
fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "the given URL".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_url_is_shown_without_its_access_key() {
        assert_eq!(shown("https://rpc.example.com/v2/s3cret?api-key=x"), "https://rpc.example.com");
        assert_eq!(shown("https://user:pass@rpc.example.com:444/"), "https://rpc.example.com:444");
    }

    #[test]
    fn a_nodes_refusals_are_told_by_their_code() {
        let node = RpcSession::at("http://127.0.0.1:1/s3cret".into());
        for (code, told) in
            [(-32005, "rpc_behind"), (-32016, "rpc_behind"), (-32601, "rpc_refused"), (-1, "rpc_refused")]
        {
            let error = node.refused(code, "words");
            assert_eq!(error.code(), told, "{code}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
