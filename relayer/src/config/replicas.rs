//! Several processes of one relayer, which share a ledger on a server.

use super::ConfigError;
use crate::ledger::partitions::MOST_PARTITIONS;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Several processes of one relayer. Off unless a file with their secret is named.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Replicas {
    /// File with the secret that the processes show each other, 32 characters or more: the same one for all of them.
    pub secret_file: PathBuf,
    /// Where to listen for the other processes: not for the public, and not through the load balancer.
    pub listen: SocketAddr,
    /// Where the other processes reach that listener, as `host:port`; the listener's own address unless set.
    pub address: String,
    /// Parts that the ledger's vaults are divided into, set once and for all when it is made: a part is held by one process at a time.
    pub partitions: u16,
    /// Silence of a process after which others take what it holds, in milliseconds.
    pub lease_ms: u64,
    /// Time that a request waits for somebody to hold its vault, in milliseconds: longer than `server.drain_timeout_ms`, for which a process
    /// that ends may keep it, and than `lease_ms`.
    pub wait_ms: u64,
}

/// Whether a text is `host:port`.
pub fn is_address(text: &str) -> bool {
    text.parse::<axum::http::uri::Authority>().is_ok_and(|address| address.port().is_some())
}

impl Default for Replicas {
    fn default() -> Self {
        Self {
            secret_file: PathBuf::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8789)),
            address: String::new(),
            partitions: 1,
            lease_ms: 5_000,
            wait_ms: 40_000,
        }
    }
}

impl Replicas {
    /// Whether there may be other processes.
    pub fn is_on(&self) -> bool {
        !self.secret_file.as_os_str().is_empty()
    }

    /// Silence after which a process is replaced.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// Time that a request waits for a holder of its vault.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    /// What cannot be used, by its key.
    pub(super) fn check(&self, ledger_url: &str) -> Result<(), ConfigError> {
        let need = |holds: bool, key: &'static str, problem: &str| {
            if holds { Ok(()) } else { Err(ConfigError::Value { key, problem: problem.into() }) }
        };
        if !self.is_on() {
            let alone = self.partitions == 1;
            return need(alone, "replicas.partitions", "1, or name the processes' secret as replicas.secret_file");
        }
        let server = !ledger_url.is_empty();
        need(
            server,
            "replicas.secret_file",
            "only with ledger.url: several processes cannot share a ledger in a file",
        )?;
        let range = format!("between 1 and {MOST_PARTITIONS}");
        need((1..=MOST_PARTITIONS).contains(&self.partitions), "replicas.partitions", &range)?;
        need((1_000..=60_000).contains(&self.lease_ms), "replicas.lease_ms", "between 1000 and 60000")?;
        need(self.wait_ms <= 60_000, "replicas.wait_ms", "at most 60000")?;
        let reachable = !self.address.is_empty() || !(self.listen.ip().is_unspecified() || self.listen.port() == 0);
        let problem =
            "where the other processes reach this one, as host:port, since replicas.listen is no single address";
        need(reachable, "replicas.address", problem)?;
        need(self.address.is_empty() || is_address(&self.address), "replicas.address", "as host:port")
    }
}
