//! Lets a request for an answer in: who sent it, whether it can pay, and its body, as it is.

use crate::http::told::Rate;
use crate::http::{body, paths, public};
use crate::node::Node;
use crate::relay::auth::{Caller, Credentials, Inbound, body_hash, check_digest};
use crate::relay::count::funds;
use crate::relay::dialect;
use crate::relay::error::RelayError;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use std::time::Duration;
use steam_protocol::Hash;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A request that was let in.
pub(super) struct Received {
    /// Its place among those under way.
    pub permit: OwnedSemaphorePermit,
    /// Who sent it.
    pub caller: Caller,
    /// The hash of the body, where a signer named it.
    pub digest: Option<Hash>,
    /// Its method, path and headers.
    pub head: Parts,
    /// Its body, as it is.
    pub body: Bytes,
}

/// Lets a request in that has a place: finds who sent it, and reads its body.
pub(super) async fn receive(
    node: &Node,
    request: Request,
    at: Instant,
    permit: OwnedSemaphorePermit,
) -> Result<Received, RelayError> {
    if node.shutdown.is_cancelled() {
        return Err(RelayError::NotReady("it is shutting down"));
    }
    if let Some(reason) = public::stale(node, &node.registry.borrow()) {
        return Err(RelayError::NotReady(reason));
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

/// Bytes of bodies that are read at once; longer ones would hold up the other requests of the thread.
const INLINE_BYTES: usize = 256 << 10;

/// Reads a request, a long one on a thread for what takes long.
pub(super) async fn understand(
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
