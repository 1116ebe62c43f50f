//! The HTTP side of a simulated provider.

use super::answer::{self, Choice, Head, Usage};
use super::behaviour::{Behaviour, count};
use super::reply::{Answer, Form};
use super::request::{Problem, Request};
use super::{Shared, completions, embeddings, messages, stream};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Largest request that is read, in bytes.
const MAX_BODY: usize = 32 << 20;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(complete))
        .route("/v1/embeddings", post(embed))
        .route("/v1/messages", post(message))
        .route("/.well-known/steam-provider.json", get(proof))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = if self.status < 500 { "invalid_request_error" } else { "server_error" };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = json!({ "message": self.message, "type": kind, "param": self.param, "code": self.code });
        (status, Json(json!({ "error": error }))).into_response()
    }
}

async fn models(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let models: Vec<Value> = shared
        .behaviour()
        .models
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": 1_760_000_000, "owned_by": "simulated" }))
        .collect();
    Json(json!({ "object": "list", "data": models }))
}

async fn proof(State(shared): State<Arc<Shared>>) -> Response {
    match shared.behaviour().address {
        Some(address) => Json(json!({ "providers": [{ "address": address }] })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn chat(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Problem> {
    let request = Request::read(&body, &shared.behaviour().models)?;
    answer(shared, request, Form::Chat).await
}

async fn complete(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Problem> {
    let request = completions::read(&body, &shared.behaviour().models)?;
    answer(shared, request, Form::Text).await
}

async fn message(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let answered = match messages::read(&body, &shared.behaviour().models) {
        Ok(request) => answer(shared, request, Form::Messages).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(messages::refuse)
}

async fn embed(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Problem> {
    let behaviour = shared.behaviour();
    let request = embeddings::Request::read(&body, &behaviour.models)?;
    if let Some(failure) = failure(&shared, &behaviour)? {
        return Ok(failure);
    }
    let tokens = (f64::from(request.tokens()) * (1.0 + behaviour.inflation)).round() as u32;
    shared.counters.served(&Usage { prompt: tokens, cached: 0, completion: 0 });
    Ok(Json(request.answer(tokens)).into_response())
}

/// Counts a request, and fails it if its luck says so.
fn failure(shared: &Shared, behaviour: &Behaviour) -> Result<Option<Response>, Problem> {
    count(&shared.counters.requests);
    if shared.chance(behaviour.rate_limit_rate) {
        count(&shared.counters.rate_limited);
        let error = json!({
            "message": "Rate limit reached. Please try again in 1s.",
            "type": "requests",
            "param": null,
            "code": "rate_limit_exceeded",
        });
        let headers = [(header::RETRY_AFTER, "1")];
        return Ok(Some((StatusCode::TOO_MANY_REQUESTS, headers, Json(json!({ "error": error }))).into_response()));
    }
    if shared.chance(behaviour.failure_rate) {
        count(&shared.counters.failed);
        return Err(Problem {
            status: 500,
            code: None,
            param: None,
            message: "The server had an error while processing your request.".into(),
        });
    }
    Ok(None)
}

async fn answer(shared: Arc<Shared>, request: Request, form: Form) -> Result<Response, Problem> {
    let began = Instant::now();
    let behaviour = shared.behaviour();
    if let Some(failure) = failure(&shared, &behaviour)? {
        return Ok(failure);
    }
    let cut = request.stream && shared.chance(behaviour.cut_rate);
    let mut rng = shared.fork();
    let pace = behaviour.pace(&mut rng);
    let mut words = if behaviour.canned { StdRng::seed_from_u64(0) } else { shared.fork() };
    let mut choices: Vec<Choice> = (0..request.n)
        .map(|_| answer::choice(&request, &behaviour.name, behaviour.output_tokens, &mut words))
        .collect();
    if shared.chance(behaviour.empty_rate) {
        choices.iter_mut().for_each(Choice::clear);
    }
    let prompt = answer::prompt_tokens(&request);
    let known = shared.saw(answer::prompt_key(&request));
    let claimed = |tokens: u32| (f64::from(tokens) * (1.0 + behaviour.inflation)).round() as u32;
    let usage = Usage {
        prompt: claimed(prompt),
        cached: if known { answer::cached_tokens(prompt, behaviour.cache_share) } else { 0 },
        completion: claimed(answer::output_tokens(&request, &choices)),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = format!("{}{:016x}", form.prefix(), rng.random::<u64>());
    let head = Head { id, created: since.as_secs(), model: request.model };
    let answer = Answer { form, thinks: request.thinks, head, choices, usage, pace, began };
    if request.stream {
        return Ok(stream::respond(shared, answer, request.include_usage, cut));
    }
    // Choices are written side by side, so the longest takes the time.
    let longest = answer.choices.iter().map(|choice| choice.tokens.len()).max().unwrap_or(0);
    tokio::time::sleep_until(began + answer.pace.at(longest)).await;
    shared.counters.served(&answer.usage);
    Ok(Json(form.whole(&answer)).into_response())
}
