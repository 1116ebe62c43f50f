//! What anyone may read about the relayer itself: whether it works, and how much.

use crate::node::Node;
use crate::registry::Registry;
use crate::views::{Health, Readiness};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Age of the registry, by the cluster's clock, beyond which nothing should be sold on its word.
const MAX_REGISTRY_AGE_SECONDS: i64 = 120;
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process answers.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "relayer",
    responses((status = 200, description = "The process answers.", body = Health))
)]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok".into() })
}

/// Whether the chain was read lately enough to sell on its word: a withdrawal or a revocation may have gone unseen.
pub(super) fn is_fresh(node: &Node, registry: &Registry) -> bool {
    // The clock of a local network is whatever its user sets.
    node.config.upstream.localnet || age(node, registry) <= MAX_REGISTRY_AGE_SECONDS
}

fn age(node: &Node, registry: &Registry) -> i64 {
    node.clock.unix().saturating_sub(registry.unix_time)
}

/// Whether the relayer takes requests.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "getReadiness",
    tag = "relayer",
    responses(
        (status = 200, description = "It takes requests.", body = Readiness),
        (status = 503, description = "It takes none.", body = Readiness),
    )
)]
pub(super) async fn ready(State(node): State<Arc<Node>>) -> Response {
    let registry = node.registry.borrow().clone();
    let age = age(&node, &registry);
    let fresh = is_fresh(&node, &registry);
    let ledger = node.ledger.trouble();
    let draining = node.shutdown.is_cancelled();
    let ready = fresh && ledger.is_none() && registry.relayer.active && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let report = Readiness {
        ready,
        slot: registry.slot,
        registry_age_seconds: age,
        registry_fresh: fresh,
        relayer_active: registry.relayer.active,
        ledger: ledger.is_none(),
        ledger_trouble: ledger.map(|trouble| trouble.to_string()),
        draining,
    };
    (status, Json(report)).into_response()
}

/// What the relayer counts, in the text format of OpenMetrics.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "relayer",
    responses((
        status = 200,
        description = "The metrics.",
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        body = String
    ))
)]
pub(super) async fn metrics(State(node): State<Arc<Node>>) -> Response {
    let settle = node.settle.borrow().clone();
    let registry = node.registry.borrow().clone();
    let metrics = &node.metrics;
    metrics.settlement(&settle, registry.slot);
    metrics.ledger(&node.ledger);
    let board = &node.board;
    let flags: Vec<_> = registry.offers.iter().map(|offer| (offer, board.flags(&offer.address))).collect();
    metrics.flagged(flags.iter().flat_map(|(offer, flags)| {
        flags.iter().map(|flag| (offer.provider_name.as_str(), offer.model.as_str(), flag.reason.name()))
    }));
    ([(CONTENT_TYPE, OPENMETRICS)], metrics.render()).into_response()
}
