//! A receipt in fields, and the proof that it was settled.

use super::{PriceView, base58};
use crate::ledger;
use crate::relay::meter::usd;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use steam_protocol::receipt;
use steam_protocol::units;
use utoipa::ToSchema;

/// A stored receipt: its signed bytes, its fields, and the proof of its settlement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptDocument {
    /// The answer's id, as the header `Steam-Generation-Id` has it.
    pub id: String,
    /// Always `receipt`.
    pub object: String,
    /// `unsettled`, `sealed` or `settled`; or `set aside`, `written off` or `dropped`, each with the reason.
    pub status: String,
    /// The signed receipt, base64.
    pub receipt: String,
    /// What the signed bytes say.
    pub fields: ReceiptFields,
    /// The proof that the receipt is part of a settled batch; null until its settlement is final.
    pub proof: Option<ReceiptProof>,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptFields {
    /// The number of the receipt key that signs it.
    pub key_id: u32,
    /// The program and cluster, hexadecimal.
    pub domain: String,
    /// The relayer's account.
    pub relayer: String,
    /// The vault that pays.
    pub vault: String,
    /// The slot at which the vault was opened.
    pub generation: u64,
    /// The session key's epoch.
    pub key_epoch: u32,
    /// The session key's place in the vault.
    pub key_slot: u8,
    /// The receipt's number in the vault; it rises and has gaps.
    pub number: u64,
    /// SHA-256 of the request's binding, hexadecimal.
    pub request_hash: String,
    /// SHA-256 of the answer's bytes before the receipt, hexadecimal.
    pub response_hash: String,
    /// The provider's account.
    pub provider: String,
    /// The offer that served the request.
    pub offer: String,
    /// The version of the price.
    pub price_version: u32,
    /// The prices of that version: which of them holds follows from the prompt's tokens.
    pub price: PriceView,
    /// What is charged for.
    pub usage: UsageView,
    /// Who counted the tokens.
    pub counted_by: CountedByView,
    /// The charge in pico-USDC, without the fee.
    pub charge_pico: String,
    /// The relayer's fee, in basis points of the charge.
    pub fee_bps: u16,
    /// The fee in pico-USDC.
    pub fee_pico: String,
    /// Charge and fee in USD, exact.
    pub cost_usd: Option<String>,
    /// Charges and fees of all receipts of this key so far, this one included, in pico-USDC.
    pub key_cumulative_pico: String,
    /// Why the answer ended.
    pub finish_reason: FinishReasonView,
    /// When the request was accepted, in Unix milliseconds.
    pub started_at_ms: i64,
    /// Milliseconds from acceptance to the first content.
    pub ttft_ms: u32,
    /// Milliseconds from acceptance to the end.
    pub duration_ms: u32,
    /// SHA-256 of the decision record, hexadecimal.
    pub routing_hash: String,
}

/// Requests and tokens that are charged for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptUsage)]
pub struct UsageView {
    /// Requests.
    pub requests: u32,
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u32,
    /// Prompt tokens from the provider's cache.
    pub cached: u32,
    /// Prompt tokens written to the provider's cache, for the shorter lifetime.
    pub cache_write: u32,
    /// Prompt tokens written to the provider's cache, for the longer lifetime.
    pub cache_write_long: u32,
    /// Answer tokens.
    pub output: u32,
}

/// Who counted the tokens that are charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CountedBy)]
pub enum CountedByView {
    /// The provider, within the bounds of the relayer's own count.
    Provider,
    /// The relayer, because the provider sent no usage or the stream ended early.
    Relayer,
    /// The provider, cut down to the bound of the relayer's own count.
    Capped,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FinishReason)]
pub enum FinishReasonView {
    /// A natural end, or a stop sequence.
    Stop,
    /// The token limit.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// A content filter.
    ContentFilter,
    /// The provider failed after its first content.
    Error,
    /// The client left.
    ClientGone,
    /// Another reason that the provider named.
    Other,
}

/// The proof that a receipt is a leaf of a settled batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptProof {
    /// The signature of the settlement's transaction, base58.
    pub transaction: String,
    /// The batch's Merkle root, hexadecimal.
    pub root: String,
    /// The receipt's place among the leaves.
    pub index: u64,
    /// The number of leaves.
    pub count: u64,
    /// Siblings from the leaf to the root, hexadecimal.
    pub path: Vec<String>,
    /// The sequence number of the vault's group.
    pub seq: u32,
}

impl ReceiptDocument {
    /// A stored `row` with its `receipt`.
    pub fn new(row: &ledger::ReceiptRow, receipt: &receipt::Receipt) -> Self {
        Self {
            id: row.id.clone(),
            object: "receipt".into(),
            status: row.status.clone(),
            receipt: STANDARD.encode(&row.receipt),
            fields: receipt.into(),
            proof: row.proof.as_ref().map(Into::into),
        }
    }
}

impl From<&receipt::Receipt> for ReceiptFields {
    fn from(receipt: &receipt::Receipt) -> Self {
        Self {
            key_id: receipt.key_id,
            domain: hex::encode(receipt.domain),
            relayer: base58(&receipt.relayer),
            vault: base58(&receipt.vault),
            generation: receipt.generation,
            key_epoch: receipt.key_epoch,
            key_slot: receipt.key_slot,
            number: receipt.number,
            request_hash: hex::encode(receipt.request_hash),
            response_hash: hex::encode(receipt.response_hash),
            provider: base58(&receipt.provider),
            offer: base58(&receipt.offer),
            price_version: receipt.price_version,
            price: PriceView::from(&receipt.price),
            usage: UsageView::from(&receipt.usage),
            counted_by: receipt.counted_by.into(),
            charge_pico: receipt.charge.0.to_string(),
            fee_bps: receipt.fee_bps,
            fee_pico: receipt.fee.0.to_string(),
            cost_usd: receipt.charge.checked_add(receipt.fee).map(usd),
            key_cumulative_pico: receipt.key_cumulative.0.to_string(),
            finish_reason: receipt.finish_reason.into(),
            started_at_ms: receipt.started_at_ms,
            ttft_ms: receipt.ttft_ms,
            duration_ms: receipt.duration_ms,
            routing_hash: hex::encode(receipt.routing_hash),
        }
    }
}

impl From<&units::Usage> for UsageView {
    fn from(usage: &units::Usage) -> Self {
        let units::Usage { requests, input, cached, cache_write, cache_write_long, output } = *usage;
        Self { requests, input, cached, cache_write, cache_write_long, output }
    }
}

impl From<receipt::CountedBy> for CountedByView {
    fn from(counted_by: receipt::CountedBy) -> Self {
        match counted_by {
            receipt::CountedBy::Provider => Self::Provider,
            receipt::CountedBy::Relayer => Self::Relayer,
            receipt::CountedBy::Capped => Self::Capped,
        }
    }
}

impl From<receipt::FinishReason> for FinishReasonView {
    fn from(reason: receipt::FinishReason) -> Self {
        match reason {
            receipt::FinishReason::Stop => Self::Stop,
            receipt::FinishReason::Length => Self::Length,
            receipt::FinishReason::ToolCalls => Self::ToolCalls,
            receipt::FinishReason::ContentFilter => Self::ContentFilter,
            receipt::FinishReason::Error => Self::Error,
            receipt::FinishReason::ClientGone => Self::ClientGone,
            receipt::FinishReason::Other => Self::Other,
        }
    }
}

impl From<&ledger::Proof> for ReceiptProof {
    fn from(proof: &ledger::Proof) -> Self {
        Self {
            transaction: proof.transaction.clone(),
            root: hex::encode(proof.root),
            index: proof.index,
            count: proof.count,
            path: proof.path.iter().map(hex::encode).collect(),
            seq: proof.seq,
        }
    }
}
