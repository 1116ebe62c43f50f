//! Headers that every answer has: its id, and what the key may still ask for.

use crate::node::Shared;
use crate::node::rates::Left;
use axum::http::{Extensions, HeaderName, HeaderValue};
use axum::response::Response;
use std::sync::{Arc, OnceLock};

/// The names of the id that OpenAI's and Anthropic's clients read.
const IDS: [HeaderName; 2] = [HeaderName::from_static("x-request-id"), HeaderName::from_static("request-id")];
/// The id of an answer that is charged.
const GENERATION: &str = "steam-generation-id";
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// What is left of the rate of the key that asks, once that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate(Arc<OnceLock<Left>>);

impl Rate {
    /// Notes what is left, for the answer to the request with these extensions.
    pub(super) fn note(extensions: &Extensions, left: Option<Left>) {
        if let (Some(Self(slot)), Some(left)) = (extensions.get::<Self>(), left) {
            let _ = slot.set(left);
        }
    }

    /// Says it.
    pub(super) fn tell(&self, response: &mut Response) {
        let Some(left) = self.0.get() else { return };
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(left.limit));
        headers.insert(REMAINING, HeaderValue::from(left.remaining));
        if let Ok(reset) = HeaderValue::try_from(format!("{}ms", left.reset.as_millis())) {
            headers.insert(RESET, reset);
        }
    }
}

/// Gives a response its id, and returns it: that of the answer, or a new one.
pub(super) fn identify(shared: &Shared, response: &mut Response) -> String {
    let headers = response.headers_mut();
    let own = || HeaderValue::try_from(format!("req-{}", hex::encode(shared.random.id(shared.clock.unix_ms())))).ok();
    let Some(id) = headers.get(GENERATION).cloned().or_else(own) else { return String::new() };
    for name in IDS {
        headers.insert(name, id.clone());
    }
    id.to_str().unwrap_or_default().to_owned()
}
