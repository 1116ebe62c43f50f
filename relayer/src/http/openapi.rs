//! `GET /openapi.json`: the OpenAPI document, generated from the handlers and the types they take and return.

use crate::views::{ErrorBody, ErrorDetail};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, OpenApi};

/// The scheme of requests that carry the key itself.
const BEARER: &str = "bearer";
/// The scheme of requests that carry the key itself, as Anthropic's clients send it.
const API_KEY: &str = "apiKey";
/// The scheme of requests of an owner who signed in.
const SESSION: &str = "session";
/// The scheme of requests that the key has signed.
const SIGNED: &str = "signed";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Steam Router",
        description = "A relayer of LLM APIs, paid in USDC from an escrow vault on Solana. Amounts are µUSDC unless the name \
                       of a field says pico-USDC (`_pico`) or USD; times are Unix seconds unless it says milliseconds (`_ms`)."
    ),
    components(schemas(ErrorBody, ErrorDetail)),
    tags(
        (name = "completions", description = "Ask a model."),
        (name = "market", description = "Models, providers, prices and measurements. No credentials."),
        (name = "account", description = "Receipts, decisions and vaults of the key that asks."),
        (name = "session", description = "Owners that sign in with their wallets, to read what their vaults were charged and their providers were paid."),
        (name = "vault", description = "Allow-lists and withdrawals."),
        (name = "chain", description = "The chain, for web pages: accounts, blockhash, transactions. No credentials."),
        (name = "page", description = "The page for people, at the root of the relayer."),
        (name = "relayer", description = "Whether the relayer works. No credentials."),
    )
)]
struct Document;

/// The document without its paths.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("sk-steam-…")
        .description(Some(
            "The session key itself, `sk-steam-` and base58. The relayer signs with it on the client's behalf and forgets it.",
        ))
        .build();
    let signed = ApiKey::Header(ApiKeyValue::with_description(
        "Steam-Signature",
        "The key's signature of a voucher that binds this request. It comes with the headers `Steam-Key`, `Steam-Vault`, \
         `Steam-Authorized`, `Steam-Max-Cost`, `Steam-Not-After`, `Steam-Nonce` and `Content-Digest`. The key is never sent.",
    ));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let api_key = ApiKey::Header(ApiKeyValue::with_description(
        "x-api-key",
        "The session key itself, as clients of Anthropic's API send it.",
    ));
    components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(api_key));
    let session = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("steam-session-…")
        .description(Some(
            "The token of a session, in which a wallet's owner reads. Nothing can be spent or changed with it.",
        ))
        .build();
    components.add_security_scheme(SESSION, SecurityScheme::Http(session));
    components.add_security_scheme(SIGNED, SecurityScheme::ApiKey(signed));
    document
}

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = super::routes().into_openapi();
    // OpenAPI has no word for a parameter that spans several segments.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

/// The methods that each path of `document` takes, as the header `Allow` lists them.
pub(super) fn methods(document: &utoipa::openapi::OpenApi) -> HashMap<String, String> {
    let of = |item: &PathItem| operations(item).map(|(method, _)| method).collect::<Vec<_>>().join(",");
    document.paths.paths.iter().map(|(path, item)| (path.clone(), of(item))).collect()
}

/// The operations of a path, by method.
fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [("GET", &item.get), ("PUT", &item.put), ("POST", &item.post), ("DELETE", &item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// `GET /openapi.json`: this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "relayer",
    responses((status = 200, description = "The document.", content_type = "application/json", body = Object))
)]
pub(super) async fn show() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| serde_json::json!(document()).to_string());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The errors of requests that need a key.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum KeyErrors {
    /// The request is wrong; `param` names the field or header.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// There is no key, or it is not known, revoked or expired.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// The relayer cannot read its ledger at the moment.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// The errors of requests for one thing that may not be there.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum LookupErrors {
    /// The request is wrong; `param` names the field.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// There is no such thing here, or it belongs to another key.
    #[response(status = 404)]
    NotFound(ErrorBody),
}

/// The errors of requests with a JSON body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum BodyErrors {
    /// The request is wrong; `param` names the field or header.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not plain JSON.
    #[response(status = 415)]
    MediaType(ErrorBody),
    /// Too many requests at once, or too many of this key; the header `Retry-After` says when to try again.
    #[response(status = 429)]
    Busy(ErrorBody),
    /// The relayer takes no requests at the moment.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// The errors of requests for what is on chain.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum ChainErrors {
    /// Too many requests for the chain; the header `Retry-After` says when to try again.
    #[response(status = 429)]
    Busy(ErrorBody),
    /// No RPC node answers the relayer.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// The errors of requests that are charged, beside those of their key and their body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum ChargeErrors {
    /// The vault or the key cannot pay.
    #[response(status = 402)]
    Funds(ErrorBody),
    /// The key may not pay any provider of the model.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// Nobody offers the model.
    #[response(status = 404)]
    UnknownModel(ErrorBody),
    /// The request was charged before; the error has its receipt.
    #[response(status = 409)]
    Replay(ErrorBody),
    /// Something went wrong in the relayer; nothing was charged.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// Every provider that was tried has failed.
    #[response(status = 502)]
    Upstream(ErrorBody),
    /// Every provider that was tried was too slow.
    #[response(status = 504)]
    UpstreamTimeout(ErrorBody),
}

#[cfg(test)]
mod tests;
