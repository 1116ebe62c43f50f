//! The HTTP API: [`routes`] is the list of what it serves.

mod account;
mod allow_lists;
mod body;
mod chat;
pub(crate) mod errors;
mod listing;
mod openapi;
mod public;
mod query;
mod withdrawals;

use crate::node::Node;
use crate::relay::dialect;
use crate::relay::error::RelayError;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW};
use axum::http::{HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

pub use openapi::document;

/// The path of requests that no route matches, in metrics.
const UNMATCHED: &str = "unmatched";

/// The API over `node`.
pub fn router(node: Arc<Node>) -> Router {
    let (router, document) = routes().split_for_parts();
    let allowed = Arc::new(openapi::methods(&document));
    router
        .fallback(|| async { RelayError::NoRoute })
        .method_not_allowed_fallback(move |method, path| wrong_method(allowed.clone(), method, path))
        .layer(CatchPanicLayer::custom(errors::panicked))
        .layer(middleware::from_fn_with_state(node.clone(), observe))
        .with_state(node)
}

/// Every route. The path and the method of each stand at its handler, with its documentation.
fn routes() -> OpenApiRouter<Arc<Node>> {
    let public = || middleware::map_response(readable_by_any_page);
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(chat::create))
        .routes(routes!(chat::complete))
        .routes(routes!(chat::embed))
        .routes(routes!(listing::models).layer(public()))
        .routes(routes!(listing::model).layer(public()))
        .routes(routes!(listing::providers).layer(public()))
        .routes(routes!(account::receipt))
        .routes(routes!(account::find_generation))
        .routes(routes!(account::generation))
        .routes(routes!(account::vault))
        .routes(routes!(allow_lists::put))
        .routes(routes!(allow_lists::show))
        .routes(routes!(withdrawals::create))
        .routes(routes!(public::health))
        .routes(routes!(public::ready))
        .routes(routes!(public::metrics))
        .routes(routes!(openapi::show).layer(public()))
}

/// Public data may be read by any web page.
async fn readable_by_any_page(mut response: Response) -> Response {
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A method that the path does not take. `allowed` has the methods of each path.
async fn wrong_method(
    allowed: Arc<HashMap<String, String>>,
    method: Method,
    path: Option<Extension<MatchedPath>>,
) -> Response {
    let allow = path.and_then(|Extension(path)| allowed.get(path.as_str()).cloned()).unwrap_or_default();
    let header = HeaderValue::try_from(&allow);
    let mut response = RelayError::Method { method: errors::shown(&method), allow }.into_response();
    if let Ok(header) = header {
        response.headers_mut().insert(ALLOW, header);
    }
    response
}

/// Marks an answer whose line in the log is written when it has ended.
#[derive(Clone, Copy, Debug)]
struct LoggedLater;

/// Writes the body of an error, counts the request, and writes one line in the log for it. The line has no query, no header and
/// no body in it.
async fn observe(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let started = Instant::now();
    let in_flight = node.metrics.enter();
    let mut response = next.run(request).await;
    drop(in_flight);
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let status = response.status().as_u16();
    node.metrics.answered(route, status);
    let code = errors::render(&mut response, dialect::of_path(route).unwrap_or(dialect::usual()));
    if let Some(code) = code {
        node.metrics.refused(code);
    }
    if response.extensions().get::<LoggedLater>().is_none() {
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%method, route, status, code = code.unwrap_or_default(), ms, "answered");
    }
    response
}

#[cfg(test)]
mod tests;
