//! A request as the caller has it: bytes that this crate hands on and does not read.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use steam_protocol::request::SIGNATURE_HEADERS;

/// A `POST` to the relayer.
#[derive(Clone, Debug)]
pub struct Request {
    /// Below the base URL, as in `chat/completions`.
    pub path: String,
    /// Further headers. Control headers among them are signed. Credentials and the headers of a signature are replaced.
    pub headers: HeaderMap,
    /// The body as it is sent.
    pub body: Bytes,
}

impl Request {
    /// A request with a JSON body.
    pub fn json(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Self { path: path.into(), headers, body: body.into() }
    }

    /// The caller's headers, without those that are this crate's or the connection's: whoever calls may hold a key of another
    /// service, which is not the relayer's to see.
    pub(crate) fn own_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in [AUTHORIZATION, HOST, CONTENT_LENGTH, HeaderName::from_static("x-api-key")] {
            headers.remove(name);
        }
        for name in SIGNATURE_HEADERS.into_iter().chain(["content-digest"]) {
            headers.remove(name);
        }
        headers
    }
}
