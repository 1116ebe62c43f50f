//! What the client gets as an HTTP response: its head, and its body, whole or as it comes.

use crate::http::LoggedLater;
use crate::relay::{Answer, Told, base64};
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use std::convert::Infallible;
use tokio::sync::mpsc;

const RECEIPT: HeaderName = HeaderName::from_static("steam-receipt");
/// The output limit of an answer where it is not the client's own.
const MAX_TOKENS: HeaderName = HeaderName::from_static("steam-max-tokens");
/// Paths of what the client can do without and the provider was not told.
const LEFT_OUT: HeaderName = HeaderName::from_static("steam-left-out");
const GENERATION: HeaderName = HeaderName::from_static("steam-generation-id");
/// The content type of every answer that is no stream.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The response for `answer`.
pub(super) fn response_of(answer: Answer) -> Response {
    let header = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    match answer {
        Answer::Whole { id, body, receipt, told } => {
            let receipt = header(base64(&receipt.to_bytes()));
            let headers = [(CONTENT_TYPE, JSON), (GENERATION, header(id)), (RECEIPT, receipt)];
            logged(tell((headers, body).into_response(), &told))
        }
        Answer::Stream { id, body, told } => {
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                // Some proxies would gather the events otherwise.
                (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
                (GENERATION, header(id)),
            ];
            logged(tell((headers, events(body)).into_response(), &told))
        }
        Answer::Refused { id, status, body } => {
            (status, [(CONTENT_TYPE, JSON), (GENERATION, header(id))], body).into_response()
        }
    }
}

/// Says in headers what is not as the client asked.
fn tell(mut response: Response, told: &Told) -> Response {
    let headers = response.headers_mut();
    if let Some(max_output) = told.max_output {
        headers.insert(MAX_TOKENS, HeaderValue::from(max_output));
    }
    if let Ok(paths) = HeaderValue::try_from(told.left_out.join(", "))
        && !paths.is_empty()
    {
        headers.insert(LEFT_OUT, paths);
    }
    response
}

fn events(mut receiver: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(futures::stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok::<_, Infallible>))
}

fn logged(mut response: Response) -> Response {
    response.extensions_mut().insert(LoggedLater);
    response
}
