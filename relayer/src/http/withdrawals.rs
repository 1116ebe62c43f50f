//! Withdrawals at once. The owner's signature in the transaction is the credential.

use crate::http::body;
use crate::http::openapi::BodyErrors;
use crate::node::Node;
use crate::relay::base64;
use crate::relay::error::RelayError;
use crate::views::{ErrorBody, WithdrawalAmount, WithdrawalTransaction, WithdrawalView};
use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use axum::Json;
use axum::extract::{Request, State};
use std::sync::Arc;

/// Bytes of a request: a transaction has at most 1,232, in Base64.
const MAX_BODY: usize = 4_096;

/// Signs a `withdraw_now` as the settler, for its owner to send. The owner's signature is the credential.
#[utoipa::path(
    post,
    path = "/v1/withdrawals",
    operation_id = "createWithdrawal",
    tag = "vault",
    request_body = WithdrawalTransaction,
    responses(
        (status = 200, description = "The settler has signed.", body = WithdrawalView),
        (status = 404, description = "There is no such vault at this relayer.", body = ErrorBody),
        (
            status = 409,
            description = "The rest would not cover what is charged and held, or the transaction is out of date.",
            body = ErrorBody
        ),
        BodyErrors,
    )
)]
pub(super) async fn create(
    State(node): State<Arc<Node>>,
    request: Request,
) -> Result<Json<WithdrawalView>, RelayError> {
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let (bytes, asked) = node.withdrawals.cosign(&read(&body)?).await?;
    let agreement = &asked.agreement;
    tracing::info!(vault = %agreement.vault, amount = ?agreement.amount, "agreed to a withdrawal");
    Ok(Json(WithdrawalView {
        object: "withdrawal".into(),
        vault: agreement.vault.to_string(),
        amount: WithdrawalAmount::new(agreement.amount.map(|amount| amount.0)),
        settle_seq: asked.settle_seq,
        valid_until_slot: agreement.valid_until_slot,
        transaction: base64(&bytes),
    }))
}

fn read(body: &[u8]) -> Result<Vec<u8>, RelayError> {
    let malformed = |error: String| RelayError::Invalid {
        message: format!("send {{\"transaction\": \"Base64 of a signed transaction\"}}: {error}"),
        param: None,
        code: "malformed_body",
    };
    let WithdrawalTransaction { transaction } =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    STANDARD.decode(&transaction).map_err(|error| malformed(error.to_string()))
}
