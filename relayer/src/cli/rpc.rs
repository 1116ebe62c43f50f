//! One RPC session: a node, the commitment at which it is asked, transactions sent until they are confirmed, and what its
//! errors mean.

use super::error::{CliError, Result};
use super::failure;
use super::solana::Global;
use crate::chain::{Pubkey, node_url};
use solana_commitment_config::CommitmentConfig;
use solana_hash::Hash;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::client_error::{Error, ErrorKind, Result as RpcResult};
use solana_rpc_client_api::custom_error::{
    JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED, JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY,
};
use solana_rpc_client_api::request::{RpcError, RpcRequest};
use solana_signature::Signature;
use solana_transaction::TransactionError;
use solana_transaction::versioned::VersionedTransaction;
use std::sync::OnceLock;
use std::time::Duration;

/// Confirmed by a supermajority: what commands read and wait for.
pub const COMMITMENT: CommitmentConfig = CommitmentConfig::confirmed();
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// JSON-RPC: the node does not have this method, or its provider does not sell it.
const METHOD_NOT_FOUND: i64 = -32601;

/// The code of an error where a transaction was sent, or may have been, and nobody said what became of it.
pub const OUTCOME_UNKNOWN: &str = "rpc_outcome_unknown";
/// The code of an error where a transaction took effect, and a later call failed.
pub const TOOK_EFFECT: &str = "rpc_took_effect";

/// A session with one RPC node.
pub struct RpcSession {
    client: RpcClient,
    url: String,
    /// The first transaction that took effect.
    settled: OnceLock<Signature>,
}

impl RpcSession {
    /// The node of the global flags and the Solana CLI's settings. Nothing is known about its cluster.
    pub fn of(global: &Global) -> Result<Self> {
        Ok(Self::at(global.rpc_url()?))
    }

    /// The node at `url`.
    pub fn at(url: String) -> Self {
        let client = RpcClient::new_with_timeout_and_commitment(url.clone(), TIMEOUT, COMMITMENT);
        Self { client, url, settled: OnceLock::new() }
    }

    /// The client, for calls that are passed to [`Self::answer`].
    pub fn client(&self) -> &RpcClient {
        &self.client
    }

    /// The node's URL as messages show it.
    pub fn shown(&self) -> String {
        node_url::shown(&self.url)
    }

    /// What a call of [`Self::client`] answers.
    pub async fn answer<T>(&self, call: impl Future<Output = RpcResult<T>>) -> Result<T> {
        call.await.map_err(|error| {
            let error = self.failed(&error);
            let Some(signature) = self.settled.get() else { return error };
            let why = error.message();
            let message =
                format!("the transaction {signature} took effect, but what followed could not be read: {why}");
            CliError::new(TOOK_EFFECT, message)
                .next("do not run the command again before you have looked at what it changed")
        })
    }

    /// The cluster's genesis hash.
    pub async fn genesis(&self) -> Result<[u8; 32]> {
        Ok(self.answer(self.client.get_genesis_hash()).await?.to_bytes())
    }

    /// An account's bytes, or nothing if there is none.
    pub async fn data(&self, address: &Pubkey) -> Result<Option<Vec<u8>>> {
        // The client's call for a single one makes a text of every error, with the node's URL in it.
        let found = self.answer(self.client.get_multiple_accounts_with_commitment(&[*address], COMMITMENT)).await?;
        Ok(found.value.into_iter().next().flatten().map(|account| account.data))
    }

    /// The newest blockhash.
    pub async fn blockhash(&self) -> Result<Hash> {
        self.answer(self.client.get_latest_blockhash()).await
    }

    /// Whether a transaction with this blockhash could still be carried out.
    pub async fn holds(&self, blockhash: &Hash) -> Result<bool> {
        self.answer(self.client.is_blockhash_valid(blockhash, CommitmentConfig::processed())).await
    }

    /// Sends a transaction that has all its signatures, and waits for confirmation.
    pub async fn send_signed(&self, transaction: &VersionedTransaction) -> Result<Signature> {
        let sent = self.client.send_and_confirm_transaction(transaction).await;
        if let Ok(signature) = &sent {
            self.settled.get_or_init(|| *signature);
        }
        sent.map_err(|error| match error.get_transaction_error() {
            // The RPC client sends again where a node did not answer. The error may then be of the second send, and the first was
            // accepted.
            Some(TransactionError::AlreadyProcessed | TransactionError::BlockhashNotFound) | None => {
                self.unknown(&transaction.signatures[0], &error)
            }
            Some(refused) => failure::of_transaction(&refused, &transaction.message),
        })
    }

    /// A transaction was sent, or may have been, and nobody said what became of it.
    fn unknown(&self, signature: &Signature, error: &Error) -> CliError {
        let why = self.failed(error);
        let why = why.message();
        CliError::new(
            OUTCOME_UNKNOWN,
            format!("the transaction {signature} may have taken effect, and its outcome is not known: {why}"),
        )
        .next("look in two minutes at what it was to change, before you run the command again: later it can no longer take effect")
    }

    /// Why the node did not answer.
    fn failed(&self, error: &Error) -> CliError {
        let node = self.shown();
        match error.kind() {
            ErrorKind::Reqwest(error) if error.is_timeout() => self.unreachable("it did not answer in time"),
            ErrorKind::Reqwest(error) if error.is_connect() => self.unreachable("the connection was refused or failed"),
            ErrorKind::Reqwest(error) => match error.status() {
                Some(status) if status.as_u16() == 429 => {
                    let message = format!("the Solana RPC node at {node} limits the rate of requests");
                    CliError::new("rpc_rate_limited", message)
                        .next("try again later, or name a node of your own with --url")
                }
                Some(status) => self.unreachable(&format!("it answered with HTTP status {status}")),
                None => self.unreachable("it sent no valid answer"),
            },
            ErrorKind::Io(error) => self.unreachable(&error.to_string()),
            ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => {
                self.refused(*code, message, error.request())
            }
            ErrorKind::RpcError(RpcError::ForUser(message)) => {
                CliError::new("rpc_failed", node_url::scrubbed(&self.url, message.trim_end_matches('.')))
                    .next("check with the same command whether it took effect before repeating it")
            }
            _ => self.unreachable("it sent no valid answer"),
        }
    }

    fn unreachable(&self, why: &str) -> CliError {
        let node = self.shown();
        CliError::new("rpc_unreachable", format!("cannot reach the Solana RPC node at {node}: {why}"))
            .next("check that it runs (`steam dev` starts a local network) or name another with --url")
    }

    /// What a JSON-RPC error code means.
    fn refused(&self, code: i64, message: &str, request: Option<&RpcRequest>) -> CliError {
        let node = self.shown();
        let message = node_url::scrubbed(&self.url, message);
        match code {
            JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY | JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED => {
                CliError::new("rpc_behind", format!("the Solana RPC node at {node} is behind the cluster"))
                    .next("try again later, or name another node with --url")
            }
            METHOD_NOT_FOUND => {
                let method = request.map_or_else(|| "a method".to_owned(), ToString::to_string);
                let message =
                    format!("the Solana RPC node at {node} does not serve {method}, which this command needs");
                CliError::new("rpc_refused", message).next("name another node with --url")
            }
            _ => CliError::new("rpc_refused", format!("the Solana RPC node at {node} refused: {message} ({code})"))
                .next("name another node with --url"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::mock::{Mock, Step, answer};
    use solana_keypair::Keypair;
    use solana_signer::Signer;
    use solana_transaction::Transaction;

    /// A session with a node that does `steps` for each request, at a URL with a secret.
    async fn node(steps: Vec<Step>) -> RpcSession {
        let url = Mock::new("node", steps).await.offer(1).url;
        RpcSession::at(format!("{url}/s3cret?api-key=s3cret"))
    }

    fn signed() -> VersionedTransaction {
        let payer = Keypair::new_from_array([7; 32]);
        let mut transaction = Transaction::new_with_payer(&[], Some(&payer.pubkey()));
        transaction.sign(&[&payer], Default::default());
        transaction.into()
    }

    #[tokio::test]
    async fn an_account_that_cannot_be_read_is_told_by_its_cause_and_without_the_key() {
        for (status, code) in
            [("503 X", "rpc_unreachable"), ("401 X", "rpc_unreachable"), ("200 OK", "rpc_unreachable")]
        {
            let error = node(answer(status, "{}")).await.data(&Pubkey::default()).await.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_transaction_of_unknown_outcome_is_called_that_and_named() {
        let transaction = signed();
        for node in [node(vec![]).await, node(answer("504 X", "{}")).await] {
            let error = node.send_signed(&transaction).await.unwrap_err();
            assert_eq!(error.code(), "rpc_outcome_unknown");
            assert!(error.to_string().contains(&transaction.signatures[0].to_string()), "{error}");
            assert!(error.to_string().contains("may have taken effect"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_a_node_took_in_without_an_answer_is_not_called_refused() {
        for name in ["AlreadyProcessed", "BlockhashNotFound"] {
            let said = format!(
                r#"{{"jsonrpc":"2.0","id":0,"error":{{"code":-32002,"message":"it was","data":{{"accounts":null,"err":"{name}","logs":[],"unitsConsumed":0}}}}}}"#
            );
            let error = node(answer("200 OK", &said)).await.send_signed(&signed()).await.unwrap_err();
            assert_eq!(error.code(), OUTCOME_UNKNOWN, "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn a_node_that_repeats_its_url_gives_no_key_away() {
        let said =
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"key s3cret at /v1/s3cret?api-key=s3cret"}}"#;
        let error = node(answer("200 OK", said)).await.data(&Pubkey::default()).await.unwrap_err();
        assert_eq!(error.code(), "rpc_refused");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_read_after_a_transaction_says_that_it_took_effect() {
        let node = node(vec![]).await;
        let signature = signed().signatures[0];
        node.settled.set(signature).unwrap();
        let error = node.data(&Pubkey::default()).await.unwrap_err();
        assert_eq!(error.code(), TOOK_EFFECT);
        assert!(error.message().contains(&format!("{signature} took effect")), "{error}");
    }

    #[tokio::test]
    async fn a_method_that_a_node_does_not_serve_is_named() {
        let said = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"Method not found"}}"#;
        let error = node(answer("200 OK", said)).await.data(&Pubkey::default()).await.unwrap_err();
        assert!(error.message().contains("does not serve getMultipleAccounts,"), "{error}");
    }

    #[test]
    fn a_nodes_refusals_are_told_by_their_code() {
        let node = RpcSession::at("http://127.0.0.1:1/s3cret".into());
        for (code, told) in
            [(-32005, "rpc_behind"), (-32016, "rpc_behind"), (-32601, "rpc_refused"), (-1, "rpc_refused")]
        {
            let error = node.refused(code, "words", None);
            assert_eq!(error.code(), told, "{code}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
