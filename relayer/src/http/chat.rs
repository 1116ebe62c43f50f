//! Requests for answers, in every dialect: `POST /v1/chat/completions` and the others. They differ in their documentation
//! alone; the dialect is found by the path.

use crate::http::openapi::{BodyErrors, ChargeErrors, KeyErrors, LookupErrors};
use crate::http::told::Rate;
use crate::http::{LoggedLater, body, paths, public};
use crate::node::Node;
use crate::relay::auth::{Caller, Credentials, Inbound, body_hash, check_digest};
use crate::relay::dialect::{self, Dialect};
use crate::relay::error::RelayError;
use crate::relay::pipeline::{count_input, funds};
use crate::relay::{Accepted, Answer, Told, base64, relay};
use crate::views::{
    ChatCompletion, ChatCompletionRequest, Embeddings, EmbeddingsRequest, Message, MessagesRequest, ModelResponse,
    ResponseTokenCount, ResponsesRequest, TextCompletion, TextCompletionRequest, TokenCount,
};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::Hash;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

const RECEIPT: HeaderName = HeaderName::from_static("steam-receipt");
/// The output limit of an answer where it is not the client's own.
const MAX_TOKENS: HeaderName = HeaderName::from_static("steam-max-tokens");
/// Paths of what the client can do without and the provider was not told.
const LEFT_OUT: HeaderName = HeaderName::from_static("steam-left-out");
const GENERATION: HeaderName = HeaderName::from_static("steam-generation-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers a conversation, whole or as server-sent events.
///
/// A whole answer has its receipt in the header `Steam-Receipt`; a stream ends with the receipt in a comment,
/// `: steam-receipt …`, before `data: [DONE]`.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "createChatCompletion",
    tag = "completions",
    request_body = ChatCompletionRequest,
    responses(
        (
            status = 200,
            description = "The answer.",
            headers(
                ("Steam-Generation-Id" = String, description = "The answer's id."),
                ("Steam-Max-Tokens" = u32, description = "The output limit, where it is not the request's own."),
                ("Steam-Left-Out" = String, description = "Paths of tools that the request can do without and the provider's API has no word for."),
                ("Steam-Receipt" = String, description = "The signed receipt, base64; of a whole answer only."),
            ),
            content((ChatCompletion = "application/json"), (String = "text/event-stream"))
        ),
        BodyErrors,
        KeyErrors,
        ChargeErrors,
    ),
    security(("bearer" = []), ("signed" = []))
)]
pub(super) async fn create(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    answer(&node, request).await
}

/// Continues a text, whole or as server-sent events.
///
/// Only providers that speak this API are asked. The receipt comes as with chat completions.
#[utoipa::path(
    post,
    path = "/v1/completions",
    operation_id = "createCompletion",
    tag = "completions",
    request_body = TextCompletionRequest,
    responses(
        (
            status = 200,
            description = "The answer.",
            headers(
                ("Steam-Generation-Id" = String, description = "The answer's id."),
                ("Steam-Max-Tokens" = u32, description = "The output limit, where it is not the request's own."),
                ("Steam-Left-Out" = String, description = "Paths of tools that the request can do without and the provider's API has no word for."),
                ("Steam-Receipt" = String, description = "The signed receipt, base64; of a whole answer only."),
            ),
            content((TextCompletion = "application/json"), (String = "text/event-stream"))
        ),
        BodyErrors,
        KeyErrors,
        ChargeErrors,
    ),
    security(("bearer" = []), ("signed" = []))
)]
pub(super) async fn complete(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    answer(&node, request).await
}

/// Turns texts into vectors. Only input tokens are charged.
///
/// Only providers that speak this API are asked.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    operation_id = "createEmbeddings",
    tag = "completions",
    request_body = EmbeddingsRequest,
    responses(
        (
            status = 200,
            description = "One vector for each input.",
            headers(
                ("Steam-Generation-Id" = String, description = "The answer's id."),
                ("Steam-Receipt" = String, description = "The signed receipt, base64."),
            ),
            body = Embeddings
        ),
        BodyErrors,
        KeyErrors,
        ChargeErrors,
    ),
    security(("bearer" = []), ("signed" = []))
)]
pub(super) async fn embed(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    answer(&node, request).await
}

/// Answers a conversation as Anthropic's API does, whole or as server-sent events.
///
/// Providers of this API are asked as the client asks; those of chat completions where nothing of the request is lost. A whole
/// answer has its receipt in the header `Steam-Receipt`; a stream ends with the receipt in a comment before `message_stop`.
/// Errors have Anthropic's form.
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "createMessage",
    tag = "completions",
    request_body = MessagesRequest,
    responses(
        (
            status = 200,
            description = "The answer.",
            headers(
                ("Steam-Generation-Id" = String, description = "The answer's id."),
                ("Steam-Max-Tokens" = u32, description = "The output limit, where it is not the request's own."),
                ("Steam-Left-Out" = String, description = "Paths of tools that the request can do without and the provider's API has no word for."),
                ("Steam-Receipt" = String, description = "The signed receipt, base64; of a whole answer only."),
            ),
            content((Message = "application/json"), (String = "text/event-stream"))
        ),
        BodyErrors,
        KeyErrors,
        ChargeErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn message(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    answer(&node, request).await
}

/// Counts the input tokens of a conversation as Anthropic's API does. Nothing is charged.
///
/// The count is the relayer's own: by the model's tokenizer where it is known, otherwise estimated from the bytes.
#[utoipa::path(
    post,
    path = "/v1/messages/count_tokens",
    operation_id = "countTokens",
    tag = "completions",
    request_body = MessagesRequest,
    responses((status = 200, description = "The count.", body = TokenCount), BodyErrors, KeyErrors, LookupErrors),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn count(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    counted(&node, request, dialect::messages::read_to_count, dialect::messages::counted).await
}

/// Answers as OpenAI's responses API does, whole or as server-sent events.
///
/// Answers are not kept: each request has the whole history, and `previous_response_id`, `conversation`, `background` and
/// `store: true` are refused. Providers of this API are asked as the client asks; those of chat completions and of messages where
/// nothing of the request is lost. A whole answer has its receipt in the header `Steam-Receipt`; a stream ends with the receipt in a
/// comment.
#[utoipa::path(
    post,
    path = "/v1/responses",
    operation_id = "createResponse",
    tag = "completions",
    request_body = ResponsesRequest,
    responses(
        (
            status = 200,
            description = "The answer.",
            headers(
                ("Steam-Generation-Id" = String, description = "The answer's id."),
                ("Steam-Max-Tokens" = u32, description = "The output limit, where it is not the request's own."),
                ("Steam-Left-Out" = String, description = "Paths of tools that the request can do without and the provider's API has no word for."),
                ("Steam-Receipt" = String, description = "The signed receipt, base64; of a whole answer only."),
            ),
            content((ModelResponse = "application/json"), (String = "text/event-stream"))
        ),
        BodyErrors,
        KeyErrors,
        ChargeErrors,
    ),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn respond(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    answer(&node, request).await
}

/// Counts the input tokens of a response as OpenAI's API does. Nothing is charged.
///
/// The count is the relayer's own: by the model's tokenizer where it is known, otherwise estimated from the bytes.
#[utoipa::path(
    post,
    path = "/v1/responses/input_tokens",
    operation_id = "countResponseTokens",
    tag = "completions",
    request_body = ResponsesRequest,
    responses((status = 200, description = "The count.", body = ResponseTokenCount), BodyErrors, KeyErrors, LookupErrors),
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
)]
pub(super) async fn count_response(State(node): State<Arc<Node>>, request: Request) -> Result<Response, RelayError> {
    let read = |body, headers: &HeaderMap| dialect::responses::Responses.read(body, headers);
    counted(&node, request, read, dialect::responses::counted).await
}

/// Counts the input of what `read` reads. Nobody pays for that: it takes no place of those who do.
async fn counted(
    node: &Node,
    request: Request,
    read: impl Fn(Bytes, &HeaderMap) -> Result<dialect::Request, RelayError> + Send + 'static,
    write: impl Fn(u64) -> String,
) -> Result<Response, RelayError> {
    let permit = body::unpaid_place(node)?;
    let Received { permit: _permit, caller, head, body, .. } = receive(node, request, Instant::now(), permit).await?;
    let request = understand(body, &head.headers, read).await?;
    let tokens = count_input(node, &caller, &request).await?;
    Ok(([(CONTENT_TYPE, JSON)], write(tokens)).into_response())
}

/// Bytes of bodies that are read at once; longer ones would hold up the other requests of the thread.
const INLINE_BYTES: usize = 256 << 10;

/// Reads a request, a long one on a thread for what takes long.
async fn understand(
    body: Bytes,
    headers: &HeaderMap,
    read: impl FnOnce(Bytes, &HeaderMap) -> Result<dialect::Request, RelayError> + Send + 'static,
) -> Result<dialect::Request, RelayError> {
    if body.len() <= INLINE_BYTES {
        return read(body, headers);
    }
    let headers = headers.clone();
    let read = tokio::task::spawn_blocking(move || read(body, &headers));
    read.await.unwrap_or(Err(RelayError::Internal("reading the request panicked")))
}

/// Serves a request in the dialect of its path.
async fn answer(node: &Arc<Node>, request: Request) -> Result<Response, RelayError> {
    let (unix_ms, at) = (node.clock.unix_ms(), Instant::now());
    let Received { permit, caller, digest, head, body } = receive(node, request, at, body::place(node)?).await?;
    // A signature was verified over the path as it was sent. A bearer's request is the same however its path is spelt.
    let inbound = Inbound {
        method: head.method.as_str(),
        path: head.uri.path(),
        headers: &head.headers,
        body_hash: digest.unwrap_or_else(|| body_hash(&body)),
    };
    let dialect = dialect::of_path(head.uri.path()).ok_or(RelayError::NoRoute)?;
    let request = understand(body, &head.headers, |body, headers| dialect.read(body, headers)).await?;
    let permit = Arc::new(permit);
    let answer = relay(node, caller, &inbound, request, Accepted { unix_ms, at, permit: permit.clone() }).await?;
    Ok(response_of(answer).map(|body| body::held(body, permit)))
}

/// A request that was let in.
struct Received {
    permit: OwnedSemaphorePermit,
    caller: Caller,
    /// The hash of the body, where a signer named it.
    digest: Option<Hash>,
    head: Parts,
    body: Bytes,
}

/// Lets a request in that has a place: finds who sent it, and reads its body.
async fn receive(
    node: &Node,
    request: Request,
    at: Instant,
    permit: OwnedSemaphorePermit,
) -> Result<Received, RelayError> {
    if node.shutdown.is_cancelled() {
        return Err(RelayError::NotReady("it is shutting down"));
    }
    if !public::is_fresh(node, &node.registry.borrow()) {
        return Err(RelayError::NotReady("it has not read the chain for too long"));
    }
    let (head, body) = request.into_parts();

    // Who it is comes before the body: a stranger's is not kept. Keys and vaults are public, so a signature is verified
    // over the digest that the headers promise.
    let limit = node.config.server.max_body_bytes;
    let promised = Inbound {
        method: head.method.as_str(),
        path: paths::signed(&head.uri, &head.extensions),
        headers: &head.headers,
        body_hash: Hash::default(),
    };
    let (caller, digest) = match admit(node, promised, limit) {
        Ok(admitted) => admitted,
        Err(error) => {
            body::discard(body, limit.saturating_mul(2)).await;
            return Err(error);
        }
    };
    let body = body::read(body, limit, Duration::from_millis(node.config.server.body_timeout_ms)).await?;
    if let Some(digest) = digest {
        check_digest(digest, body_hash(&body))?;
    }
    Rate::note(&head.extensions, node.limits.rates.take(&caller.key.key, at)?);
    Ok(Received { permit, caller, digest, head, body })
}

/// What the headers alone decide: who it is, and what a signer says the body is.
fn admit(node: &Node, promised: Inbound<'_>, limit: usize) -> Result<(Caller, Option<Hash>), RelayError> {
    let identified = Credentials::read(promised.headers, node.bearer_keys())?.identify(&node.vaults, None)?;
    body::check(promised.headers, limit)?;
    let digest = identified.digest();
    let promised = Inbound { body_hash: digest.unwrap_or_default(), ..promised };
    let registry = node.registry.borrow().clone();
    let caller = identified.verify(&registry, &promised, node.clock.unix())?;
    // A body is not read for a vault that cannot pay.
    funds(node, &caller, promised.headers)?;
    Ok((caller, digest))
}

fn response_of(answer: Answer) -> Response {
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
                (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test]
    async fn a_long_body_is_read_beside_the_other_requests() {
        for (length, at_once) in [(1_000, true), (INLINE_BYTES + 1, false)] {
            let text = "x".repeat(length);
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
            let body = Bytes::from(body);
            let headers = HeaderMap::new();
            let mut read = pin!(understand(body, &headers, |body, headers| dialect::usual().read(body, headers)));
            assert_eq!(futures::poll!(&mut read).is_ready(), at_once, "{length}");
            if !at_once {
                read.await.unwrap();
            }
        }
    }
}
