//! The HTTP API: [`routes`] is the list of what it serves.

mod accept;
mod account;
mod allow_lists;
mod answer;
pub(crate) mod body;
mod chain;
mod completions;
mod cors;
mod earnings;
pub(crate) mod errors;
mod history;
mod listing;
mod named;
mod openapi;
mod openings;
mod operator;
mod page;
mod paths;
pub(crate) mod peer;
pub(crate) mod public;
mod query;
pub(crate) mod sessions;
mod solana_pay;
pub(crate) mod target;
mod told;
mod usage;
mod withdrawals;

use crate::node::requests::Answered;
use crate::node::{Node, Shared};
use crate::relay::error::RelayError;
use crate::relay::{auth, dialect};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use openapi::document;
pub use operator::{OperatorToken, operator_router};

/// The path of requests that no route matches, in metrics.
const UNMATCHED: &str = "unmatched";

/// The API over `node`.
pub fn router(node: Arc<Node>) -> Router {
    let (router, document) = routes().split_for_parts();
    let allowed = Arc::new(openapi::methods(&document));
    let segments = paths::Segments::of(document.paths.paths.keys());
    let routed = router
        .fallback(|| async { RelayError::NoRoute })
        .method_not_allowed_fallback(move |request| wrong_method(allowed.clone(), request))
        .layer(CatchPanicLayer::custom(errors::panicked))
        .layer(middleware::from_fn_with_state(node.clone(), observe))
        .with_state(node.clone());
    let routed = TowerToHyperService::new(routed);
    // Before routing, a path is spelled as the routes spell it, and a browser's preflight is answered.
    Router::new().fallback(move |request: Request| {
        let request = segments.canonical(request);
        let preflight = cors::preflight(&request);
        let open = cors::is_open(request.uri().path());
        let answer = routed.call(request);
        let node = node.clone();
        async move {
            let mut response = match preflight {
                Some(mut response) => {
                    told::identify(&node, &mut response);
                    response
                }
                None => answer.await.unwrap_or_else(|never| match never {}),
            };
            if open {
                cors::open(&mut response);
            }
            response
        }
    })
}

/// What tells how an error is written to whoever has asked.
pub(crate) struct Asked {
    path: String,
    dialect: &'static dyn dialect::Dialect,
}

impl Asked {
    /// That of a request.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        Self { path: path.to_owned(), dialect: dialect::of_errors(path, headers) }
    }
}

/// An error of the relayer's before any route was asked: as its client reads it.
pub(crate) fn refuse(shared: &Shared, Asked { path, dialect }: &Asked, error: RelayError) -> Response {
    let mut response = error.into_response();
    told::identify(shared, &mut response);
    if let Some(code) = errors::render(&mut response, path, *dialect) {
        shared.metrics.refused(code);
    }
    if cors::is_open(path) {
        cors::open(&mut response);
    }
    response
}

/// Every route. The path and the method of each stand at its handler, with its documentation.
fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(completions::create))
        .routes(routes!(completions::complete))
        .routes(routes!(completions::embed))
        .routes(routes!(completions::message))
        .routes(routes!(completions::count))
        .routes(routes!(completions::respond))
        .routes(routes!(completions::count_response))
        .routes(routes!(listing::models))
        .routes(routes!(listing::model))
        .routes(routes!(listing::providers))
        .routes(routes!(history::history))
        .routes(routes!(usage::usage))
        .routes(routes!(usage::receipts))
        .routes(routes!(usage::key))
        .routes(routes!(usage::credits))
        .routes(routes!(account::receipt))
        .routes(routes!(account::find_generation))
        .routes(routes!(account::generation))
        .routes(routes!(account::vault))
        .routes(routes!(sessions::challenge))
        .routes(routes!(sessions::open, sessions::close))
        .routes(routes!(earnings::receipts))
        .routes(routes!(earnings::usage))
        .routes(routes!(allow_lists::put))
        .routes(routes!(allow_lists::show))
        .routes(routes!(withdrawals::create))
        .routes(routes!(chain::show))
        .routes(routes!(chain::blockhash))
        .routes(routes!(chain::account))
        .routes(routes!(chain::send))
        .routes(routes!(chain::progress))
        .routes(routes!(chain::give))
        .routes(routes!(chain::open_sponsored))
        .routes(routes!(solana_pay::label, solana_pay::deposit))
        .routes(routes!(openings::create))
        .routes(routes!(openings::label, openings::make))
        .routes(routes!(openings::show, openings::sign))
        .routes(routes!(public::health))
        .routes(routes!(public::ready))
        .routes(routes!(public::metrics))
        .routes(routes!(openapi::show))
        .routes(routes!(page::index))
        .routes(routes!(page::script))
        .routes(routes!(page::style))
        .routes(routes!(page::icon))
}

/// A method that the path does not take. `allowed` has the methods of each path.
async fn wrong_method(allowed: Arc<HashMap<String, String>>, request: Request) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let allow = path.and_then(|path| allowed.get(path.as_str()).cloned()).unwrap_or_default();
    let header = HeaderValue::try_from(&allow);
    let mut response = RelayError::Method { method: errors::shown(request.method()), allow }.into_response();
    // Clients that try a WebSocket first take this status as a no, and post.
    if request.headers().get(UPGRADE).is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    }
    if let Ok(header) = header {
        response.headers_mut().insert(ALLOW, header);
    }
    response
}

/// Marks an answer whose line in the log is written when it has ended.
#[derive(Clone, Copy, Debug)]
struct LoggedLater;

/// Whether what is answered is for one caller alone, so that nobody may keep it for others.
fn is_private(request: &Request, route: &str) -> bool {
    auth::has_credentials(request.headers()) || route == "/v1/sessions"
}

/// Writes the body of an error, counts the request, and writes one line in the log for it. The line has no query, no header and
/// no body in it.
async fn observe(State(node): State<Arc<Node>>, mut request: Request, next: Next) -> Response {
    let rate = told::Rate::default();
    request.extensions_mut().insert(rate.clone());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let dialect = dialect::of_errors(route, request.headers());
    let private = is_private(&request, route);
    let started = Instant::now();
    let in_flight = node.metrics.enter();
    let mut response = next.run(request).await;
    drop(in_flight);
    rate.tell(&mut response);
    if private {
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    let id = told::identify(&node, &mut response);
    let status = response.status().as_u16();
    node.metrics.answered(route, status);
    let code = errors::render(&mut response, route, dialect);
    if let Some(code) = code {
        node.metrics.refused(code);
    }
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    node.requests.note(Answered {
        at_ms: node.clock.unix_ms(),
        id: id.clone(),
        method: errors::shown(&method),
        route: route.to_owned(),
        status,
        code,
        ms,
    });
    if response.extensions().get::<LoggedLater>().is_none() {
        tracing::info!(%method, route, status, code = code.unwrap_or_default(), ms, id, "answered");
    }
    response
}

#[cfg(test)]
mod tests;
