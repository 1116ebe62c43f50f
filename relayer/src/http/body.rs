//! Reading a request's body: JSON by its own account, as it is, within size and time.

use crate::node::Node;
use crate::relay::error::RelayError;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Time to take in a body that nobody wants.
const DISCARD_PATIENCE: Duration = Duration::from_secs(5);

/// A place among the requests under way, given back when it is dropped.
///
/// # Errors
/// 429 if there is none.
pub fn place(node: &Node) -> Result<OwnedSemaphorePermit, RelayError> {
    node.limits.place().ok_or_else(RelayError::busy)
}

/// A place among requests that nobody pays for, given back when it is dropped.
///
/// # Errors
/// 429 if there is none.
pub fn unpaid_place(node: &Node) -> Result<OwnedSemaphorePermit, RelayError> {
    node.limits.unpaid_place().ok_or_else(RelayError::busy)
}

/// A place among requests that nobody pays for, and the body of one of at most `limit` bytes.
///
/// # Errors
/// 429 without a place; 400, 408, 413 or 415 for the body.
pub async fn receive(node: &Node, request: Request, limit: usize) -> Result<(OwnedSemaphorePermit, Bytes), RelayError> {
    check(request.headers(), limit)?;
    let patience = Duration::from_millis(node.config.server.body_timeout_ms);
    let body = read(request.into_body(), limit, patience).await?;
    // Not before: clients that send their bodies slowly would take every place.
    Ok((unpaid_place(node)?, body))
}

/// Checks what the headers say about the body.
///
/// # Errors
/// 413 or 415.
pub fn check(headers: &HeaderMap, limit: usize) -> Result<(), RelayError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    if text(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(RelayError::MediaType {
            header: "content-encoding",
            message: "send the body as it is: its bytes are what is signed, so no Content-Encoding is taken",
        });
    }
    if let Some(kind) = text(CONTENT_TYPE) {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(RelayError::MediaType {
                header: "content-type",
                message: "send JSON, with `Content-Type: application/json`",
            });
        }
    }
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(RelayError::TooLarge { limit });
    }
    Ok(())
}

/// Largest piece of an answer that a connection is handed at once.
const PIECE: usize = 16 << 10;

/// The body `inner`, which keeps `place` until the client has taken all of it but what fits a connection's buffer.
pub fn held(inner: Body, place: Arc<OwnedSemaphorePermit>) -> Body {
    Body::new(Held { inner, rest: Bytes::new(), _place: place })
}

/// A body with a place, handed out in pieces: a connection takes the next one when it has room for it.
struct Held {
    inner: Body,
    rest: Bytes,
    _place: Arc<OwnedSemaphorePermit>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Reads the whole body.
///
/// # Errors
/// 413 beyond `limit` bytes, 408 beyond `patience`, 400 if it breaks off.
pub async fn read(mut body: Body, limit: usize, patience: Duration) -> Result<Bytes, RelayError> {
    match timeout(patience, Limited::new(&mut body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(body, limit).await;
            Err(RelayError::TooLarge { limit })
        }
        Ok(Err(_)) => Err(broken_off()),
        Err(_) => Err(RelayError::BodyTimeout),
    }
}

/// What is answered to a body that ends before its end.
pub fn broken_off() -> RelayError {
    RelayError::Invalid { message: "the request's body broke off".into(), param: None, code: "malformed_body" }
}

/// Takes in what is still being sent, up to `limit` bytes, and forgets it: a client that is still sending when the
/// connection closes would see a reset in place of the error.
pub async fn discard(body: Body, limit: usize) {
    let mut rest = Limited::new(body, limit);
    let emptied = async { while let Some(Ok(_)) = rest.frame().await {} };
    // A client that takes longer than this gets its reset.
    let _ = timeout(DISCARD_PATIENCE, emptied).await;
}

/// Reads a body of JSON that has this `form`.
///
/// # Errors
/// 400, with the form.
pub fn json<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, RelayError> {
    serde_json::from_slice(body).map_err(|error| malformed(form, &error.to_string()))
}

/// A body that has not this `form`.
pub fn malformed(form: &str, error: &str) -> RelayError {
    RelayError::Invalid { message: format!("send {form}: {error}"), param: None, code: "malformed_body" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn status(name: HeaderName, value: &'static str) -> Option<u16> {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        check(&headers, 1_000).err().map(|error| crate::http::errors::status(&error).as_u16())
    }

    #[test]
    fn the_headers_must_announce_plain_json_of_bounded_size() {
        assert_eq!(status(CONTENT_TYPE, "application/json; charset=utf-8"), None);
        assert_eq!(status(CONTENT_TYPE, "text/plain"), Some(415));
        assert_eq!(status(CONTENT_TYPE, ""), Some(415));
        assert_eq!(status(CONTENT_ENCODING, "gzip"), Some(415));
        assert_eq!(status(CONTENT_ENCODING, "Identity"), None);
        assert_eq!(status(CONTENT_LENGTH, "1000"), None);
        assert_eq!(status(CONTENT_LENGTH, "1001"), Some(413));
        assert_eq!(status(CONTENT_LENGTH, "18446744073709551615"), Some(413));
        let param = |name: HeaderName| {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
            check(&headers, 1_000).unwrap_err().param().map(ToOwned::to_owned)
        };
        assert_eq!(param(CONTENT_TYPE).as_deref(), Some("content-type"));
        assert_eq!(param(CONTENT_ENCODING).as_deref(), Some("content-encoding"));
    }

    #[tokio::test]
    async fn a_body_is_bounded_in_size_and_time() {
        let read = |body, limit| read(body, limit, Duration::from_millis(50));
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
        assert!(matches!(read(Body::from("123456"), 5).await, Err(RelayError::TooLarge { limit: 5 })));
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(matches!(read(never, 5).await, Err(RelayError::BodyTimeout)));
        let broken = Body::from_stream(futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("x"))]));
        assert!(matches!(read(broken, 5).await, Err(RelayError::Invalid { .. })));
    }

    #[tokio::test]
    async fn a_place_lasts_as_long_as_the_body_and_the_body_is_what_it_was() {
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let place = Arc::new(places.clone().try_acquire_owned().unwrap());
        let text: String = (0..9_000).map(|n| format!("{n} ")).collect();
        let mut body = held(Body::from(text.clone()), place);
        assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            taken.extend_from_slice(&piece);
            assert_eq!(places.available_permits(), 0);
            assert_eq!(body.size_hint().exact(), Some((text.len() - taken.len()) as u64));
        }
        assert_eq!(taken, text.as_bytes());
        drop(body);
        assert_eq!(places.available_permits(), 1);
    }
}
