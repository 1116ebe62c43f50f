//! What every request of the proxy sees.

use super::guard::Guard;
use crate::cli::output::Format;
use steam_client::Client;
use steam_protocol::units::MicroUsdc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Most requests that wait for others to end.
const MAX_WAITING: usize = 1_024;
/// Most requests under way at once, whatever the limits are.
const MAX_AT_ONCE: usize = 1_024;

/// See the module.
pub struct Proxy {
    /// Signs, sends, verifies and counts.
    pub client: Client,
    /// The most a request may cost.
    pub max_cost: MicroUsdc,
    /// Who may use it.
    pub guard: Guard,
    /// Room for requests under way: their ceilings together are what the key's holder may lose.
    pub room: Semaphore,
    /// Places for them and for those that wait.
    pub waiting: Semaphore,
    /// What carries requests, until their receipts are counted.
    pub tasks: TaskTracker,
    /// How problems are told.
    pub output: Format,
    at_once: usize,
}

impl Proxy {
    pub fn new(client: Client, max_cost: MicroUsdc, at_once: usize, guard: Guard, output: Format) -> Self {
        let at_once = at_once.clamp(1, MAX_AT_ONCE);
        let (room, waiting) = (Semaphore::new(at_once), Semaphore::new(at_once + MAX_WAITING));
        Self { client, max_cost, guard, room, waiting, tasks: TaskTracker::new(), output, at_once }
    }

    /// Requests that may be under way at once.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Waits until every request has its receipt, or has looked for it.
    pub async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
