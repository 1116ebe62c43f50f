//! The HTTP side: this is the route table.

mod account;
mod allow_lists;
mod body;
mod chat;
mod errors;
mod listing;
mod public;
mod query;
mod withdrawals;

use crate::node::Node;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW};
use axum::http::{HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use axum::{Extension, Router};
use std::sync::Arc;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

use crate::relay::error::RelayError;

/// Method and path of every route, as the router matches them.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{*id}"),
    ("GET", "/v1/providers"),
    ("GET", "/v1/receipts/{id}"),
    ("GET", "/v1/generation"),
    ("GET", "/v1/generation/{id}"),
    ("GET", "/v1/vaults/{address}"),
    ("PUT", "/v1/allow-lists"),
    ("GET", "/v1/allow-lists/{root}"),
    ("POST", "/v1/withdrawals"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
];

/// The path of requests that no route matches, in metrics.
const UNMATCHED: &str = "unmatched";

/// The API over `node`.
pub fn router(node: Arc<Node>) -> Router {
    let routes = ROUTES.iter().fold(Router::new(), |router, (_, path)| router.route(path, handler(path)));
    routes
        .fallback(|| async { RelayError::NoRoute })
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(errors::panicked))
        .layer(middleware::from_fn_with_state(node.clone(), observe))
        .with_state(node)
}

fn handler(path: &str) -> MethodRouter<Arc<Node>> {
    match path {
        "/v1/chat/completions" => post(chat::chat),
        "/v1/models" => open_to_all(get(listing::models)),
        "/v1/models/{*id}" => open_to_all(get(listing::model)),
        "/v1/providers" => open_to_all(get(listing::providers)),
        "/v1/receipts/{id}" => get(account::receipt),
        "/v1/generation" => get(account::find_generation),
        "/v1/generation/{id}" => get(account::generation),
        "/v1/vaults/{address}" => get(account::vault),
        "/v1/allow-lists" => put(allow_lists::put),
        "/v1/allow-lists/{root}" => get(allow_lists::show),
        "/v1/withdrawals" => post(withdrawals::agree),
        "/health" => get(public::health),
        "/ready" => get(public::ready),
        "/metrics" => get(public::metrics),
        _ => MethodRouter::new(),
    }
}

/// Public data may be read by any web page.
fn open_to_all(routes: MethodRouter<Arc<Node>>) -> MethodRouter<Arc<Node>> {
    routes.layer(middleware::map_response(|mut response: Response| async {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }))
}

async fn wrong_method(method: Method, path: Option<Extension<MatchedPath>>) -> Response {
    let matched = path.as_ref().map_or("", |Extension(path)| path.as_str());
    let allow = ROUTES.iter().find(|(_, path)| *path == matched).map_or("GET", |(method, _)| method);
    let mut response = RelayError::Method { method: errors::shown(&method), allow }.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Marks an answer whose line in the log is written when it has ended.
#[derive(Clone, Copy, Debug)]
struct LoggedLater;

/// One line in the log and one count for every request. The line has no query, no header and no body in it.
async fn observe(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
    let route = ROUTES.iter().find(|(_, path)| *path == matched).map_or(UNMATCHED, |(_, path)| path);
    let method = request.method().clone();
    let started = Instant::now();
    let in_flight = node.metrics.enter();
    let response = next.run(request).await;
    drop(in_flight);
    let status = response.status().as_u16();
    node.metrics.answered(route, status);
    if response.extensions().get::<LoggedLater>().is_none() {
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let code = response.extensions().get::<errors::Code>().map_or("", |code| code.0);
        tracing::info!(%method, route, status, code, ms, "answered");
    }
    response
}

#[cfg(test)]
mod tests;
