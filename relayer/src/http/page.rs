//! The page: its files lie in the binary, and it asks nobody but this relayer.

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::LazyLock;
use steam_protocol::sha256;

/// Scripts, styles and answers from this origin alone. Wallets hand their icons over as `data:` URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// A file of the page.
pub(super) struct File {
    kind: &'static str,
    plain: &'static [u8],
    /// Empty if it could not be compressed.
    compressed: Vec<u8>,
    tag: String,
}

impl File {
    pub(super) fn new(kind: &'static str, plain: &'static [u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let compressed = encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default();
        Self { kind, plain, compressed, tag: format!("\"{}\"", hex::encode(&sha256(&[plain])[..16])) }
    }
}

static INDEX: LazyLock<File> =
    LazyLock::new(|| File::new("text/html; charset=utf-8", include_bytes!("../../page/dist/index.html")));
static SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new("text/javascript; charset=utf-8", include_bytes!("../../page/dist/page.js")));
static STYLE: LazyLock<File> =
    LazyLock::new(|| File::new("text/css; charset=utf-8", include_bytes!("../../page/dist/page.css")));
static ICON: LazyLock<File> = LazyLock::new(|| File::new("image/svg+xml", include_bytes!("../../page/dist/icon.svg")));

/// The page for people: deposit, keys, spending, market.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "getPage",
    tag = "page",
    responses((status = 200, description = "The page.", content_type = "text/html", body = String))
)]
pub(super) async fn index(headers: HeaderMap) -> Response {
    answer(&INDEX, &headers)
}

/// The page's script.
#[utoipa::path(
    get,
    path = "/page.js",
    operation_id = "getPageScript",
    tag = "page",
    responses((status = 200, description = "The script.", content_type = "text/javascript", body = String))
)]
pub(super) async fn script(headers: HeaderMap) -> Response {
    answer(&SCRIPT, &headers)
}

/// The page's style sheet.
#[utoipa::path(
    get,
    path = "/page.css",
    operation_id = "getPageStyle",
    tag = "page",
    responses((status = 200, description = "The style sheet.", content_type = "text/css", body = String))
)]
pub(super) async fn style(headers: HeaderMap) -> Response {
    answer(&STYLE, &headers)
}

/// The page's icon.
#[utoipa::path(
    get,
    path = "/icon.svg",
    operation_id = "getPageIcon",
    tag = "page",
    responses((status = 200, description = "The icon.", content_type = "image/svg+xml", body = String))
)]
pub(super) async fn icon(headers: HeaderMap) -> Response {
    answer(&ICON, &headers)
}

/// Sends a file, unless the browser has it.
pub(super) fn answer(file: &'static File, asked: &HeaderMap) -> Response {
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if text(IF_NONE_MATCH) == file.tag {
        StatusCode::NOT_MODIFIED.into_response()
    } else if text(ACCEPT_ENCODING).contains("gzip") && !file.compressed.is_empty() {
        ([(CONTENT_ENCODING, "gzip")], file.compressed.as_slice()).into_response()
    } else {
        file.plain.into_response()
    };
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_TYPE, file.kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // Wallets may open windows of their own and talk to the page.
        (OPENER_POLICY, "same-origin-allow-popups"),
        (RESOURCE_POLICY, "same-origin"),
        (PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=()"),
        // A new binary has a new page.
        (CACHE_CONTROL, "no-cache"),
        (VARY, "accept-encoding"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&file.tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// What every answer of a listener for people has: no other page may show it or guess what it is.
pub(super) fn forbid_framing(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
