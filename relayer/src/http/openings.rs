//! Openings of vaults from a phone, as transaction requests of Solana Pay. A page wishes one for its new key; a wallet that scans its code
//! names its account; the page reads the transaction that was made for that account, signs it if it is what it wished, and the wallet
//! gets it with that signature. The wallet pays for everything: the sponsor signs last and sends by itself, which no wallet waits for.

use crate::chain::Pubkey;
use crate::http::body;
use crate::http::named::Named;
use crate::http::openapi::BodyErrors;
use crate::http::peer::Peer;
use crate::http::query::{invalid, parsed};
use crate::http::solana_pay::{MOST, account, who, written};
use crate::node::Node;
use crate::node::gateway::{Opening, SLOT, authorized};
use crate::node::openings::{Asked, Id, OpeningError, Wish};
use crate::relay::error::RelayError;
use crate::views::{
    ErrorBody, PayAccount, PayLabelView, PayOpeningRequest, PayOpeningSignature, PayOpeningTransactionView,
    PayOpeningView, PayTransactionView,
};
use axum::Json;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use solana_signature::Signature;
use solana_transaction::Message;
use std::sync::Arc;
use steam_protocol::units::MicroUsdc;

/// Bytes of a request.
const MAX_BODY: usize = 1_024;
const WISH: &str = "{\"key\": \"address\", \"authorize_key\": \"Base64\", \"deposit\": µUSDC}";

/// Keeps an opening that a page wishes, for ten minutes, until a phone's wallet asks for it.
#[utoipa::path(
    post,
    path = "/v1/solana-pay/openings",
    operation_id = "createPayOpening",
    tag = "vault",
    request_body = PayOpeningRequest,
    responses((status = 200, description = "It waits.", body = PayOpeningView), BodyErrors)
)]
pub(super) async fn create(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    request: Request,
) -> Result<Json<PayOpeningView>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let wish = wish(&body::json(&body, WISH)?)?;
    let id = node.random.bytes();
    let until_ms = node.openings.wish(id, wish, peer, node.clock.unix_ms())?;
    Ok(Json(PayOpeningView { object: "pay_opening".into(), id: hex::encode(id), expires_at: until_ms / 1_000 }))
}

/// Who asks to open a vault, for a wallet that follows a link of Solana Pay.
#[utoipa::path(
    get,
    path = "/v1/solana-pay/openings/{id}",
    operation_id = "getPayOpeningLabel",
    tag = "vault",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "The opening.")),
    responses(
        (status = 200, description = "Who asks.", body = PayLabelView),
        (status = 400, description = "This is no opening's name.", body = ErrorBody),
        (status = 404, description = "There is no such opening, or it is too old.", body = ErrorBody),
    )
)]
pub(super) async fn label(State(node): State<Arc<Node>>, Named(id): Named) -> Result<Json<PayLabelView>, RelayError> {
    node.openings.wished(&named(&id)?, node.clock.unix_ms())?;
    Ok(Json(who(&node)))
}

/// The opening for the account that asks, as a legacy transaction that the page's key has signed. It waits up to 20 seconds for the page.
#[utoipa::path(
    post,
    path = "/v1/solana-pay/openings/{id}",
    operation_id = "makePayOpening",
    tag = "vault",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "The opening.")),
    request_body = PayAccount,
    responses(
        (status = 200, description = "The transaction.", body = PayTransactionView),
        (status = 404, description = "There is no such opening, or it is too old.", body = ErrorBody),
        (status = 409, description = "Another account has asked, the account has a vault, or the page does not sign.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn make(
    State(node): State<Arc<Node>>,
    Peer(peer): Peer,
    Named(id): Named,
    request: Request,
) -> Result<Json<PayTransactionView>, RelayError> {
    let (id, now_ms) = (named(&id)?, node.clock.unix_ms());
    node.openings.wished(&id, now_ms)?;
    let (place, account) = account(&node, request).await?;
    let Wish { key, grant, amount } = node.openings.wished_by(&id, &account, now_ms)?;
    if account == key {
        return Err(invalid("account", "another address than the key's: that of the wallet which is to own the vault"));
    }
    if node.vaults.directory().of_owner(&account).is_some() {
        return Err(OpeningError::HasVault.into());
    }
    let (blockhash, _) = node.gateway.blockhash(peer).await?;
    let instructions = Opening { owner: account, key, grant, amount }.instructions(node.gateway.accounts(), &account);
    let message = Message::new_with_blockhash(&instructions, Some(&account), &blockhash.into());
    // Whoever waits here is one for each opening, and takes no place of others.
    drop(place);
    let signature = node.openings.ask(&id, account, message.clone(), now_ms).await?;
    Ok(Json(PayTransactionView {
        transaction: written(message, Some((key, signature)))?,
        message: format!(
            "Open a vault that only you can empty, deposit {amount} USDC, and let the key {key} spend up to {} USDC of it",
            MicroUsdc(grant.limit_total)
        ),
    }))
}

/// What a wallet has asked for, for the page that holds the key to check and sign.
#[utoipa::path(
    get,
    path = "/v1/solana-pay/openings/{id}/transaction",
    operation_id = "getPayOpeningTransaction",
    tag = "vault",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "The opening.")),
    responses(
        (status = 200, description = "The transaction, or that no wallet has asked yet.", body = PayOpeningTransactionView),
        (status = 400, description = "This is no opening's name.", body = ErrorBody),
        (status = 404, description = "There is no such opening, or it is too old.", body = ErrorBody),
    )
)]
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    Named(id): Named,
) -> Result<Json<PayOpeningTransactionView>, RelayError> {
    view(node.openings.asked(&named(&id)?, node.clock.unix_ms())?).map(Json)
}

/// Takes the key's signature of what the wallet asked for last.
#[utoipa::path(
    post,
    path = "/v1/solana-pay/openings/{id}/transaction",
    operation_id = "signPayOpening",
    tag = "vault",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "The opening.")),
    request_body = PayOpeningSignature,
    responses(
        (status = 200, description = "It is signed, and the wallet gets it.", body = PayOpeningTransactionView),
        (status = 404, description = "There is no such opening, or it is too old.", body = ErrorBody),
        (status = 409, description = "No wallet has asked yet.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn sign(
    State(node): State<Arc<Node>>,
    Named(id): Named,
    request: Request,
) -> Result<Json<PayOpeningTransactionView>, RelayError> {
    let id = named(&id)?;
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let PayOpeningSignature { signature } = body::json(&body, "{\"signature\": \"Base64\"}")?;
    let signature = STANDARD.decode(signature).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let signature = Signature::from(signature.ok_or_else(|| invalid("signature", "64 bytes in base64"))?);
    view(Some(node.openings.sign(&id, signature, node.clock.unix_ms())?)).map(Json)
}

fn named(id: &str) -> Result<Id, RelayError> {
    let bytes = hex::decode(id).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| invalid("id", "an opening's: 16 bytes in hexadecimal"))
}

/// What a page wishes. Whether the program grants it is seen by the wallet, which tries a transaction before it asks its owner.
fn wish(asked: &PayOpeningRequest) -> Result<Wish, RelayError> {
    const KEY: &str = "the address of a key: 32 bytes in base58, the public half of a keypair";
    let key: Pubkey = parsed("key", &asked.key, KEY)?;
    VerifyingKey::from_bytes(&key.to_bytes()).map_err(|_| invalid("key", KEY))?;
    let granted = STANDARD.decode(&asked.authorize_key).ok().and_then(|data| authorized(&data));
    let granted = granted.filter(|granted| granted.slot == SLOT);
    let granted = granted.ok_or_else(|| {
        invalid("authorize_key", "the data of the program's instruction `authorize_key` for slot 0, in base64")
    })?;
    if !(1..=MOST).contains(&asked.deposit) {
        return Err(invalid("deposit", "µUSDC from 1 to 1000000000000"));
    }
    Ok(Wish { key, grant: granted.grant, amount: MicroUsdc(asked.deposit) })
}

fn view(asked: Option<Asked>) -> Result<PayOpeningTransactionView, RelayError> {
    let signed = asked.as_ref().is_some_and(|asked| asked.signature.is_some());
    let account = asked.as_ref().map(|asked| asked.account.to_string());
    let transaction = asked.map(|asked| written(asked.message, None)).transpose()?;
    Ok(PayOpeningTransactionView { object: "pay_opening_transaction".into(), account, transaction, signed })
}
