//! Owners sign in with their wallets, to read what their vaults were charged and their providers were paid. A session can spend nothing
//! and change nothing: no route that does takes its token.

use crate::chain::Pubkey;
use crate::config::host_of;
use crate::http::body;
use crate::http::openapi::BodyErrors;
use crate::http::query::parsed;
use crate::node::Node;
use crate::node::sessions::{PREFIX, Session, SignInError, Visitor};
use crate::relay::error::RelayError;
use crate::views::{EndedSession, ErrorBody, SessionRequest, SessionView, SignInRequest, SignInView};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;
use std::sync::Arc;

/// Bytes of a request.
const MAX_BODY: usize = 1_024;
const ADDRESS: &str = "a wallet's address: 32 bytes in base58";

/// Asks for what a wallet is to sign to sign in. It can be used once, for five minutes.
#[utoipa::path(
    post,
    path = "/v1/sign-in",
    operation_id = "createSignIn",
    tag = "session",
    request_body = SignInRequest,
    responses((status = 200, description = "What the wallet is to sign.", body = SignInView), BodyErrors)
)]
pub(super) async fn challenge(State(node): State<Arc<Node>>, request: Request) -> Result<Json<SignInView>, RelayError> {
    let domain = domain(&node, request.uri(), request.headers())?;
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let SignInRequest { address } = body::json(&body, "{\"address\": \"…\"}")?;
    let owner: Pubkey = parsed("address", &address, ADDRESS)?;
    let visitor = Visitor { domain: &domain, relayer: &node.gateway.accounts().relayer, owner: &owner };
    Ok(Json(node.sessions.challenge(&visitor, node.clock.unix_ms(), node.random.bytes()).into()))
}

/// Opens a session for a wallet that signed what it was asked to. It holds for half an hour, and only reads.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    operation_id = "createSession",
    tag = "session",
    request_body = SessionRequest,
    responses(
        (status = 200, description = "The session.", body = SessionView),
        (status = 401, description = "This signs nobody in: the nonce was used, is too old or of another wallet or domain, the signature does not hold, or the wallet has neither vault nor provider here.", body = ErrorBody),
        BodyErrors,
    )
)]
pub(super) async fn open(State(node): State<Arc<Node>>, request: Request) -> Result<Json<SessionView>, RelayError> {
    let domain = domain(&node, request.uri(), request.headers())?;
    let (_place, body) = body::receive(&node, request, MAX_BODY).await?;
    let SessionRequest { address, nonce, signature } =
        body::json(&body, "{\"address\": \"…\", \"nonce\": \"…\", \"signature\": \"Base64\"}")?;
    let owner: Pubkey = parsed("address", &address, ADDRESS)?;
    let signature = STANDARD.decode(&signature).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let signature = signature
        .ok_or_else(|| RelayError::invalid("invalid_value", "signature", "`signature` must be 64 bytes in base64"))?;
    let may = may_read(&node, owner)?;
    let visitor = Visitor { domain: &domain, relayer: &node.gateway.accounts().relayer, owner: &owner };
    let token = format!("{PREFIX}{}{}", hex::encode(node.random.bytes()), hex::encode(node.random.bytes()));
    let session = node.sessions.open(&visitor, (&nonce, &signature), may, &token, node.clock.unix_ms());
    let session = session.map_err(|error| RelayError::unauthenticated(code(error), error.to_string()))?;
    Ok(Json(SessionView::new(token, &session)))
}

/// Ends the session whose token is sent.
#[utoipa::path(
    delete,
    path = "/v1/sessions",
    operation_id = "endSession",
    tag = "session",
    responses(
        (status = 200, description = "It is ended.", body = EndedSession),
        (status = 401, description = "There is no such session.", body = ErrorBody),
    ),
    security(("session" = []))
)]
pub(super) async fn close(State(node): State<Arc<Node>>, request: Request) -> Result<Json<EndedSession>, RelayError> {
    let ended = token(request.headers()).is_some_and(|token| node.sessions.close(token));
    if !ended {
        return Err(no_session());
    }
    Ok(Json(EndedSession { object: "session".into(), ended: true }))
}

/// The session of a request, found by the process that keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedIn(pub(crate) Session);

/// The session whose token a request carries; none if it carries another credential, or none.
///
/// # Errors
/// 401 if the session has ended.
pub(super) fn session(node: &Node, request: &Request) -> Result<Option<Session>, RelayError> {
    if let Some(SignedIn(session)) = request.extensions().get() {
        return Ok(Some(*session));
    }
    let Some(token) = token(request.headers()) else { return Ok(None) };
    node.sessions.get(token, node.clock.unix_ms()).map(Some).ok_or_else(no_session)
}

/// The token of a session that a request carries, if it carries one.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && token.starts_with(PREFIX))
}

fn no_session() -> RelayError {
    RelayError::unauthenticated(
        "no_session",
        "there is no such session, or it has ended: sign in again with `POST /v1/sign-in` and `POST /v1/sessions`",
    )
}

/// What a wallet's session may read.
fn may_read(node: &Node, owner: Pubkey) -> Result<Session, RelayError> {
    let vault = node.vaults.directory().of_owner(&owner);
    let registry = node.registry.borrow().clone();
    let provider = registry.providers.iter().find(|provider| provider.authority == owner).map(|found| found.address);
    if vault.is_none() && provider.is_none() {
        return Err(RelayError::unauthenticated(
            "unknown_owner",
            "this wallet has neither a vault nor a provider at this relayer, so that there is nothing to show",
        ));
    }
    Ok(Session { owner, vault, provider, until_ms: 0 })
}

/// The host that the browser names, if it is the relayer's own: a wallet signs in where it says that it does.
fn domain(node: &Node, uri: &Uri, headers: &HeaderMap) -> Result<String, RelayError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let named = uri.authority().map(|authority| authority.as_str()).or_else(|| text(HOST)).unwrap_or_default();
    let own = host_of(&node.registry.borrow().relayer.url).to_owned();
    let here = !named.is_empty()
        && (named.eq_ignore_ascii_case(&own) || (node.config.upstream.localnet && is_loopback(named)));
    if !here {
        let message =
            format!("a wallet signs in at the relayer's registered address, which is {own}: open the page there");
        return Err(RelayError::invalid("wrong_domain", "host", message));
    }
    if text(ORIGIN).is_some_and(|origin| !host_of(origin).eq_ignore_ascii_case(named)) {
        return Err(RelayError::invalid(
            "wrong_domain",
            "origin",
            "pages of other origins sign nobody in: open the relayer's own page",
        ));
    }
    Ok(named.to_ascii_lowercase())
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn code(error: SignInError) -> &'static str {
    match error {
        SignInError::Nonce => "sign_in_unknown",
        SignInError::Expired => "sign_in_expired",
        SignInError::Used => "sign_in_used",
        SignInError::Signature => "sign_in_not_signed",
    }
}
