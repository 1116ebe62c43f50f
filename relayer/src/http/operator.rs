//! The operator's page and what it shows, on a listener of its own. The page is public there; what it shows needs the operator's token in
//! a header: a token in an address would be in logs and histories, and is refused.

use crate::clock::DAY_MS;
use crate::config::host_of;
use crate::http::errors;
use crate::http::page::{self, File};
use crate::http::public::{readiness, settlement};
use crate::ledger::DayOfSettlements;
use crate::node::Shared;
use crate::node::held::Held;
use crate::relay::dialect;
use crate::relay::error::RelayError;
use crate::views::{IncidentView, OperatorView};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use steam_protocol::{Hash, sha256};
use subtle::ConstantTimeEq;
use tower_http::catch_panic::CatchPanicLayer;

/// Vaults that are shown at most.
const MOST_VAULTS: usize = 100;
/// Days of which fees are shown.
const DAYS: i64 = 30;
/// Shortest token: as many characters as sixteen random bytes have in hexadecimal.
const SHORTEST: usize = 32;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

static INDEX: LazyLock<File> =
    LazyLock::new(|| File::new("text/html; charset=utf-8", include_bytes!("../../page/dist/operator.html")));
static SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new("text/javascript; charset=utf-8", include_bytes!("../../page/dist/operator.js")));

/// The operator's token. Its hash alone is kept.
#[derive(Clone)]
pub struct OperatorToken(Hash);

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken")
    }
}

impl OperatorToken {
    /// The token in the text of a file; none if it is too short to be one.
    pub fn read(text: &str) -> Option<Self> {
        let token = text.trim();
        let plain = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self(sha256(&[token.as_bytes()])))
    }

    /// Whether `sent` is the token. It takes as long for every other one.
    fn is(&self, sent: &str) -> bool {
        sha256(&[sent.as_bytes()]).ct_eq(&self.0).into()
    }
}

struct Operator {
    shared: Arc<Shared>,
    held: Arc<Held>,
    token: OperatorToken,
}

/// What the operator's listener serves, of what the process holds.
pub fn operator_router(shared: Arc<Shared>, held: Arc<Held>, token: OperatorToken) -> Router {
    let operator = Arc::new(Operator { shared, held, token });
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { page::answer(&INDEX, &headers) }))
        .route("/operator.js", get(|headers: HeaderMap| async move { page::answer(&SCRIPT, &headers) }))
        .route("/page.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .route("/v1/operator", get(show))
        .fallback(|| async { RelayError::NoRoute })
        .layer(CatchPanicLayer::custom(errors::panicked))
        .layer(middleware::from_fn(finish))
        .with_state(operator)
}

/// Writes the body of an error. Nothing that is answered here is kept by anybody, but for the page's files.
async fn finish(request: Request, next: Next) -> Response {
    let dialect = dialect::of_errors("", request.headers());
    let mut response = next.run(request).await;
    errors::render(&mut response, "", dialect);
    response.headers_mut().entry(CACHE_CONTROL).or_insert(NO_STORE);
    page::forbid_framing(&mut response);
    response
}

/// Everything that the operator's page shows.
async fn show(State(operator): State<Arc<Operator>>, request: Request) -> Result<Response, RelayError> {
    admit(&operator.token, &request)?;
    Ok(Json(gather(&operator.shared, &operator.held).await?).into_response())
}

/// Lets in who has the token, in the header alone and from this listener's own page.
fn admit(token: &OperatorToken, request: &Request) -> Result<(), RelayError> {
    if request.uri().query().is_some() {
        let message = "the operator's token belongs into the header `Authorization: Bearer …`: addresses are in logs and histories. Change it if it was sent in one";
        return Err(RelayError::invalid("token_in_address", "query", message));
    }
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let own = text(HOST).unwrap_or_default();
    if !is_address(own) {
        let message = "open the operator's page by its address, as 127.0.0.1, or as localhost: a name can be made to lead here by anybody";
        return Err(RelayError::invalid("foreign_origin", "host", message));
    }
    if text(ORIGIN).is_some_and(|origin| !host_of(origin).eq_ignore_ascii_case(own)) {
        return Err(RelayError::invalid("foreign_origin", "origin", "pages of other origins see nothing here"));
    }
    let sent = text(AUTHORIZATION).and_then(|value| value.split_once(' '));
    let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, sent)| sent.trim());
    if sent.is_some_and(|sent| token.is(sent)) {
        return Ok(());
    }
    Err(RelayError::unauthenticated(
        "wrong_operator_token",
        "send the token in operator.token_file as `Authorization: Bearer …`",
    ))
}

/// Whether a `Host` is an address or `localhost`. A page of any name can have its name lead to this listener, and would then be of its
/// origin.
fn is_address(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

async fn gather(shared: &Shared, held: &Held) -> Result<OperatorView, RelayError> {
    let (now_ms, held) = (shared.clock.unix_ms(), held.all());
    let (mut incidents, mut fees, mut vaults) = (Vec::new(), BTreeMap::new(), Vec::new());
    for node in &held {
        incidents.extend(node.ledger.incidents(false).await?);
        for day in node.ledger.settlements_by_day(now_ms - DAYS * DAY_MS).await? {
            fees.entry(day.day).and_modify(|sum: &mut DayOfSettlements| sum.add(&day)).or_insert(day);
        }
        vaults.extend(node.vaults.addresses().iter().filter_map(|vault| node.vaults.show(vault)));
    }
    let vaults_in_all = vaults.len();
    let owed = |pico: &str| pico.parse::<u128>().unwrap_or_default();
    vaults.sort_by_cached_key(|vault| std::cmp::Reverse(owed(&vault.unsettled_pico)));
    vaults.truncate(MOST_VAULTS);
    Ok(OperatorView {
        object: "operator",
        version: env!("CARGO_PKG_VERSION"),
        at: shared.clock.unix(),
        readiness: readiness(shared, &held, None),
        settlement: settlement(&held),
        incidents: incidents.iter().map(IncidentView::from).collect(),
        vaults,
        vaults_in_all,
        fees: fees.values().rev().map(Into::into).collect(),
        requests: shared.requests.last(),
        configuration: shared.config.shown(shared.market.view().policy()),
    })
}
