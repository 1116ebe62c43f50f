//! What a session key's holder must not forget: what it verified as spent, and what it allowed that has no receipt yet.
//! Every change is on disk, synced, before it counts; several processes may share the file.

use crate::identity::VaultKey;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use steam_protocol::units::{MicroUsdc, Pico};
use steam_protocol::{Address, Hash};

/// $1.
const MAX_UNRESOLVED: MicroUsdc = MicroUsdc(1_000_000);

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
    /// The chain settled more than receipts account for.
    #[error("{settled} USDC of this key is settled on chain, and its receipts and open requests account for {known}")]
    SettledBeyondReceipts {
        /// What the chain says.
        settled: Pico,
        /// What is known here.
        known: Pico,
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
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    request_hash: String,
    max_cost: u64,
    not_after: i64,
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
        let state = Self { path, identity, max_unresolved: MAX_UNRESOLVED };
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
    /// settled is gone, and was signed for before the file was lost.
    ///
    /// # Errors
    /// [`StateError::SettledBeyondReceipts`] if money moved that no receipt and no open request accounts for.
    pub fn check_settled(&self, settled: Pico) -> Result<(), StateError> {
        self.update(|state| {
            if state.high_water(&self.path)? == MicroUsdc(0) && state.spent(&self.path)? == Pico::ZERO {
                state.spent = settled.0.to_string();
                return Ok(());
            }
            let open = state.unresolved()?.pico();
            let known = state.spent(&self.path)?.checked_add(open).ok_or(StateError::Overflow)?;
            if settled > known { Err(StateError::SettledBeyondReceipts { settled, known }) } else { Ok(()) }
        })
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

    /// Counts a verified receipt.
    pub(crate) async fn resolve(self: &Arc<Self>, request: Hash, charge: Pico, fee: Pico) -> Result<(), StateError> {
        self.on_disk(move |file, state| {
            let spent = state.spent(&file.path)?;
            let total = charge.checked_add(fee).and_then(|cost| spent.checked_add(cost)).ok_or(StateError::Overflow)?;
            state.spent = total.0.to_string();
            state.forget(request);
            Ok(())
        })
        .await
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

impl State {
    fn new(identity: &Identity) -> Self {
        Self { identity: identity.clone(), spent: "0".into(), high_water: "0".into(), unresolved: Vec::new() }
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

    fn forget(&mut self, request: Hash) {
        let request = hex::encode(request);
        self.unresolved.retain(|open| open.request_hash != request);
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
