//! Builds everything, owns tasks and shutdown.
use crate::{clock::Clock, config::Config, ledger::Ledger, registry::Registry, score::Scorer, settle, vaults::Vaults};
use std::sync::Arc;
use tokio::sync::watch;
/// What a request needs.
pub struct App {
    /// As checked.
    pub config: Config,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Who serves what.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Money.
    pub vaults: Arc<Vaults>,
    /// The database.
    pub ledger: Ledger,
    /// Measurements and choice.
    pub scorer: Arc<Scorer>,
    /// Providers.
    pub upstream: crate::relay::upstream::Upstream,
    /// Where settlement stands.
    pub settle: watch::Receiver<settle::Status>,
    /// Everything that must end before the process does.
    pub tasks: tokio_util::task::TaskTracker,
    /// Cancelled at shutdown.
    pub shutdown: tokio_util::sync::CancellationToken,
}
