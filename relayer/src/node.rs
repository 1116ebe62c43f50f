//! What every request sees. `app` builds it; `http`, `relay`, `origins` and `probe` use it, and it uses none of them.

pub mod budget;
pub mod fees;
pub mod gateway;
pub mod held;
pub mod histories;
pub mod keys;
pub mod listings;
pub mod openings;
pub mod rates;
pub mod requests;
pub mod sessions;

use crate::allow_lists::AllowLists;
use crate::board::Board;
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::market::Market;
use crate::metrics::Metrics;
use crate::node::budget::Budget;
use crate::node::fees::Fees;
use crate::node::gateway::Gateway;
use crate::node::histories::Histories;
use crate::node::keys::Keys;
use crate::node::listings::Listings;
use crate::node::openings::Openings;
use crate::node::rates::Rates;
use crate::node::requests::Requests;
use crate::node::sessions::Sessions;
use crate::registry::Registry;
use crate::score::Scorer;
use crate::settle;
use crate::tokens::Tokenizers;
use crate::upstream::Upstream;
use crate::vaults::Vaults;
use crate::withdrawals::Withdrawals;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What all requests of a process share, whosever vault pays.
pub struct Shared {
    /// The configuration, checked. Its part about the market is in [`Self::market`], which may be reloaded.
    pub config: Config,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Providers, offers and prices, as the chain had them last.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// With whom the operator deals.
    pub market: Market,
    /// Measurements that decide who serves a request.
    pub scorer: Arc<Scorer>,
    /// Public measurements.
    pub board: Arc<Board>,
    /// What was lately told of the market over time.
    pub histories: Histories,
    /// What was just told of models and offers.
    pub listings: Listings,
    /// The client that calls providers.
    pub upstream: Arc<Upstream>,
    /// Cancelled when the process takes no new request.
    pub stopping: CancellationToken,
    /// Counters.
    pub metrics: Metrics,
    /// Tokenizers of the models whose tokenizer is known.
    pub tokenizers: Tokenizers,
    /// How much is taken on.
    pub limits: Limits,
    /// Randomness of nonces, ids and routing.
    pub random: Random,
    /// Session keys of the bearer tokens in use.
    pub keys: Keys,
    /// Owners that signed in to read.
    pub sessions: Sessions,
    /// Openings that wait for a phone.
    pub openings: Openings,
    /// What was answered last.
    pub requests: Requests,
}

/// What requests see: what all of them share, and the ledger in which their vaults are with all that belongs to it. A process has one,
/// or one for each partition of the ledger that it holds.
pub struct Node {
    /// What the requests of all partitions share.
    pub shared: Arc<Shared>,
    /// Vaults, keys and holds.
    pub vaults: Arc<Vaults>,
    /// The providers that keys may pay.
    pub allow_lists: AllowLists,
    /// Withdrawals that the settler signs at once.
    pub withdrawals: Withdrawals,
    /// The chain, for pages.
    pub gateway: Gateway,
    /// The database.
    pub ledger: Ledger,
    /// Progress of settlement.
    pub settle: watch::Receiver<settle::Status>,
    /// Tasks that must end before the ledger is closed.
    pub tasks: TaskTracker,
    /// Cancelled when no new request is taken.
    pub shutdown: CancellationToken,
    /// Cancelled when the requests under way must end.
    pub ending: CancellationToken,
}

/// What is shared is part of what a request sees: no path differs by where something is kept.
impl Deref for Node {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Shared {
    /// The keys of bearer tokens, where the configuration allows such tokens.
    pub fn bearer_keys(&self) -> Option<&Keys> {
        self.config.server.bearer_keys.then_some(&self.keys)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

/// How many requests, retries and hedges are allowed, and how much each vault's requests say.
#[derive(Debug)]
pub struct Limits {
    /// Permits to ask another provider after one failed.
    pub retries: Budget,
    /// Permits to ask a second provider while the first one is slow.
    pub hedges: Budget,
    /// What vaults paid lately, by which their requests weigh.
    pub fees: Fees,
    /// Requests that each key made within the last minute.
    pub rates: Rates,
    concurrent: Arc<Semaphore>,
    unpaid: Arc<Semaphore>,
}

/// Part of the places that requests which nobody pays for have of their own.
const UNPAID_PART: usize = 16;

impl Limits {
    /// The limits that `config` sets.
    pub fn new(config: &Config) -> Self {
        Self {
            retries: Budget::new(config.upstream.retry_percent, config.upstream.retries_per_second),
            hedges: Budget::new(config.upstream.hedge_percent, 0.0),
            fees: Fees::default(),
            rates: Rates::new(config.server.requests_per_key_per_minute),
            concurrent: Arc::new(Semaphore::new(config.server.max_concurrent.min(Semaphore::MAX_PERMITS))),
            unpaid: Arc::new(Semaphore::new(
                config.server.max_concurrent.min(Semaphore::MAX_PERMITS).div_ceil(UNPAID_PART),
            )),
        }
    }

    /// A place among the concurrent requests that nobody pays for: they take none of the others'.
    pub fn unpaid_place(&self) -> Option<OwnedSemaphorePermit> {
        self.unpaid.clone().try_acquire_owned().ok()
    }

    /// A place among the concurrent requests, given back when it is dropped; `None` if all are taken.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.concurrent.clone().try_acquire_owned().ok()
    }
}

/// A generator of random bytes that nobody outside can predict, if its seed cannot be predicted.
pub struct Random {
    rng: Mutex<StdRng>,
    salt: [u8; 16],
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    /// A generator seeded by `rng`.
    pub fn new(mut rng: StdRng) -> Self {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        Self { rng: Mutex::new(rng), salt }
    }

    /// A generator seeded by the operating system.
    pub fn from_os() -> Self {
        Self::new(StdRng::from_os_rng())
    }

    /// Salt for hashes of prompts, so that nobody who guesses a prompt can confirm it by its hash.
    pub fn salt(&self) -> &[u8; 16] {
        &self.salt
    }

    /// The generator itself.
    pub fn rng(&self) -> MutexGuard<'_, StdRng> {
        // A poisoned generator is as random as any other.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sixteen random bytes.
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng().fill_bytes(&mut bytes);
        bytes
    }

    /// An identifier that nobody can guess and that grows with time, so that an index of identifiers grows at its end.
    /// As in version 7 of RFC 9562: 48 bits of milliseconds, then random bits.
    pub fn id(&self, unix_ms: i64) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
        self.rng().fill_bytes(&mut bytes[6..]);
        bytes
    }
}
