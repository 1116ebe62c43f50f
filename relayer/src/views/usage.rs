//! What a key used: receipts, sums of them, and what is left.

use super::{LIST, ReceiptDocument, ReceiptFields};
use crate::ledger::UsageTotal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Receipts of a key, in the order that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptList {
    /// Always `list`.
    pub object: String,
    /// The receipts.
    pub data: Vec<ListedReceipt>,
    /// Whether there are more: ask again with `after` and the id of the last one.
    pub has_more: bool,
}

/// A receipt in a list. `GET /v1/receipts/{id}` has the proof of its settlement as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListedReceipt {
    /// The answer's id.
    pub id: String,
    /// Always `receipt`.
    pub object: String,
    /// `unsettled`, `sealed` or `settled`; or `set aside`, `written off` or `dropped`, each with the reason.
    pub status: String,
    /// The session key's address; relayers of earlier versions leave it out.
    #[serde(default)]
    pub key: Option<String>,
    /// The transaction that settled it, base58; null until that is final.
    #[serde(default)]
    pub transaction: Option<String>,
    /// The offer's model; null if it is not offered any more.
    pub model: Option<String>,
    /// The provider's name; null if it offers nothing any more.
    pub provider_name: Option<String>,
    /// The signed receipt, base64.
    pub receipt: String,
    /// What it says.
    pub fields: ReceiptFields,
}

/// Receipts that pay a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PaidReceiptList {
    /// Always `list`.
    pub object: String,
    /// The receipts, with the proofs of those that are settled.
    pub data: Vec<ReceiptDocument>,
    /// Whether there may be more: ask again with `after` and this.
    pub next: Option<i64>,
}

/// Sums of a key's receipts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageList {
    /// Always `list`.
    pub object: String,
    /// From when on, in Unix seconds.
    pub since: i64,
    /// Until when, in Unix seconds; what began at that second is not in it.
    pub until: i64,
    /// One row for each day, key, model or provider, as asked for, in that order.
    pub data: Vec<UsageRow>,
    /// Whether there are more: ask again with `since` and `until` from here and `offset` as many rows further.
    pub has_more: bool,
    /// The sum of all rows, those of other pages included.
    pub total: UsageSum,
}

/// A sum of receipts; the members that the sum is not divided by are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// The day, as in `2026-11-28`, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The key's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The model; the offer's address if it is not offered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider's name; its address if it offers nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The sum.
    #[serde(flatten)]
    pub sum: UsageSum,
}

/// What some receipts come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageSum {
    /// Answers.
    pub requests: u64,
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input_tokens: u64,
    /// Prompt tokens from a cache.
    pub cached_tokens: u64,
    /// Prompt tokens that were written to a cache.
    pub cache_write_tokens: u64,
    /// Answer tokens.
    pub output_tokens: u64,
    /// Charges and fees in pico-USDC, as a decimal string.
    pub cost_pico: String,
}

/// A key's limits and use, under OpenRouter's names, in USD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyUsage {
    /// The figures.
    pub data: KeyUsageFigures,
}

/// A key's limits and use in USD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyUsageFigures {
    /// The key's address.
    pub label: String,
    /// What it used and what is held for requests under way.
    pub usage: f64,
    /// What it may use in total.
    pub limit: f64,
    /// What is left of that.
    pub limit_remaining: f64,
    /// Always false.
    pub is_free_tier: bool,
    /// How often it may ask.
    pub rate_limit: KeyRateLimit,
}

/// How often a key may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRateLimit {
    /// Requests in an interval; 0 is without limit.
    pub requests: u32,
    /// The interval.
    pub interval: String,
}

/// A vault's money, under OpenRouter's names, in USD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Credits {
    /// The figures.
    pub data: CreditsFigures,
}

/// A vault's money in USD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreditsFigures {
    /// What is in it and what was settled from it since it was opened.
    pub total_credits: f64,
    /// What was charged to it, settled or not.
    pub total_usage: f64,
}

impl ReceiptList {
    /// The list of these receipts.
    pub fn new(data: Vec<ListedReceipt>, has_more: bool) -> Self {
        Self { object: LIST.into(), data, has_more }
    }
}

impl PaidReceiptList {
    /// The list of these receipts.
    pub fn new(data: Vec<ReceiptDocument>, next: Option<i64>) -> Self {
        Self { object: LIST.into(), data, next }
    }
}

impl From<&UsageTotal> for UsageSum {
    fn from(sum: &UsageTotal) -> Self {
        Self {
            requests: sum.requests,
            input_tokens: sum.input,
            cached_tokens: sum.cached,
            cache_write_tokens: sum.written,
            output_tokens: sum.output,
            cost_pico: sum.cost.0.to_string(),
        }
    }
}
