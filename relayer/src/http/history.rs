//! What the market was like over time. It is work to tell and anybody may ask, so that an answer is given again for a while.

use crate::board::Span;
use crate::http::answer::JSON;
use crate::http::body;
use crate::http::openapi::LookupErrors;
use crate::http::query::{Query, invalid};
use crate::node::Node;
use crate::registry::Registry;
use crate::relay::error::RelayError;
use crate::relay::json::shorten;
use crate::views::{MarketHistory, OfferHistoryView};
use axum::extract::{OriginalUri, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// Offers whose history is told at most.
const MOST_OFFERS: usize = 24;
/// For how long the answer may be kept by others: as long as it is kept here.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=30");

/// What the offers of a model were like over a day or a week: first token, speed, uptime and price.
#[utoipa::path(
    get,
    path = "/v1/market/history",
    operation_id = "getMarketHistory",
    tag = "market",
    params(
        ("model" = String, Query, description = "The model."),
        ("span" = Option<Span>, Query, description = "How far back: `24h` in steps of five minutes, or `7d` in steps of an hour; without it `24h`."),
    ),
    responses((status = 200, description = "The history, at most half a minute old.", body = MarketHistory), LookupErrors)
)]
pub(super) async fn history(
    State(node): State<Arc<Node>>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, RelayError> {
    let query = Query::read(&uri, &["model", "span"])?;
    let wanted = query.get("model").ok_or_else(|| {
        RelayError::invalid("missing_parameter", "model", "name the model with `model`; `GET /v1/models` lists them")
    })?;
    let span = match query.get("span") {
        Some(name) => Span::ALL.into_iter().find(|span| span.name() == name),
        None => Some(Span::Day),
    };
    let span = span.ok_or_else(|| invalid("span", "24h or 7d"))?;
    let registry = node.registry.borrow().clone();
    let market = node.market.view();
    let model = registry.spelling(wanted, |offer| market.bars(offer, false).is_none());
    let model = model.ok_or_else(|| RelayError::UnknownModel(shorten(wanted)))?;
    let name = format!("{} {model}", span.name());
    let now = Instant::now();
    let body = match node.histories.get(&name, now) {
        Some(body) => body,
        None => {
            // It is work for whoever asks: not on the threads of requests, and in few places.
            let place = body::unpaid_place(&node)?;
            let (model, here) = (model.to_owned(), node.clone());
            let made = tokio::task::spawn_blocking(move || {
                let _place = place;
                told(&here, &registry, &model, span)
            });
            let body: Bytes = made.await.map_err(|_| RelayError::busy())??;
            node.histories.keep(&name, now, body.clone());
            body
        }
    };
    Ok(([(CONTENT_TYPE, JSON), (CACHE_CONTROL, KEEP)], body).into_response())
}

/// The answer for a model.
fn told(node: &Node, registry: &Registry, model: &str, span: Span) -> Result<Bytes, RelayError> {
    let (now_ms, market) = (node.clock.unix_ms(), node.market.view());
    let offers = registry
        .offers_of(model)
        .map(|offer| OfferHistoryView::new(offer, &market, node.board.history_of(&offer.address, span, now_ms)));
    let history = MarketHistory::new(model, span, node.clock.unix(), offers.collect(), MOST_OFFERS);
    let body = serde_json::to_vec(&history).map_err(|_| RelayError::busy())?;
    Ok(body.into())
}
