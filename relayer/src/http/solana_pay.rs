//! Transaction requests of Solana Pay: a phone's wallet reads who asks, names its account, and gets a transaction to sign and send. Only
//! the account signs a deposit, so that the wallet sets fee payer and blockhash itself.

use crate::addresses::ata;
use crate::chain::Pubkey;
use crate::http::body;
use crate::http::named::Named;
use crate::http::openapi::BodyErrors;
use crate::http::peer::Peer;
use crate::http::query::{Query, invalid, parsed};
use crate::instructions;
use crate::node::Node;
use crate::relay::base64;
use crate::relay::error::RelayError;
use crate::views::{ErrorBody, PayAccount, PayLabelView, PayTransactionView};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use solana_signature::Signature;
use solana_transaction::{Message, Transaction};
use std::sync::Arc;
use steam_protocol::units::MicroUsdc;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of a request: an address.
const MAX_BODY: usize = 1_024;
/// Who asks, as wallets show it.
const LABEL: &str = "Steam Router";
const ICON: &str = "/icon.svg";
/// Most that one request asks for, in µUSDC: what a key's limits can be, a million dollars.
pub(super) const MOST: u64 = 1_000_000_000_000;

/// Who asks for a deposit, for a wallet that follows a link of Solana Pay.
#[utoipa::path(
    get,
    path = "/v1/solana-pay/deposits/{vault}",
    operation_id = "getPayLabel",
    tag = "vault",
    params(
        ("vault" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The vault's address, base58."),
        ("amount" = u64, Query, minimum = 1, maximum = 1_000_000_000_000u64, description = "What is to be deposited, in µUSDC."),
    ),
    responses(
        (status = 200, description = "Who asks.", body = PayLabelView),
        (status = 400, description = "The vault or the amount is none.", body = ErrorBody),
        (status = 404, description = "There is no such vault at this relayer.", body = ErrorBody),
    )
)]
pub(super) async fn label(
    State(node): State<Arc<Node>>,
    Named(vault): Named,
    uri: Uri,
) -> Result<Json<PayLabelView>, RelayError> {
    asked(&node, &vault, &uri)?;
    Ok(Json(who(&node)))
}

/// A deposit into a vault from the account that asks, as a legacy transaction without signatures.
#[utoipa::path(
    post,
    path = "/v1/solana-pay/deposits/{vault}",
    operation_id = "makePayDeposit",
    tag = "vault",
    params(
        ("vault" = String, Path, pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$", description = "The vault's address, base58."),
        ("amount" = u64, Query, minimum = 1, maximum = 1_000_000_000_000u64, description = "What is to be deposited, in µUSDC."),
    ),
    request_body = PayAccount,
    responses(
        (status = 200, description = "The transaction.", body = PayTransactionView),
        (status = 404, description = "There is no such vault at this relayer.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn deposit(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    Named(vault): Named,
    request: Request,
) -> Result<Json<PayTransactionView>, RelayError> {
    let (vault, amount) = asked(&node, &vault, request.uri())?;
    let (_place, account) = account(&node, request).await?;
    let (blockhash, _) = node.gateway.blockhash(peer).await?;
    let mint = node.gateway.accounts().mint;
    let transfer = instructions::transfer(&account, &ata(&account, &mint), &ata(&vault, &mint), &mint, amount);
    let message = Message::new_with_blockhash(&[transfer], Some(&account), &blockhash.into());
    Ok(Json(PayTransactionView {
        transaction: written(message, None)?,
        message: format!("Deposit {amount} USDC into the vault {vault}"),
    }))
}

/// The account that asks, and the request's place.
pub(super) async fn account(node: &Node, request: Request) -> Result<(OwnedSemaphorePermit, Pubkey), RelayError> {
    let (place, body) = body::receive(node, request, MAX_BODY).await?;
    let PayAccount { account } = body::json(&body, "{\"account\": \"address\"}")?;
    Ok((place, parsed("account", &account, "an address: 32 bytes in base58")?))
}

/// A transaction in Base64 with a place for each signature. Those that are not `given` are still to come.
pub(super) fn written(message: Message, given: Option<(Pubkey, Signature)>) -> Result<String, RelayError> {
    let signers = message.account_keys.iter().take(message.header.num_required_signatures.into());
    let signatures = signers.map(|signer| match given {
        Some((key, signature)) if key == *signer => signature,
        _ => Signature::default(),
    });
    let transaction = Transaction { signatures: signatures.collect(), message };
    let bytes =
        bincode::serialize(&transaction).map_err(|_| RelayError::Internal("a transaction cannot be written"))?;
    Ok(base64(&bytes))
}

/// Who asks, as wallets show it.
pub(super) fn who(node: &Node) -> PayLabelView {
    PayLabelView { label: LABEL.into(), icon: icon(node) }
}

/// What a link asks for. A vault that this relayer does not know could belong to anybody, or to nobody.
fn asked(node: &Node, vault: &str, uri: &Uri) -> Result<(Pubkey, MicroUsdc), RelayError> {
    const AMOUNT: &str = "µUSDC from 1 to 1000000000000";
    let vault: Pubkey = parsed("vault", vault, "a vault's address: 32 bytes in base58")?;
    let amount = Query::read(uri, &["amount"])?.parse("amount", AMOUNT)?;
    let amount = amount.filter(|amount| (1..=MOST).contains(amount)).ok_or_else(|| invalid("amount", AMOUNT))?;
    let unknown =
        || RelayError::NotFound("there is no such vault at this relayer; a new one is known once it is final".into());
    node.vaults.directory().knows(&vault).then_some((vault, MicroUsdc(amount))).ok_or_else(unknown)
}

/// An absolute URL, as wallets need it, at the address under which this relayer is registered.
fn icon(node: &Node) -> String {
    let registry = node.registry.borrow();
    reqwest::Url::parse(&registry.relayer.url)
        .and_then(|url| url.join(ICON))
        .map_or_else(|_| ICON.to_owned(), |url| url.to_string())
}
