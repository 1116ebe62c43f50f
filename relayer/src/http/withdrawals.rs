//! Withdrawals at once. The owner's signature in the transaction is the credential.

use crate::http::body;
use crate::node::Node;
use crate::relay::base64;
use crate::relay::error::RelayError;
use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Bytes of a request: a transaction has at most 1,232, in Base64.
const MAX_BODY: usize = 4_096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// A `withdraw_now` signed by its owner, in Base64.
    transaction: String,
}

/// `POST /v1/withdrawals`: signs a `withdraw_now` as the settler, for its owner to send.
///
/// # Errors
/// 400 if the transaction is anything else, 409 if what would be left is not enough for what is charged and held.
pub async fn agree(State(node): State<Arc<Node>>, request: Request) -> Result<Json<Value>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let (bytes, wish) = node.withdrawals.agree(&read(&body)?).await?;
    let agreement = &wish.agreement;
    tracing::info!(vault = %agreement.vault, amount = ?agreement.amount, "agreed to a withdrawal");
    Ok(Json(json!({
        "object": "withdrawal",
        "vault": agreement.vault.to_string(),
        "amount": agreement.amount.map_or_else(|| "all".into(), |amount| json!(amount.0)),
        "settle_seq": wish.settle_seq,
        "valid_until_slot": agreement.valid_until_slot,
        "transaction": base64(&bytes),
    })))
}

fn read(body: &[u8]) -> Result<Vec<u8>, RelayError> {
    let malformed = |error: String| RelayError::Invalid {
        message: format!("send {{\"transaction\": \"Base64 of a signed transaction\"}}: {error}"),
        param: None,
        code: "malformed_body",
    };
    let Sent { transaction } = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    STANDARD.decode(&transaction).map_err(|error| malformed(error.to_string()))
}
