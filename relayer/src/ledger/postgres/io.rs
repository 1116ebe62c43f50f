//! What carries a ledger's connections, and in whose time they wait.

use super::wire::Sockets;
use crate::ledger::LedgerError;
use crate::ledger::location::Server;
#[cfg(feature = "simulation")]
use crate::ledger::simulated::Link;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module.
pub(in crate::ledger) struct Io {
    began: Instant,
    pub(super) way: Way,
}

/// The way to the server.
pub(super) enum Way {
    Sockets(Arc<Sockets>),
    #[cfg(feature = "simulation")]
    Simulated(Link),
}

impl Io {
    /// For connections to `server`.
    ///
    /// # Errors
    /// [`LedgerError::Thread`].
    pub fn start(server: &Server) -> Result<Arc<Self>, LedgerError> {
        Ok(Arc::new(Self { began: Instant::now(), way: Way::to(server)? }))
    }

    /// Time since this began.
    pub fn now(&self) -> Duration {
        match &self.way {
            Way::Sockets(_) => self.began.elapsed(),
            #[cfg(feature = "simulation")]
            Way::Simulated(link) => link.now(),
        }
    }

    /// Waits, on the thread of whoever asks.
    pub fn sleep(&self, time: Duration) {
        match &self.way {
            Way::Sockets(_) => std::thread::sleep(time),
            #[cfg(feature = "simulation")]
            Way::Simulated(link) => link.sleep(time),
        }
    }
}

impl Way {
    #[cfg(not(feature = "simulation"))]
    fn to(_: &Server) -> Result<Self, LedgerError> {
        Sockets::start().map(Self::Sockets)
    }

    #[cfg(feature = "simulation")]
    fn to(server: &Server) -> Result<Self, LedgerError> {
        match server.link() {
            Some(link) => Ok(Self::Simulated(link.clone())),
            None => Sockets::start().map(Self::Sockets),
        }
    }
}
