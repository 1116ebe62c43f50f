//! What anyone may read about the relayer itself: whether it works, and how much.

use crate::node::{Node, Shared};
use crate::registry::Registry;
use crate::settle;
use crate::views::{Health, Readiness};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Age of the registry, by this machine's steady clock, beyond which nothing should be sold on its word.
const MAX_REGISTRY_AGE_SECONDS: i64 = 120;
/// How far the cluster's clock may be behind this machine's: either that one is wrong, or the nodes show an old state.
const MAX_BEHIND_SECONDS: i64 = 900;
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
    Json(alive())
}

/// What a process says that answers.
pub(crate) fn alive() -> Health {
    Health { status: "ok".into() }
}

/// Why nothing should be sold on the word of `registry`, if nothing should: a withdrawal or a revocation may have gone unseen.
pub(super) fn stale(node: &Shared, registry: &Registry) -> Option<&'static str> {
    // The clock of a local network is whatever its user sets.
    if node.config.upstream.localnet {
        return None;
    }
    if age(registry) > MAX_REGISTRY_AGE_SECONDS {
        return Some("it has not read the chain for too long");
    }
    let behind = skew(node, registry) > MAX_BEHIND_SECONDS;
    behind.then_some("the chain's time is far behind this machine's: its clock is wrong, or its RPC nodes are behind")
}

/// Seconds since the cluster's clock was first seen where it is, however this machine's own clock was set since.
fn age(registry: &Registry) -> i64 {
    i64::try_from(registry.read_at.elapsed().as_secs()).unwrap_or(i64::MAX)
}

/// How far this machine's clock is ahead of the cluster's, in seconds.
fn skew(node: &Shared, registry: &Registry) -> i64 {
    node.clock.unix().saturating_sub(registry.unix_time).saturating_sub(age(registry))
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
    readiness_answer(&node.shared, std::slice::from_ref(&node), None)
}

/// The same for a process that holds `held`, and can open nothing else if it is in `trouble`.
pub(crate) fn readiness_answer(shared: &Shared, held: &[Arc<Node>], trouble: Option<&str>) -> Response {
    let report = readiness(shared, held, trouble);
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

/// Whether the relayer takes requests, and every condition for it.
pub(super) fn readiness(shared: &Shared, held: &[Arc<Node>], trouble: Option<&str>) -> Readiness {
    let registry = shared.registry.borrow().clone();
    let stale = stale(shared, &registry);
    let fresh = stale.is_none();
    let ledger = held.iter().find_map(|node| node.ledger.trouble()).map(|trouble| trouble.to_string());
    let ledger = ledger.or(trouble.map(str::to_owned));
    let draining = shared.stopping.is_cancelled();
    let ready = fresh && ledger.is_none() && registry.relayer.active && !draining;
    Readiness {
        ready,
        slot: registry.slot,
        registry_age_seconds: age(&registry),
        registry_fresh: fresh,
        registry_stale: stale.map(str::to_owned),
        clock_skew_seconds: skew(shared, &registry),
        relayer_active: registry.relayer.active,
        ledger: ledger.is_none(),
        ledger_trouble: ledger,
        draining,
    }
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
    metrics_answer(&node.shared, std::slice::from_ref(&node))
}

/// The same for a process that holds `held`.
pub(crate) fn metrics_answer(shared: &Shared, held: &[Arc<Node>]) -> Response {
    let settle = settlement(held);
    let registry = shared.registry.borrow().clone();
    let metrics = &shared.metrics;
    metrics.settlement(&settle, registry.slot);
    metrics.ledgers(held.iter().map(|node| &node.ledger));
    let board = &shared.board;
    let flags: Vec<_> = registry.offers.iter().map(|offer| (offer, board.flags(&offer.address))).collect();
    metrics.flagged(flags.iter().flat_map(|(offer, flags)| {
        flags.iter().map(|flag| (offer.provider_name.as_str(), offer.model.as_str(), flag.reason.name()))
    }));
    ([(CONTENT_TYPE, OPENMETRICS)], metrics.render()).into_response()
}

/// Where the settlement of all that is held stands.
pub(super) fn settlement(held: &[Arc<Node>]) -> settle::Status {
    let statuses = held.iter().map(|node| node.settle.borrow().clone());
    statuses.reduce(settle::Status::and).unwrap_or_default()
}
