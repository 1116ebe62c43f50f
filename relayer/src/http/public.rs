//! What anyone may read: models, providers, and whether the relayer works.

use crate::app::App;
use crate::http::state::Server;
use crate::registry::{Offer, Registry};
use crate::relay::error::RelayError;
use crate::score::Board;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use steam_protocol::units::Price;
use tokio::time::Instant;

/// Age of the registry, by the cluster's clock, beyond which nothing should be sold on its word.
const MAX_REGISTRY_AGE_SECONDS: i64 = 120;
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /v1/models`: OpenAI's list, each with its lowest price and best speed and latency.
pub async fn models(State(server): State<Arc<Server>>) -> Json<Value> {
    let registry = server.relay.app.registry.borrow().clone();
    let models: Vec<Value> = registry.models().map(|model| describe(&server, &registry, model)).collect();
    Json(json!({ "object": "list", "data": models }))
}

/// `GET /v1/models/{id}`; ids contain slashes.
pub async fn model(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Result<Json<Value>, RelayError> {
    let registry = server.relay.app.registry.borrow().clone();
    if registry.offers_of(&id).next().is_none() {
        return Err(RelayError::UnknownModel(crate::relay::json::shorten(&id)));
    }
    Ok(Json(describe(&server, &registry, &id)))
}

/// `GET /v1/providers`: every offer at its posted price with what was measured of it.
pub async fn providers(State(server): State<Arc<Server>>) -> Json<Value> {
    let registry = server.relay.app.registry.borrow().clone();
    let offers: Vec<Value> = registry.offers.iter().map(|offer| listed(&server, offer)).collect();
    Json(json!({
        "object": "list",
        "slot": registry.slot,
        "relayer": registry.relayer,
        "blend_ratio": server.relay.app.config.routing.blend_ratio,
        "data": offers,
        "providers": registry.providers,
    }))
}

fn describe(server: &Server, registry: &Registry, model: &str) -> Value {
    let offers: Vec<&Arc<Offer>> = registry.offers_of(model).collect();
    let boards: Vec<Board> = offers.iter().map(|offer| board(server, offer)).collect();
    let best = |of: fn(&Board) -> Option<f64>, better: fn(f64, f64) -> f64| boards.iter().filter_map(of).reduce(better);
    let cheapest = offers.iter().min_by(|a, b| {
        let blended = |offer: &Offer| blended(&offer.price, server.relay.app.config.routing.blend_ratio);
        blended(a).total_cmp(&blended(b))
    });
    let listed: Vec<Value> = offers.iter().map(|offer| listed(server, offer)).collect();
    json!({
        "id": model,
        "object": "model",
        "created": 0,
        "owned_by": model.split_once('/').map_or("steam", |(vendor, _)| vendor),
        "context_length": offers.iter().map(|offer| offer.context_limit).max(),
        "max_output_tokens": offers.iter().map(|offer| offer.output_limit).max(),
        "pricing": cheapest.map(|offer| pricing(&offer.price)),
        "tokens_per_second": best(|board| board.tokens_per_second.map(|speed| speed.p50), f64::max),
        "ttft_ms": best(|board| board.ttft_ms.map(|ttft| ttft.p50), f64::min),
        "providers": listed,
    })
}

fn listed(server: &Server, offer: &Arc<Offer>) -> Value {
    let mut listed = json!(**offer);
    // Where a provider is called is on chain for all to read; what is said here is who serves what, at which price.
    listed["price"] = price(&offer.price);
    listed["pricing"] = pricing(&offer.price);
    listed["blended_usd_per_million"] = blended(&offer.price, server.relay.app.config.routing.blend_ratio).into();
    listed["board"] = json!(board(server, offer));
    listed
}

fn board(server: &Server, offer: &Offer) -> Board {
    server.relay.app.scorer.board(&offer.address, Instant::now())
}

/// As it is on chain: µUSDC per million tokens, and per request.
fn price(price: &Price) -> Value {
    json!({ "input": price.input, "cached": price.cached, "output": price.output, "request": price.request })
}

/// As people compare it: USD per million tokens, and per request.
fn pricing(price: &Price) -> Value {
    let usd = |micro: u64| micro as f64 / 1e6;
    json!({
        "prompt": usd(price.input), "cached_prompt": usd(price.cached),
        "completion": usd(price.output), "request": usd(price.request),
    })
}

/// USD per million tokens, of which `ratio` are input to one of output.
fn blended(price: &Price, ratio: f64) -> f64 {
    (price.input as f64 * ratio + price.output as f64) / (ratio + 1.0) / 1e6
}

/// `GET /health`: the process answers.
pub async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether the chain was read lately enough to sell on its word: a withdrawal or a revocation may have gone unseen.
pub(super) fn is_fresh(app: &App, registry: &Registry) -> bool {
    // The clock of a local network is whatever its user sets.
    app.config.upstream.localnet || age(app, registry) <= MAX_REGISTRY_AGE_SECONDS
}

fn age(app: &App, registry: &Registry) -> i64 {
    app.clock.unix().saturating_sub(registry.unix_time)
}

/// `GET /ready`: it may be sent requests.
pub async fn ready(State(server): State<Arc<Server>>) -> Response {
    let app = &server.relay.app;
    let registry = app.registry.borrow().clone();
    let age = age(app, &registry);
    let fresh = is_fresh(app, &registry);
    let ledger = app.ledger.ping().await.is_ok();
    let draining = app.shutdown.is_cancelled();
    let ready = fresh && ledger && registry.relayer.active && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let report = json!({
        "ready": ready,
        "slot": registry.slot,
        "registry_age_seconds": age,
        "registry_fresh": fresh,
        "relayer_active": registry.relayer.active,
        "ledger": ledger,
        "draining": draining,
    });
    (status, Json(report)).into_response()
}

/// `GET /metrics`.
pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let settle = server.relay.app.settle.borrow().clone();
    let registry = server.relay.app.registry.borrow().clone();
    let metrics = &server.relay.metrics;
    metrics.settlement(&settle, registry.slot);
    ([(CONTENT_TYPE, OPENMETRICS)], metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blended_price_weighs_input_by_the_ratio() {
        let price = Price { input: 1_000_000, cached: 0, output: 5_000_000, request: 0 };
        assert_eq!(blended(&price, 3.0), 2.0);
        assert_eq!(blended(&price, 0.0), 5.0);
    }
}
