//! Requests for answers, in every dialect: `POST /v1/chat/completions` and the others. They differ in their documentation
//! alone; the dialect is found by the path.

use crate::http::accept::{Received, receive, understand};
use crate::http::answer::{JSON, response_of};
use crate::http::body;
use crate::http::openapi::{BodyErrors, ChargeErrors, KeyErrors, LookupErrors};
use crate::node::Node;
use crate::relay::auth::{Inbound, body_hash};
use crate::relay::count::count_input;
use crate::relay::dialect::{self, Dialect};
use crate::relay::error::RelayError;
use crate::relay::{Accepted, relay};
use crate::views::{
    ChatCompletion, ChatCompletionRequest, Embeddings, EmbeddingsRequest, Message, MessagesRequest, ModelResponse,
    ResponseTokenCount, ResponsesRequest, TextCompletion, TextCompletionRequest, TokenCount,
};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

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
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
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
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
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
    security(("bearer" = []), ("apiKey" = []), ("signed" = []))
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
