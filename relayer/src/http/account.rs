//! What belongs to a key: receipts, routing decisions, and the vault it spends from. All need the key, as a bearer
//! token or as the signature of an empty request.

use crate::chain::Pubkey;
use crate::http::query::Query;
use crate::ledger::{GenerationRow, Proof};
use crate::node::Node;
use crate::relay::auth::{Credentials, Inbound, body_hash};
use crate::relay::base64;
use crate::relay::decision::OPENED;
use crate::relay::error::RelayError;
use crate::relay::meter::usd;
use crate::vaults::VaultView;
use axum::Json;
use axum::extract::{Path, Request, State};
use serde_json::{Value, json};
use std::sync::Arc;
use steam_protocol::Address;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};

/// Longest generation id that is looked up.
const MAX_ID: usize = 64;

/// `GET /v1/receipts/{id}`: the signed receipt, what it says, and its proof once it is settled.
pub async fn receipt(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, RelayError> {
    let key = reader(&node, &request)?;
    let row = node.ledger.receipt(known(&id)?).await?.filter(|row| row.key == key).ok_or_else(absent)?;
    let signed =
        SignedReceipt::from_bytes(&row.receipt).map_err(|_| RelayError::Internal("a stored receipt that is none"))?;
    Ok(Json(json!({
        "id": row.id,
        "object": "receipt",
        "status": row.status,
        "receipt": base64(&row.receipt),
        "fields": fields(&signed.receipt),
        "proof": row.proof.as_ref().map(proof),
    })))
}

/// `GET /v1/generation/{id}`: why this provider served it. `decision` is the record the receipt's `routing_hash` commits
/// to, `decision_base64` its exact bytes, `data` the answer in figures, as OpenRouter names them.
pub async fn generation(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, RelayError> {
    let key = reader(&node, &request)?;
    let row = node.ledger.generation(known(&id)?).await?;
    shown(row, &key)
}

/// `GET /v1/generation?id=`, or by what every receipt says: `?vault=&generation=&number=`.
pub async fn find_generation(State(node): State<Arc<Node>>, request: Request) -> Result<Json<Value>, RelayError> {
    let key = reader(&node, &request)?;
    let query = Query::read(request.uri(), &["id", "vault", "generation", "number"])?;
    let ledger = &node.ledger;
    let row = match (query.get("id"), query.get("vault"), query.get("generation"), query.get("number")) {
        (Some(id), None, None, None) => ledger.generation(known(id)?).await?,
        (None, Some(_), Some(_), Some(_)) => {
            let vault = query.parse("vault", "a vault's address in base58")?;
            let generation = query.parse("generation", "a whole number")?;
            let number = query.parse("number", "a whole number")?;
            match (vault, generation, number) {
                (Some(vault), Some(generation), Some(number)) => {
                    ledger.generation_of_receipt(vault, generation, number).await?
                }
                _ => None,
            }
        }
        _ => {
            let message = "say which with `id`, or with `vault`, `generation` and `number` as the receipt has them";
            return Err(RelayError::invalid("missing_parameter", "id", message));
        }
    };
    shown(row, &key)
}

fn shown(row: Option<GenerationRow>, key: &Address) -> Result<Json<Value>, RelayError> {
    let row = row.filter(|row| row.key == *key).ok_or_else(absent)?;
    let decision: Value =
        serde_json::from_slice(&row.decision).map_err(|_| RelayError::Internal("a stored decision that is no JSON"))?;
    let signed =
        SignedReceipt::from_bytes(&row.receipt).map_err(|_| RelayError::Internal("a stored receipt that is none"))?;
    Ok(Json(json!({
        "id": row.id,
        "object": "generation",
        "data": figures(&row.id, &decision, &signed.receipt),
        "decision": decision,
        "decision_base64": base64(&row.decision),
        "receipt": base64(&row.receipt),
    })))
}

/// An answer in figures: times in milliseconds, amounts in USD.
fn figures(id: &str, decision: &Value, receipt: &Receipt) -> Value {
    let served = decision["attempts"].as_array().into_iter().flatten().find(|attempt| attempt["outcome"] == OPENED);
    let of = |member: &str| served.map_or(Value::Null, |attempt| attempt[member].clone());
    let cost: Option<f64> = receipt.charge.checked_add(receipt.fee).map(|total| total.0 as f64 / 1e12);
    let prompt = u64::from(receipt.usage.input) + u64::from(receipt.usage.cached);
    json!({
        "id": id,
        "model": of("model"),
        "provider_name": of("name"),
        "created": receipt.started_at_ms.div_euclid(1_000),
        "total_cost": cost,
        "usage": cost,
        "latency": receipt.ttft_ms,
        "generation_time": receipt.duration_ms.saturating_sub(receipt.ttft_ms),
        "tokens_prompt": prompt,
        "tokens_completion": receipt.usage.output,
        "native_tokens_cached": receipt.usage.cached,
        "finish_reason": finish_reason(receipt.finish_reason),
        "cancelled": receipt.finish_reason == FinishReason::ClientGone,
    })
}

/// `GET /v1/vaults/{address}`: balance, holds, unsettled charges and keys.
pub async fn vault(
    State(node): State<Arc<Node>>,
    Path(address): Path<String>,
    request: Request,
) -> Result<Json<VaultView>, RelayError> {
    let vault: Pubkey = address
        .parse()
        .map_err(|_| RelayError::invalid("invalid_value", "address", "a vault's address is 32 bytes in base58"))?;
    let credentials = Credentials::read(request.headers(), node.config.server.bearer_keys)?;
    let identified = credentials.identify(&node.vaults, Some(&vault))?;
    let caller = identified.verify(&node.registry.borrow().clone(), &inbound(&request), node.clock.unix())?;
    // A signature names its own vault.
    let view = Some(vault).filter(|vault| caller.key.vault == *vault).and_then(|vault| node.vaults.show(&vault));
    view.map(Json).ok_or_else(|| RelayError::NotFound("this key is not authorised in that vault".into()))
}

/// The key that asks. Holding a bearer key is proof enough, even if it may not spend any more: what it spent is still its
/// own to see.
fn reader(node: &Node, request: &Request) -> Result<[u8; 32], RelayError> {
    let credentials = Credentials::read(request.headers(), node.config.server.bearer_keys)?;
    if let Credentials::Bearer(key) = &credentials {
        return Ok(key.address());
    }
    let identified = credentials.identify(&node.vaults, None)?;
    let caller = identified.verify(&node.registry.borrow().clone(), &inbound(request), node.clock.unix())?;
    Ok(caller.key.key)
}

fn inbound(request: &Request) -> Inbound<'_> {
    Inbound {
        method: request.method().as_str(),
        path: request.uri().path(),
        headers: request.headers(),
        body_hash: body_hash(b""),
    }
}

/// An id that may be looked up.
fn known(id: &str) -> Result<&str, RelayError> {
    Some(id).filter(|id| id.len() <= MAX_ID).ok_or_else(absent)
}

/// The same for what does not exist and what is another key's.
fn absent() -> RelayError {
    RelayError::NotFound(
        "there is no generation of this id for this key; it is in the header Steam-Generation-Id of the answer".into(),
    )
}

fn fields(receipt: &Receipt) -> Value {
    let base58 = |bytes: &[u8; 32]| Pubkey::new_from_array(*bytes).to_string();
    json!({
        "key_id": receipt.key_id,
        "domain": hex::encode(receipt.domain),
        "relayer": base58(&receipt.relayer),
        "vault": base58(&receipt.vault),
        "generation": receipt.generation,
        "key_epoch": receipt.key_epoch,
        "key_slot": receipt.key_slot,
        "number": receipt.number,
        "request_hash": hex::encode(receipt.request_hash),
        "response_hash": hex::encode(receipt.response_hash),
        "provider": base58(&receipt.provider),
        "offer": base58(&receipt.offer),
        "price_version": receipt.price_version,
        "price": {
            "input": receipt.price.input, "cached": receipt.price.cached,
            "output": receipt.price.output, "request": receipt.price.request,
        },
        "usage": {
            "requests": receipt.usage.requests, "input": receipt.usage.input,
            "cached": receipt.usage.cached, "output": receipt.usage.output,
        },
        "counted_by": match receipt.counted_by {
            CountedBy::Provider => "provider",
            CountedBy::Relayer => "relayer",
            CountedBy::Capped => "capped",
        },
        "charge_pico": receipt.charge.0.to_string(),
        "fee_bps": receipt.fee_bps,
        "fee_pico": receipt.fee.0.to_string(),
        "cost_usd": receipt.charge.checked_add(receipt.fee).map(usd),
        "key_cumulative_pico": receipt.key_cumulative.0.to_string(),
        "finish_reason": finish_reason(receipt.finish_reason),
        "started_at_ms": receipt.started_at_ms,
        "ttft_ms": receipt.ttft_ms,
        "duration_ms": receipt.duration_ms,
        "routing_hash": hex::encode(receipt.routing_hash),
    })
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Error => "error",
        FinishReason::ClientGone => "client_gone",
        FinishReason::Other => "other",
    }
}

fn proof(proof: &Proof) -> Value {
    json!({
        "transaction": proof.transaction,
        "root": hex::encode(proof.root),
        "index": proof.index,
        "count": proof.count,
        "path": proof.path.iter().map(hex::encode).collect::<Vec<_>>(),
        "seq": proof.seq,
    })
}
