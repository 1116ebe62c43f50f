//! What the offers of a model were like over time.

use super::LIST;
use crate::board::{HistoryPoint, OfferHistory, Span};
use crate::market::MarketView;
use crate::registry::Offer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the offers of a model were like, and what they cost, over a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MarketHistory {
    /// Always `list`.
    pub object: String,
    /// The model.
    pub model: String,
    /// The span.
    pub span: Span,
    /// Seconds of each step.
    pub step_seconds: i64,
    /// When the span begins, in Unix seconds.
    pub since: i64,
    /// When it ends, in Unix seconds.
    pub until: i64,
    /// The offers with most requests in that time, those with more first.
    pub data: Vec<OfferHistoryView>,
    /// Offers of the model that are left out.
    pub left_out: usize,
}

/// What an offer was like, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = OfferHistory)]
pub struct OfferHistoryView {
    /// The offer's address.
    pub offer: String,
    /// The provider's address.
    pub provider: String,
    /// The name that the provider chose.
    pub provider_name: String,
    /// The host that names the provider as its own.
    pub host: Option<String>,
    /// The steps in which requests ended, oldest first.
    pub points: Vec<HistoryPoint>,
    /// The price at the beginning, and each change.
    pub prices: Vec<PricePoint>,
}

/// A price, and from when on it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PricePoint {
    /// The beginning of the hour in which it was first seen, in Unix seconds.
    pub at: i64,
    /// µUSDC per million prompt tokens of prompts that are not long.
    pub input: u64,
    /// µUSDC per million answer tokens of such prompts.
    pub output: u64,
}

impl MarketHistory {
    /// The histories of `model` that ends at `until`, of which `most` are told.
    pub fn new(model: &str, span: Span, until: i64, mut offers: Vec<OfferHistoryView>, most: usize) -> Self {
        let requests =
            |offer: &OfferHistoryView| offer.points.iter().map(|point| u64::from(point.requests)).sum::<u64>();
        offers.sort_by_cached_key(|offer| std::cmp::Reverse(requests(offer)));
        let left_out = offers.len().saturating_sub(most);
        offers.truncate(most);
        Self {
            object: LIST.into(),
            model: model.to_owned(),
            span,
            step_seconds: span.step(),
            since: span.from(until),
            until,
            data: offers,
            left_out,
        }
    }
}

impl OfferHistoryView {
    /// That of `offer`.
    pub fn new(offer: &Offer, market: &MarketView, history: OfferHistory) -> Self {
        let prices = history.prices.into_iter();
        Self {
            offer: offer.address.to_string(),
            provider: offer.provider.to_string(),
            provider_name: offer.provider_name.clone(),
            host: market.proof(offer).map(|proof| proof.host.to_string()),
            points: history.points,
            prices: prices.map(|(at, price)| PricePoint { at, input: price.input, output: price.output }).collect(),
        }
    }
}
