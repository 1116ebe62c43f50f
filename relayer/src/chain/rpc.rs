//! What the relayer asks of a Solana RPC node, and no more: the seam at which tests put a chain of their own.

mod http;

use super::{Pubkey, node_url};
use crate::words;
use anchor_lang::solana_program::instruction::error::InstructionError;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Http;
use serde_json::json;
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client::rpc_client::RpcClientConfig;
use solana_rpc_client_api::client_error::{Error as ClientError, ErrorKind, TransactionError};
use solana_rpc_client_api::config::{
    RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcSendTransactionConfig, RpcSimulateTransactionAccountsConfig,
    RpcSimulateTransactionConfig, UiAccountEncoding,
};
use solana_rpc_client_api::filter::{Memcmp, RpcFilterType};
use solana_rpc_client_api::request::{RpcError as NodeError, RpcRequest};
use solana_rpc_client_api::response::{Response, RpcSimulateTransactionResult};
use solana_signature::Signature;
use solana_transaction_status_client_types::UiTransactionEncoding;
use std::sync::Arc;
use std::time::Duration;

/// Time an RPC node has to answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Accounts asked for at once at the most: what RPC nodes allow.
pub const MAX_ACCOUNTS: usize = 100;
/// Rehearsals made at the most of which the payer's balance changes meanwhile.
const MAX_REHEARSALS: usize = 4;
const FINALIZED: CommitmentConfig = CommitmentConfig::finalized();

/// Why a node could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RpcError {
    /// The node is out of reach or refused.
    #[error("the RPC node did not answer: {0}")]
    Node(String),
    /// The node sent something that is no answer.
    #[error("the RPC node sent a malformed answer: {0}")]
    Malformed(String),
    /// The node answered that an account is not there.
    #[error("this cluster has no such account: {0}")]
    Absent(String),
}

/// An account at a finalized slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainAccount {
    /// What it holds for its rent, and more.
    pub lamports: u64,
    /// The program that owns it.
    pub owner: Pubkey,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionState {
    /// The slot it was processed in.
    pub slot: u64,
    /// Whether that slot is finalized.
    pub finalized: bool,
    /// What it failed with, if it failed.
    pub error: Option<String>,
}

/// The result of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulation {
    /// It succeeds with this many compute units.
    Succeeds {
        /// Compute units used.
        units: u64,
    },
    /// It fails.
    Fails {
        /// The error's number, if a program refused it.
        code: Option<u32>,
        /// The log that explains it, or the error.
        reason: String,
    },
}

/// A transaction as it would be carried out now, blockhash included, by the newest confirmed state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// Lamports of the first account watched, which pays.
    pub before: u64,
    /// Whether it succeeds.
    pub simulation: Simulation,
    /// The accounts watched, after it.
    pub after: Vec<Option<ChainAccount>>,
}

/// A Solana RPC node. All reads are at finalized.
#[async_trait]
pub trait Rpc: Send + Sync {
    /// The cluster's genesis hash.
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError>;
    /// Accounts read together, and the slot they were read at. At most [`MAX_ACCOUNTS`].
    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError>;
    /// The program's accounts whose data holds the given bytes at the given offsets.
    async fn program_accounts(
        &self,
        program: &Pubkey,
        filters: &[(usize, Vec<u8>)],
    ) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError>;
    /// A recent blockhash and the last block height it is valid at.
    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError>;
    /// The finalized block height.
    async fn block_height(&self) -> Result<u64, RpcError>;
    /// Simulates a transaction given in its wire format; signatures and blockhash are not checked.
    async fn simulate(&self, transaction: &[u8]) -> Result<Simulation, RpcError>;
    /// Rehearses a transaction of which signatures may be missing, and shows the accounts `watched`, the payer's first, after it.
    async fn rehearse(&self, transaction: &[u8], watched: &[Pubkey]) -> Result<Rehearsal, RpcError>;
    /// Priority fees in micro-lamports a compute unit: for each recent slot, the least with which a transaction that wrote
    /// all of `accounts` landed. At most 128.
    async fn recent_fees(&self, accounts: &[Pubkey]) -> Result<Vec<u64>, RpcError>;
    /// Lamports of an account, finalized.
    async fn lamports(&self, address: &Pubkey) -> Result<u64, RpcError>;
    /// Hands a transaction in its wire format to the cluster, once, without asking whether it would succeed.
    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError>;
    /// What became of transactions, searched in all history.
    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError>;
}

/// A node over HTTP.
pub struct HttpRpc(RpcClient);

impl HttpRpc {
    /// The node at `url`.
    ///
    /// # Errors
    /// TLS or the resolver of this machine cannot be set up.
    pub fn new(url: &str) -> Result<Self, RpcError> {
        let http =
            Http::new(url, TIMEOUT).map_err(|error| RpcError::Node(format!("no client can be set up: {error}")))?;
        Ok(Self(RpcClient::new_sender(http, RpcClientConfig::with_commitment(FINALIZED))))
    }

    /// The nodes at `urls`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn all(urls: &[String]) -> Result<Vec<Arc<dyn Rpc>>, RpcError> {
        urls.iter().map(|url| Ok(Arc::new(Self::new(url)?) as Arc<dyn Rpc>)).collect()
    }

    /// The client's errors can name the node's URL, which may hold an access token, and so can what the node says.
    fn failed(&self, error: &ClientError) -> RpcError {
        let said = match error.kind() {
            ErrorKind::RpcError(NodeError::RpcResponseError { code, message, .. }) => format!("{code}: {message}"),
            ErrorKind::RpcError(error) => error.to_string(),
            ErrorKind::TransactionError(error) => error.to_string(),
            ErrorKind::Custom(text) => text.clone(),
            ErrorKind::SerdeJson(_) => "no JSON of an RPC node".into(),
            ErrorKind::Reqwest(_) | ErrorKind::Io(_) | ErrorKind::Middleware(_) | ErrorKind::SigningError(_) => {
                "the exchange failed".into()
            }
        };
        let url = self.0.url();
        // Of several nodes one may be at fault, and of its methods one that its provider does not sell.
        let method = error.request().map_or_else(|| "a call".to_owned(), ToString::to_string);
        RpcError::Node(format!(
            "{}, {method}: {}",
            node_url::shown(&url),
            words::excerpt(&node_url::scrubbed(&url, &said))
        ))
    }

    async fn simulated(
        &self,
        transaction: &[u8],
        config: RpcSimulateTransactionConfig,
    ) -> Result<RpcSimulateTransactionResult, RpcError> {
        let parameters = json!([BASE64.encode(transaction), config]);
        let answer = self.0.send::<Response<RpcSimulateTransactionResult>>(RpcRequest::SimulateTransaction, parameters);
        Ok(answer.await.map_err(|error| self.failed(&error))?.value)
    }

    async fn lamports_at(&self, address: &Pubkey, commitment: CommitmentConfig) -> Result<u64, RpcError> {
        Ok(self.0.get_balance_with_commitment(address, commitment).await.map_err(|error| self.failed(&error))?.value)
    }
}

#[async_trait]
impl Rpc for HttpRpc {
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError> {
        Ok(self.0.get_genesis_hash().await.map_err(|error| self.failed(&error))?.to_bytes())
    }

    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError> {
        let config = RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64),
            commitment: Some(FINALIZED),
            ..RpcAccountInfoConfig::default()
        };
        let answer = self
            .0
            .get_multiple_ui_accounts_with_config(addresses, config)
            .await
            .map_err(|error| self.failed(&error))?;
        if answer.value.len() != addresses.len() {
            return Err(RpcError::Malformed("not as many accounts as were asked for".into()));
        }
        let accounts = answer.value.into_iter().map(|found| found.map(account).transpose());
        Ok((answer.context.slot, accounts.collect::<Result<_, _>>()?))
    }

    async fn program_accounts(
        &self,
        program: &Pubkey,
        filters: &[(usize, Vec<u8>)],
    ) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
        let filters = filters
            .iter()
            .map(|(offset, bytes)| RpcFilterType::Memcmp(Memcmp::new_base58_encoded(*offset, bytes)))
            .collect();
        let config = RpcProgramAccountsConfig {
            filters: Some(filters),
            account_config: RpcAccountInfoConfig {
                encoding: Some(UiAccountEncoding::Base64),
                commitment: Some(FINALIZED),
                ..RpcAccountInfoConfig::default()
            },
            ..RpcProgramAccountsConfig::default()
        };
        let found =
            self.0.get_program_ui_accounts_with_config(program, config).await.map_err(|error| self.failed(&error))?;
        found
            .into_iter()
            .map(|(address, ui)| account(ui).map(|account| (address, account)))
            .filter(|read| read.as_ref().map_or(true, |(_, account)| account.owner == *program))
            .map(|read| read.map(|(address, account)| (address, account.data)))
            .collect()
    }

    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError> {
        let confirmed = CommitmentConfig::confirmed();
        let (hash, height) =
            self.0.get_latest_blockhash_with_commitment(confirmed).await.map_err(|error| self.failed(&error))?;
        Ok((hash.to_bytes(), height))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        self.0.get_block_height_with_commitment(FINALIZED).await.map_err(|error| self.failed(&error))
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<Simulation, RpcError> {
        let config = RpcSimulateTransactionConfig {
            sig_verify: false,
            replace_recent_blockhash: true,
            commitment: Some(CommitmentConfig::confirmed()),
            encoding: Some(UiTransactionEncoding::Base64),
            ..RpcSimulateTransactionConfig::default()
        };
        Ok(simulation(self.simulated(transaction, config).await?))
    }

    async fn rehearse(&self, transaction: &[u8], watched: &[Pubkey]) -> Result<Rehearsal, RpcError> {
        let payer = watched.first().ok_or_else(|| RpcError::Node("nothing is watched".into()))?;
        let confirmed = CommitmentConfig::confirmed();
        for _ in 0..MAX_REHEARSALS {
            let before = self.lamports_at(payer, confirmed).await?;
            let config = RpcSimulateTransactionConfig {
                sig_verify: false,
                replace_recent_blockhash: false,
                commitment: Some(confirmed),
                encoding: Some(UiTransactionEncoding::Base64),
                accounts: Some(RpcSimulateTransactionAccountsConfig {
                    encoding: Some(UiAccountEncoding::Base64),
                    addresses: watched.iter().map(ToString::to_string).collect(),
                }),
                ..RpcSimulateTransactionConfig::default()
            };
            let mut result = self.simulated(transaction, config).await?;
            // What the payer had is known only if nothing else took from it or gave to it meanwhile.
            if self.lamports_at(payer, confirmed).await? != before {
                continue;
            }
            let shown = result.accounts.take().unwrap_or_default().into_iter();
            let after = shown.map(|found| found.map(account).transpose()).collect::<Result<_, _>>()?;
            return Ok(Rehearsal { before, simulation: simulation(result), after });
        }
        Err(RpcError::Node("the payer's balance changed during each simulation".into()))
    }

    async fn recent_fees(&self, accounts: &[Pubkey]) -> Result<Vec<u64>, RpcError> {
        let fees = self.0.get_recent_prioritization_fees(accounts).await.map_err(|error| self.failed(&error))?;
        Ok(fees.into_iter().map(|slot| slot.prioritization_fee).collect())
    }

    async fn lamports(&self, address: &Pubkey) -> Result<u64, RpcError> {
        self.lamports_at(address, FINALIZED).await
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError> {
        let config = RpcSendTransactionConfig {
            skip_preflight: true,
            max_retries: Some(0),
            preflight_commitment: Some(CommitmentLevel::Confirmed),
            encoding: Some(UiTransactionEncoding::Base64),
            ..RpcSendTransactionConfig::default()
        };
        let parameters = json!([BASE64.encode(transaction), config]);
        self.0
            .send::<String>(RpcRequest::SendTransaction, parameters)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError> {
        let answer =
            self.0.get_signature_statuses_with_history(signatures).await.map_err(|error| self.failed(&error))?;
        if answer.value.len() != signatures.len() {
            return Err(RpcError::Malformed("not as many statuses as were asked for".into()));
        }
        Ok(answer
            .value
            .into_iter()
            .map(|status| {
                status.map(|status| TransactionState {
                    slot: status.slot,
                    finalized: status.satisfies_commitment(FINALIZED),
                    error: status.err.map(|error| format!("{error:?}")),
                })
            })
            .collect())
    }
}

fn simulation(result: RpcSimulateTransactionResult) -> Simulation {
    let Some(error) = result.err else {
        return Simulation::Succeeds { units: result.units_consumed.unwrap_or_default() };
    };
    let logs = result.logs.unwrap_or_default();
    let told = logs.iter().rev().find(|line| line.contains("AnchorError") || line.contains("failed"));
    let reason = told.map_or_else(|| format!("{error:?}"), Clone::clone);
    let code = match TransactionError::from(error) {
        TransactionError::InstructionError(_, InstructionError::Custom(code)) => Some(code),
        _ => None,
    };
    Simulation::Fails { code, reason }
}

fn account(ui: solana_rpc_client_api::response::UiAccount) -> Result<ChainAccount, RpcError> {
    let malformed = |what: &str| RpcError::Malformed(format!("an account's {what}"));
    let owner = ui.owner.parse().map_err(|_| malformed("owner"))?;
    let data = ui.data.decode().ok_or_else(|| malformed("data"))?;
    Ok(ChainAccount { lamports: ui.lamports, owner, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::mock::{Mock, Step, answer};

    #[tokio::test]
    async fn a_node_that_fails_is_named_with_the_method_and_without_the_key() {
        let unknown = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"Method not found"}}"#;
        for (steps, said) in [
            (answer("200 OK", unknown), "Method not found"),
            (answer("403 X", ""), "HTTP 403"),
            (Vec::new(), "the connection failed before the whole answer arrived"),
        ] {
            let url = Mock::new("node", steps).await.offer(1).url;
            let node = HttpRpc::new(&format!("{url}/s3cretkey?api-key=s3cret")).unwrap();
            let error = node.program_accounts(&Pubkey::default(), &[]).await.unwrap_err().to_string();
            let host = url.trim_end_matches("/v1");
            assert!(error.contains(&format!("{host}, getProgramAccounts: ")), "{error}");
            assert!(error.contains(said) && !error.contains("s3cret"), "{error}");
        }
    }

    /// What the node answers about a balance, and about a simulation.
    fn told(value: &str) -> Vec<Step> {
        answer("200 OK", &format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"context":{{"slot":1}},"value":{value}}}}}"#))
    }

    #[tokio::test]
    async fn a_rehearsal_checks_the_blockhash_and_shows_what_the_payer_had_and_what_is_left() {
        let done = r#"{"err":null,"logs":[],"unitsConsumed":7,"accounts":[
            {"lamports":3,"owner":"11111111111111111111111111111111","data":["AQ==","base64"],"executable":false,"rentEpoch":0},null]}"#;
        // During the first simulation the payer pays for something else.
        let node = Mock::in_turn("node", ["10", done, "9", "9", done, "9"].map(told).to_vec()).await;
        let rpc = HttpRpc::new(node.offer(1).url.trim_end_matches("/v1")).unwrap();
        let watched = [Pubkey::default(), Pubkey::new_from_array([1; 32])];
        let rehearsal = rpc.rehearse(&[1, 2, 3], &watched).await.unwrap();
        let left = ChainAccount { lamports: 3, owner: Pubkey::default(), data: vec![1] };
        let expected =
            Rehearsal { before: 9, simulation: Simulation::Succeeds { units: 7 }, after: vec![Some(left), None] };
        assert_eq!(rehearsal, expected);
        let asked = node.requests.lock().unwrap().clone();
        assert_eq!(asked.len(), 6);
        assert!(asked[1].1.contains(r#""replaceRecentBlockhash":false"#), "{}", asked[1].1);
        assert!(asked[1].1.contains(&watched[1].to_string()), "{}", asked[1].1);
    }

    #[tokio::test]
    async fn a_payer_whose_balance_never_rests_is_not_rehearsed_with() {
        let done = r#"{"err":null,"logs":[],"unitsConsumed":7,"accounts":[null]}"#;
        let scripts = (0..MAX_REHEARSALS)
            .flat_map(|n| [told(&format!("{}", 2 * n)), told(done), told(&format!("{}", 2 * n + 1))]);
        let node = Mock::in_turn("node", scripts.collect()).await;
        let rpc = HttpRpc::new(node.offer(1).url.trim_end_matches("/v1")).unwrap();
        let error = rpc.rehearse(&[], &[Pubkey::default()]).await.unwrap_err().to_string();
        assert!(error.contains("changed during each simulation"), "{error}");
    }
}
