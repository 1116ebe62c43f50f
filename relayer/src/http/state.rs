//! What every handler shares.

use crate::http::body;
use crate::http::limits::Rates;
use crate::relay::Relay;
use crate::relay::error::RelayError;
use axum::extract::Request;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The request path and the limits around it.
#[derive(Debug)]
pub struct Server {
    /// The request path.
    pub relay: Arc<Relay>,
    /// Places for requests under way.
    concurrent: Arc<Semaphore>,
    /// Requests a key made lately.
    pub rates: Rates,
}

impl Server {
    /// Handlers' state over `relay`.
    pub fn new(relay: Arc<Relay>) -> Self {
        let server = &relay.app.config.server;
        let concurrent = Arc::new(Semaphore::new(server.max_concurrent.min(Semaphore::MAX_PERMITS)));
        let rates = Rates::new(server.requests_per_key_per_minute);
        Self { relay, concurrent, rates }
    }

    /// A place among the requests under way, given back when it is dropped.
    ///
    /// # Errors
    /// 429 if there is none.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, RelayError> {
        let busy = |_| RelayError::Busy { retry_after: Duration::from_secs(1) };
        self.concurrent.clone().try_acquire_owned().map_err(busy)
    }

    /// A place, and the body of a request of at most `limit` bytes.
    ///
    /// # Errors
    /// 429 without a place; 400, 408, 413 or 415 for the body.
    pub async fn body(&self, request: Request, limit: usize) -> Result<(OwnedSemaphorePermit, Bytes), RelayError> {
        let place = self.place()?;
        body::check(request.headers(), limit)?;
        let patience = Duration::from_millis(self.relay.app.config.server.body_timeout_ms);
        Ok((place, body::read(request.into_body(), limit, patience).await?))
    }
}
