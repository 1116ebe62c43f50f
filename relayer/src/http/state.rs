//! What every handler shares.

use crate::http::limits::Rates;
use crate::relay::Relay;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The request path and the limits around it.
#[derive(Debug)]
pub struct Server {
    /// The request path.
    pub relay: Arc<Relay>,
    /// Places for requests under way.
    pub concurrent: Arc<Semaphore>,
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
}
