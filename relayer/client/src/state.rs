//! What a session key's holder must not forget: what it verified as spent, and what it allowed that has no receipt yet.
//! Every change is on disk, synced, before it counts; several processes may share the file.

use crate::identity::VaultKey;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steam_protocol::receipt::Receipt;
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::{Address, Hash};

/// $1.
const MAX_UNRESOLVED: MicroUsdc = MicroUsdc(1_000_000);
/// $1.
const MAX_UNKNOWN: MicroUsdc = MicroUsdc(1_000_000);
/// Seconds after a request's deadline in which it may still be under way.
const UNDER_WAY_SECONDS: i64 = 3_600;

/// Why the state cannot be used, or allows no more.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("cannot use the key's state file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not this key's.
    #[error("the state file {0} is another key's, or is damaged")]
    Foreign(PathBuf),
    /// Too much is allowed without a receipt.
    #[error(
        "{unresolved} USDC allowed to this key has no receipt yet, and with this request's {max_cost} that is above {most}"
    )]
    Unresolved {
        /// What has no receipt.
        unresolved: MicroUsdc,
        /// What this request would add.
        max_cost: MicroUsdc,
        /// The limit.
        most: MicroUsdc,
    },
    /// Beyond what a u64 holds.
    #[error("the key's total is larger than any amount of USDC")]
    Overflow,
    /// More was charged to the key than is known here, by the chain or by the relayer's receipts.
    #[error("{unknown} USDC was charged to this key that this state does not know of, and {most} is allowed")]
    UnknownSpending {
        /// All that was charged and is not known here, what was taken over before included.
        unknown: Pico,
        /// The limit.
        most: MicroUsdc,
    },
    /// Settings change only before first use.
    #[error("the client is already in use")]
    InUse,
}

/// The durable state of one key.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    identity: Identity,
    pub(crate) max_unresolved: MicroUsdc,
    pub(crate) max_unknown: MicroUsdc,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    domain: String,
    vault: String,
    generation: u64,
    epoch: u32,
    key: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    identity: Identity,
    /// Pico-USDC in receipts that were verified.
    spent: String,
    /// µUSDC of the highest voucher ever signed.
    high_water: String,
    /// Requests without a verified receipt.
    unresolved: Vec<Open>,
    /// Pico-USDC in `spent` of which there is no receipt here: the relayer's later receipts have it in their sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    request_hash: String,
    max_cost: u64,
    not_after: i64,
}

/// A request that was sent and has no verified receipt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRequest {
    /// Its hash.
    pub(crate) hash: Hash,
    /// Its ceiling.
    pub(crate) max_cost: MicroUsdc,
    /// Until when it could be accepted, Unix seconds.
    pub(crate) not_after: i64,
}

impl StateFile {
    pub(crate) fn open(path: PathBuf, domain: Hash, key: &VaultKey, address: Address) -> Result<Self, StateError> {
        let identity = Identity {
            domain: hex::encode(domain),
            vault: bs58::encode(key.vault).into_string(),
            generation: key.generation,
            epoch: key.epoch,
            key: bs58::encode(address).into_string(),
        };
        let state = Self { path, identity, max_unresolved: MAX_UNRESOLVED, max_unknown: MAX_UNKNOWN };
        state.update(|_| Ok(()))?;
        Ok(state)
    }

    /// What verified receipts add up to, fees included.
    ///
    /// # Errors
    /// [`StateError::Io`] or [`StateError::Foreign`].
    pub fn spent(&self) -> Result<Pico, StateError> {
        self.update(|state| state.spent(&self.path))
    }

    /// The highest total ever signed.
    ///
    /// # Errors
    /// [`StateError::Io`] or [`StateError::Foreign`].
    pub fn high_water(&self) -> Result<MicroUsdc, StateError> {
        self.update(|state| state.high_water(&self.path))
    }

    /// What was allowed and has no receipt.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Foreign`] or [`StateError::Overflow`].
    pub fn unresolved(&self) -> Result<MicroUsdc, StateError> {
        self.update(|state| state.unresolved())
    }

    /// Compares with what the chain has settled for this key. A file that knows of nothing takes the chain's word: what is
    /// settled is gone, and was signed for before the file was lost. What another file does not know of is taken over, up to
    /// [`crate::Client::max_unknown`].
    ///
    /// # Errors
    /// [`StateError::UnknownSpending`] if more moved than receipts and open requests account for.
    pub fn check_settled(&self, settled: Pico) -> Result<(), StateError> {
        self.update(|state| {
            if state.high_water(&self.path)? == MicroUsdc(0) && state.spent(&self.path)? == Pico::ZERO {
                state.spent = settled.0.to_string();
                return Ok(());
            }
            let open = state.unresolved()?.pico();
            let known = state.spent(&self.path)?.checked_add(open).ok_or(StateError::Overflow)?;
            self.take_over(state, settled, known)
        })
    }

    /// The requests without a verified receipt.
    pub(crate) async fn open_requests(self: &Arc<Self>) -> Result<Vec<OpenRequest>, StateError> {
        self.on_disk(|file, state| {
            let open = |open: &Open| {
                let hash = hex::decode(&open.request_hash).ok()?.try_into().ok()?;
                Some(OpenRequest { hash, max_cost: MicroUsdc(open.max_cost), not_after: open.not_after })
            };
            let open: Option<Vec<OpenRequest>> = state.unresolved.iter().map(open).collect();
            open.ok_or_else(|| StateError::Foreign(file.path.clone()))
        })
        .await
    }

    /// Takes the relayer's word, in a receipt that was verified, for what all the key's receipts come to. Requests among
    /// `over` are forgotten: they are long past their deadline, and have no receipt.
    pub(crate) async fn reconcile(self: &Arc<Self>, cumulative: Pico, over: Vec<Hash>) -> Result<(), StateError> {
        self.on_disk(move |file, state| {
            for request in over {
                state.forget(request);
            }
            let known = state.spent(&file.path)?;
            file.take_over(state, cumulative, known)
        })
        .await
    }

    /// Adds to `spent` what was `charged` beyond what is `known`.
    fn take_over(&self, state: &mut State, charged: Pico, known: Pico) -> Result<(), StateError> {
        let Some(beyond) = charged.checked_sub(known).filter(|beyond| *beyond > Pico::ZERO) else { return Ok(()) };
        let before = state.unknown.as_deref().unwrap_or("0").parse().map(Pico);
        let before = before.map_err(|_| StateError::Foreign(self.path.clone()))?;
        let unknown = before.checked_add(beyond).ok_or(StateError::Overflow)?;
        if unknown > self.max_unknown.pico() {
            return Err(StateError::UnknownSpending { unknown, most: self.max_unknown });
        }
        let spent = state.spent(&self.path)?.checked_add(beyond).ok_or(StateError::Overflow)?;
        (state.spent, state.unknown) = (spent.0.to_string(), Some(unknown.0.to_string()));
        Ok(())
    }

    /// Notes a request before it is sent; the total to sign for it.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        request_hash: Hash,
        max_cost: MicroUsdc,
        not_after: i64,
    ) -> Result<MicroUsdc, StateError> {
        self.on_disk(move |file, state| {
            let unresolved = state.unresolved()?;
            let open = unresolved.checked_add(max_cost).ok_or(StateError::Overflow)?;
            if open > file.max_unresolved {
                return Err(StateError::Unresolved { unresolved, max_cost, most: file.max_unresolved });
            }
            let spent = state.spent(&file.path)?.ceil_micro().ok_or(StateError::Overflow)?;
            let authorized = spent.checked_add(open).ok_or(StateError::Overflow)?;
            state.high_water = authorized.max(state.high_water(&file.path)?).0.to_string();
            state.unresolved.push(Open { request_hash: hex::encode(request_hash), max_cost: max_cost.0, not_after });
            Ok(authorized)
        })
        .await
    }

    /// Counts the verified receipt of a request that was begun here. It is counted once, whoever finds it first.
    pub(crate) async fn resolve(self: &Arc<Self>, receipt: &Receipt) -> Result<(), StateError> {
        let (request, cumulative) = (receipt.request_hash, receipt.key_cumulative);
        let cost = receipt.charge.checked_add(receipt.fee).ok_or(StateError::Overflow)?;
        self.on_disk(move |file, state| {
            if !state.forget(request) {
                return Ok(());
            }
            state.spend(&file.path, cost)?;
            // What was charged besides may be of requests that are open here, or of another holder of the key. Too much of it
            // is no reason to doubt this receipt: it is refused where it is asked for.
            let open = state.unresolved()?.pico();
            let known = state.spent(&file.path)?.checked_add(open).ok_or(StateError::Overflow)?;
            match file.take_over(state, cumulative, known) {
                Err(StateError::UnknownSpending { .. }) => Ok(()),
                taken => taken,
            }
        })
        .await
    }

    /// Counts the verified receipt of a request whose ceiling the relayer chose: the key was its bearer token.
    pub(crate) async fn count(self: &Arc<Self>, receipt: &Receipt) -> Result<(), StateError> {
        let cost = receipt.charge.checked_add(receipt.fee).ok_or(StateError::Overflow)?;
        self.on_disk(move |file, state| state.spend(&file.path, cost)).await
    }

    /// Forgets a request that was not served.
    pub(crate) async fn release(self: &Arc<Self>, request: Hash) -> Result<(), StateError> {
        self.on_disk(move |_, state| {
            state.forget(request);
            Ok(())
        })
        .await
    }

    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Self, &mut State) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let file = self.clone();
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || file.update(|state| change(&file, state)))
            .await
            .unwrap_or_else(|stopped| Err(StateError::Io { path, source: std::io::Error::other(stopped) }))
    }

    /// Reads, changes and, if something changed, replaces the file, alone among all processes.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> Result<T, StateError>) -> Result<T, StateError> {
        let io = |source| StateError::Io { path: self.path.clone(), source };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(io)?;
        let lock = private(&self.path.with_extension("lock"), false).map_err(io)?;
        lock.lock().map_err(io)?;
        let (before, mut state) = match std::fs::read_to_string(&self.path) {
            // Nothing was ever written to it.
            Ok(text) if text.is_empty() => (text, State::new(&self.identity)),
            Ok(text) => {
                let state: State = serde_json::from_str(&text).map_err(|_| StateError::Foreign(self.path.clone()))?;
                (text, state)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (String::new(), State::new(&self.identity)),
            Err(error) => return Err(io(error)),
        };
        if state.identity != self.identity {
            return Err(StateError::Foreign(self.path.clone()));
        }
        let result = change(&mut state)?;
        let after = serde_json::to_string_pretty(&state).map_err(|error| io(error.into()))?;
        if after != before {
            let next = self.path.with_extension("next");
            let mut file = private(&next, true).map_err(io)?;
            file.write_all(after.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            std::fs::rename(&next, &self.path).map_err(io)?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(result)
    }
}

impl OpenRequest {
    /// Whether it can have no receipt any more that it does not have at `now_unix`.
    pub(crate) fn is_over(&self, now_unix: i64) -> bool {
        self.not_after.saturating_add(UNDER_WAY_SECONDS) < now_unix
    }
}

impl State {
    fn new(identity: &Identity) -> Self {
        let none = || "0".to_owned();
        Self { identity: identity.clone(), spent: none(), high_water: none(), unresolved: Vec::new(), unknown: None }
    }

    fn spent(&self, path: &Path) -> Result<Pico, StateError> {
        self.spent.parse().map(Pico).map_err(|_| StateError::Foreign(path.into()))
    }

    fn high_water(&self, path: &Path) -> Result<MicroUsdc, StateError> {
        self.high_water.parse().map(MicroUsdc).map_err(|_| StateError::Foreign(path.into()))
    }

    fn unresolved(&self) -> Result<MicroUsdc, StateError> {
        self.unresolved
            .iter()
            .try_fold(MicroUsdc(0), |sum, open| sum.checked_add(MicroUsdc(open.max_cost)))
            .ok_or(StateError::Overflow)
    }

    fn spend(&mut self, path: &Path, cost: Pico) -> Result<(), StateError> {
        self.spent = self.spent(path)?.checked_add(cost).ok_or(StateError::Overflow)?.0.to_string();
        Ok(())
    }

    /// Whether the request was open.
    fn forget(&mut self, request: Hash) -> bool {
        let (request, before) = (hex::encode(request), self.unresolved.len());
        self.unresolved.retain(|open| open.request_hash != request);
        self.unresolved.len() < before
    }
}

/// A file only its owner may read or write.
fn private(path: &Path, truncate: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
