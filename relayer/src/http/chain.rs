//! The chain for web pages. No credentials: accounts are public, and a transaction carries its own signatures.

use crate::chain::Pubkey;
use crate::http::body;
use crate::http::named::Named;
use crate::http::openapi::{BodyErrors, ChainErrors};
use crate::http::peer::Peer;
use crate::http::query::parsed;
use crate::ledger::SponsoredOpening;
use crate::node::Node;
use crate::node::gateway::{Progress, Sponsored};
use crate::relay::base64;
use crate::relay::error::RelayError;
use crate::views::{
    AccountView, BlockhashView, ChainView, ErrorBody, FaucetGrantView, FaucetRequest, SentTransactionView,
    SignedTransaction, SponsorView, SponsoredRequest, SponsoredView, TransactionProgressView, TransactionStatus,
};
use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use axum::Json;
use axum::extract::{Request, State};
use solana_signature::Signature;
use std::sync::Arc;

/// Bytes of a request: a transaction has at most 1,232, in Base64.
const MAX_BODY: usize = 4_096;
const ADDRESS: &str = "an address: 32 bytes in base58";
const FORM: &str = "{\"transaction\": \"Base64 of a signed transaction\"}";

/// Where this relayer is on chain.
#[utoipa::path(
    get,
    path = "/v1/chain",
    operation_id = "getChain",
    tag = "chain",
    responses((status = 200, description = "Its accounts.", body = ChainView), ChainErrors)
)]
pub(super) async fn show(State(node): State<Arc<Node>>) -> Result<Json<ChainView>, RelayError> {
    let accounts = node.gateway.accounts();
    let registry = node.registry.borrow().clone();
    Ok(Json(ChainView {
        object: "chain".into(),
        genesis_hash: Pubkey::new_from_array(node.gateway.genesis_hash().await?).to_string(),
        slot: registry.slot,
        unix_time: registry.unix_time,
        program: accounts.program.to_string(),
        config: accounts.config.to_string(),
        relayer: accounts.relayer.to_string(),
        mint: accounts.mint.to_string(),
        bearer_keys: node.config.server.bearer_keys,
        faucet: node.gateway.has_faucet(),
        sponsor: node.gateway.sponsor().map(|sponsor| SponsorView {
            address: sponsor.address().to_string(),
            min_deposit: sponsor.min_deposit().0,
        }),
    }))
}

/// A recent blockhash, for a transaction to be signed.
#[utoipa::path(
    get,
    path = "/v1/chain/blockhash",
    operation_id = "getBlockhash",
    tag = "chain",
    responses((status = 200, description = "The blockhash.", body = BlockhashView), ChainErrors)
)]
pub(super) async fn blockhash(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
) -> Result<Json<BlockhashView>, RelayError> {
    let (blockhash, last_valid_block_height) = node.gateway.blockhash(peer).await?;
    Ok(Json(BlockhashView {
        object: "blockhash".into(),
        blockhash: Pubkey::new_from_array(blockhash).to_string(),
        last_valid_block_height,
    }))
}

/// An account, at the last finalized slot.
#[utoipa::path(
    get,
    path = "/v1/chain/accounts/{address}",
    operation_id = "getAccount",
    tag = "chain",
    params(("address" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The account's address, base58.")),
    responses(
        (status = 200, description = "The account, or that there is none.", body = AccountView),
        (status = 400, description = "This is no address.", body = ErrorBody),
        ChainErrors,
    )
)]
pub(super) async fn account(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    Named(address): Named,
) -> Result<Json<AccountView>, RelayError> {
    let address: Pubkey = parsed("address", &address, ADDRESS)?;
    let read = node.gateway.account(&address, peer).await?;
    Ok(Json(AccountView {
        object: "account".into(),
        address: address.to_string(),
        slot: read.slot,
        lamports: read.lamports,
        owner: read.owner.map(|owner| owner.to_string()),
        data: read.data.as_deref().map(base64),
    }))
}

/// Sends a signed transaction that calls only this program, the token and associated-token programs, memo and compute budget. It is
/// simulated first, and not sent if it would fail.
#[utoipa::path(
    post,
    path = "/v1/chain/transactions",
    operation_id = "sendTransaction",
    tag = "chain",
    request_body = SignedTransaction,
    responses(
        (status = 200, description = "It was handed to the cluster.", body = SentTransactionView),
        (status = 409, description = "It would fail.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn send(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    request: Request,
) -> Result<Json<SentTransactionView>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let SignedTransaction { transaction } = body::json(&body, FORM)?;
    let bytes = STANDARD.decode(&transaction).map_err(|error| body::malformed(FORM, &error.to_string()))?;
    let signature = node.gateway.submit(&bytes, peer).await?;
    Ok(Json(SentTransactionView { object: "transaction".into(), signature: signature.to_string() }))
}

/// What became of a transaction.
#[utoipa::path(
    get,
    path = "/v1/chain/transactions/{signature}",
    operation_id = "getTransaction",
    tag = "chain",
    params(("signature" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{64,88}$", description = "The transaction's first signature, base58.")),
    responses(
        (status = 200, description = "How far it is.", body = TransactionProgressView),
        (status = 400, description = "This is no signature.", body = ErrorBody),
        ChainErrors,
    )
)]
pub(super) async fn progress(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    Named(signature): Named,
) -> Result<Json<TransactionProgressView>, RelayError> {
    let signature: Signature = parsed("signature", &signature, "a signature: 64 bytes in base58")?;
    let Progress { state, block_height } = node.gateway.progress(&signature, peer).await?;
    let status = match &state {
        None => TransactionStatus::Unknown,
        Some(state) if state.error.is_some() => TransactionStatus::Failed,
        Some(state) if state.finalized => TransactionStatus::Finalized,
        Some(_) => TransactionStatus::Processed,
    };
    Ok(Json(TransactionProgressView {
        object: "transaction".into(),
        signature: signature.to_string(),
        status,
        slot: state.as_ref().map(|state| state.slot),
        error: state.and_then(|state| state.error),
        block_height,
    }))
}

/// Gives a wallet test money, on a local network.
#[utoipa::path(
    post,
    path = "/v1/chain/faucet",
    operation_id = "giveTestMoney",
    tag = "chain",
    request_body = FaucetRequest,
    responses(
        (status = 200, description = "It is under way.", body = FaucetGrantView),
        (status = 404, description = "This relayer gives none.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn give(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    request: Request,
) -> Result<Json<FaucetGrantView>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let FaucetRequest { wallet } = body::json(&body, "{\"wallet\": \"address\"}")?;
    let wallet: Pubkey = parsed("wallet", &wallet, ADDRESS)?;
    let (signature, last_valid_block_height, given) = node.gateway.grant(&wallet, peer).await?;
    Ok(Json(FaucetGrantView {
        object: "faucet_grant".into(),
        signature: signature.to_string(),
        last_valid_block_height,
        lamports: given.lamports,
        amount: given.amount.0,
    }))
}

/// Pays fee and rent of an opening, signs it last, and sends it. The same one may come again, and is sent again.
#[utoipa::path(
    post,
    path = "/v1/sponsored",
    operation_id = "openSponsored",
    tag = "chain",
    request_body = SponsoredRequest,
    responses(
        (status = 200, description = "It was signed and handed to the cluster.", body = SponsoredView),
        (status = 404, description = "This relayer pays for no openings.", body = ErrorBody),
        (status = 409, description = "It would fail, or take more than fee and rent.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn open_sponsored(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    request: Request,
) -> Result<Json<SponsoredView>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let SponsoredRequest { transaction } = body::json(&body, FORM)?;
    let bytes = STANDARD.decode(&transaction).map_err(|error| body::malformed(FORM, &error.to_string()))?;
    let (signed, sent) = node.gateway.open_sponsored(&bytes, peer).await?;
    let Sponsored { opening, vault, transaction, again } = signed;
    let SponsoredOpening { signature, owner, lamports, last_valid_height, .. } = opening;
    if !again {
        node.metrics.sponsored(lamports);
    }
    tracing::info!(%vault, %owner, %signature, lamports, again, "signed an opening as its sponsor");
    sent?;
    Ok(Json(SponsoredView {
        object: "sponsored_opening".into(),
        signature: signature.to_string(),
        vault: vault.to_string(),
        transaction: base64(&transaction),
        last_valid_block_height: last_valid_height,
        lamports,
    }))
}
