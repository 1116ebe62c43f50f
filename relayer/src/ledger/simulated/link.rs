//! The way from one machine to a simulated server, as the machine and the simulation have it.

use super::connection::Connection;
use super::server::SimulatedServer;
use super::way::{Cut, Way};
use crate::ledger::failure::ServerError;
use std::time::Duration;

/// The way from one machine to the server; cheap to clone.
#[derive(Clone)]
pub struct Link {
    server: SimulatedServer,
    number: usize,
}

impl Link {
    /// Another machine's.
    pub fn to(server: &SimulatedServer) -> Self {
        let mut state = server.state();
        state.ways.push(Way::default());
        Self { server: server.clone(), number: state.ways.len() - 1 }
    }

    /// Connects, to the tables of a schema.
    pub(in crate::ledger) fn connect(&self, schema: Option<String>) -> Result<Connection, ServerError> {
        let backend = self.server.state().connect(self.number, schema)?;
        Ok(Connection::new(self.server.clone(), backend))
    }

    /// Has a connection break, once.
    pub fn cut(&self, cut: Cut) {
        self.way(|way| way.cut = Some(cut));
    }

    /// Whether no connection is to break.
    pub fn is_spared(&self) -> bool {
        self.way(|way| way.cut.is_none())
    }

    /// Takes back what was to break.
    pub fn spare(&self) {
        self.way(|way| way.cut = None);
    }

    /// What has broken since this was asked last.
    pub fn struck(&self) -> Vec<Cut> {
        self.way(|way| std::mem::take(&mut way.struck))
    }

    /// Whether nothing passes from now on.
    pub fn shut(&self, shut: bool) {
        self.way(|way| way.shut = shut);
    }

    /// Milliseconds after which the server notices that a client is gone.
    pub fn linger(&self, ms: i64) {
        self.way(|way| way.lingers = ms);
    }

    /// Breaks all connections: the server notices it when it does.
    pub fn break_all(&self) {
        self.server.state().break_all(self.number);
    }

    /// The time that has passed here.
    pub(in crate::ledger) fn now(&self) -> Duration {
        let state = self.server.state();
        Duration::from_millis(u64::try_from(state.now(self.number)).unwrap_or_default())
    }

    /// Lets time pass here alone.
    pub(in crate::ledger) fn sleep(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.way(|way| way.ahead = way.ahead.saturating_add(ms));
    }

    /// How long whoever asks here has waited since this was asked last: that time is still to pass.
    pub fn waited(&self) -> Duration {
        let ahead = self.way(|way| std::mem::take(&mut way.ahead));
        Duration::from_millis(u64::try_from(ahead).unwrap_or_default())
    }

    fn way<T>(&self, change: impl FnOnce(&mut Way) -> T) -> T {
        change(&mut self.server.state().ways[self.number])
    }
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && self.server.is(&other.server)
    }
}

impl Eq for Link {}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("number", &self.number).finish_non_exhaustive()
    }
}
