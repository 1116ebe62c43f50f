//! The proxy's HTTP: which requests are paid, which cost nothing, and how each is handed to the client that signs.

use super::answer;
use super::failure::{self, Failure};
use super::state::Proxy;
use crate::relay::dialect;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE, USER_AGENT, VARY,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Largest body of a request, in bytes: more than a relayer takes.
const MAX_BODY: usize = 256 << 20;
/// What is posted and costs nothing, below the base URL.
const FREE: [&str; 2] = ["messages/count_tokens", "responses/input_tokens"];
/// The only query of a request that is paid: Anthropic's clients send it, and it says nothing.
const BETA: &str = "beta=true";
/// Beginnings of headers that say something to a relayer, besides those of every request.
const HANDED_ON: [&str; 4] = ["anthropic-", "openai-", "steam-", "idempotency-key"];

/// The proxy's routes.
pub fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(serve).with_state(proxy)
}

async fn route(proxy: &Arc<Proxy>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let Some(path) = below_base(parts.uri.path()) else { return Err(Failure::no_route()) };
    if parts.headers.get(UPGRADE).is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        // Clients that try a WebSocket first take this status as a no, and post.
        return Err(Failure::upgrade());
    }
    let is_paid = dialect::of_path(&format!("/v1/{path}")).is_some();
    match parts.method {
        // Clients look whether anything is there.
        Method::HEAD | Method::GET if path.is_empty() => Ok(StatusCode::OK.into_response()),
        Method::HEAD | Method::GET => free(proxy, &parts, with_query(&path, &parts), Body::empty()).await,
        Method::POST if FREE.contains(&path.as_str()) => free(proxy, &parts, path, body).await,
        Method::POST if is_paid => {
            if parts.uri.query().is_some_and(|query| !query.is_empty() && query != BETA) {
                return Err(Failure::query());
            }
            pay(proxy, &parts, path, body).await
        }
        _ => Err(Failure::no_route()),
    }
}

/// Hands on what costs nothing.
async fn free(proxy: &Proxy, parts: &Parts, path: String, body: Body) -> Result<Response, Failure> {
    let request = handed_on(parts, path, body).await?;
    let response = proxy.client.send_free(parts.method.clone(), request).await?;
    let (status, headers) = (response.status(), failure::handed_on(response.headers()));
    let body = Body::from_stream(response.bytes_stream());
    Ok((status, headers, body).into_response())
}

/// Hands on what is paid, in a task of its own: it has to look for the receipt also when its client leaves.
async fn pay(proxy: &Arc<Proxy>, parts: &Parts, path: String, body: Body) -> Result<Response, Failure> {
    let request = handed_on(parts, path, body).await?;
    let (head, begun) = oneshot::channel();
    let carrying = proxy.clone();
    proxy.tasks.spawn(async move {
        match carrying.waiting.try_acquire() {
            Ok(_place) => answer::carry(&carrying, request, head).await,
            Err(_) => drop(head.send(Err(Failure::busy()))),
        }
    });
    begun.await.unwrap_or_else(|_| Err(Failure::ended()))
}

/// One request: who asks is looked at before anything else.
async fn serve(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let page = request.headers().get(ORIGIN).cloned();
    let admitted = proxy.guard.admit(request.uri(), request.headers());
    let mut response = match admitted {
        Err(refused) => return Failure::from(refused).into_response(),
        // A browser asks whether a page may send a request; it sends no token with that.
        Ok(()) if is_preflight(&request) => preflight(&request),
        Ok(()) => match proxy.guard.authenticate(request.headers()) {
            Err(refused) => Failure::from(refused).into_response(),
            Ok(()) => route(&proxy, request).await.unwrap_or_else(IntoResponse::into_response),
        },
    };
    // It was allowed, or there is none.
    if let Some(page) = page {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(request: &Request) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    if let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// The path below the base URL, in its plain spelling. None if it leads above it.
fn below_base(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.first() == Some(&"v1") {
        segments.remove(0);
    }
    let leads_up = |segment: &&str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    (!segments.iter().any(leads_up)).then(|| segments.join("/"))
}

fn with_query(path: &str, parts: &Parts) -> String {
    parts.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// The request as the relayer gets it. What names the client, its cookies or its key stays here.
async fn handed_on(parts: &Parts, path: String, body: Body) -> Result<steam_client::Request, Failure> {
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Failure::body());
    }
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| Failure::body())?;
    let tells = |name: &HeaderName| {
        [ACCEPT, CONTENT_TYPE, USER_AGENT].contains(name)
            || HANDED_ON.iter().any(|beginning| name.as_str().starts_with(beginning))
    };
    let mut handed_on = HeaderMap::new();
    for (name, value) in parts.headers.iter().filter(|(name, _)| tells(name)) {
        handed_on.append(name, value.clone());
    }
    Ok(steam_client::Request { path, headers: handed_on, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_the_same_and_none_leads_up() {
        for (sent, below) in [
            ("/v1/chat/completions", Some("chat/completions")),
            ("/chat/completions/", Some("chat/completions")),
            ("//v1//models//a/b", Some("models/a/b")),
            ("/", Some("")),
            ("/v1/../metrics", None),
            ("/v1/%2E%2e/metrics", None),
            ("/v1/./models", None),
            ("/v1/models/..a", Some("models/..a")),
        ] {
            assert_eq!(below_base(sent).as_deref(), below, "{sent}");
        }
    }
}
