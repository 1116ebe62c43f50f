//! Ledgers that are opened by commands, and copies of them.

use super::lock::lock;
use super::row::Columns;
use super::{Reader, charges, incidents, reconcile, schema, sealed};
use crate::chain::Pubkey;
use crate::ledger::LedgerError;
use crate::ledger::incidents::{Decision, IncidentId, ResolveError};
use crate::ledger::reconcile::{OnChain, Reconciled};
use crate::ledger::recovery::{Head, SettledSums};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::units::Pico;

/// Pages copied at once; between two steps a relayer may write.
const PAGES: std::ffi::c_int = 1_024;
/// Pause between two steps of a copy.
const PAUSE: Duration = Duration::from_millis(2);

/// A ledger that is open for a command, while no relayer has it.
#[derive(Debug)]
pub struct Offline {
    reader: Reader,
    _lock: std::fs::File,
}

impl Offline {
    /// Opens the ledger at `path`, which may be a copy.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] while a relayer has it open.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let lock = lock(path)?;
        Ok(Self { reader: Reader(join(path)?), _lock: lock })
    }

    /// What is in it.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Compares the vaults with the ledger and adopts the heads that are none of its own, if `apply`; otherwise only tells what
    /// that would do. A copy is a ledger again afterwards, on whose vaults nothing is held for the life of an agreement to
    /// withdraw, unless something is disputed or cannot be put right.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; nothing is changed then.
    pub fn reconcile(
        &mut self,
        apply: bool,
        chain: &OnChain<'_>,
        decision: &Decision,
    ) -> Result<Reconciled, LedgerError> {
        let tx = self.reader.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = reconcile::reconcile(&tx, chain, decision)?;
        if apply {
            tx.commit()?;
        } else {
            tx.rollback()?;
        }
        Ok(done)
    }
}

/// A ledger to be read, whether or not a relayer has it open.
///
/// # Errors
/// [`LedgerError::Database`] if there is none, [`LedgerError::Foreign`] if it is of another version.
pub fn inspect(path: &Path) -> Result<Reader, LedgerError> {
    let connection = schema::open_reader(path)?;
    schema::require_version(path, &connection)?;
    Ok(Reader(connection))
}

/// Decides about incidents, whether or not a relayer has the ledger open: all of them or none.
///
/// # Errors
/// [`ResolveError`]; nothing is changed then.
pub fn resolve(path: &Path, ids: &[IncidentId], decision: &Decision) -> Result<(), ResolveError> {
    let database = |error| ResolveError::Ledger(LedgerError::Database(error));
    let mut connection = join(path)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database)?;
    for id in ids {
        incidents::resolve(&tx, *id, decision)?;
    }
    tx.commit().map_err(database)
}

/// A connection for single transactions beside a relayer's own.
fn join(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::require_version(path, &connection)?;
    Ok(connection)
}

impl Reader {
    /// Where the hash chains of all vaults end.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn heads(&self) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
        sealed::heads(&self.0)
    }

    /// The vaults that the ledger knows, one for each of their generations.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn vaults(&self) -> Result<Vec<Pubkey>, LedgerError> {
        let mut statement = self.0.prepare("SELECT vault FROM vault")?;
        let rows = statement.query_map([], |row| row.address("vault"))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The deployment the ledger belongs to: domain and relayer.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn deployment(&self) -> Result<(Hash, Pubkey), LedgerError> {
        deployment(&self.0)
    }

    /// When it was copied from a ledger, if it is a copy, in Unix milliseconds.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn copied_ms(&self) -> Result<Option<i64>, LedgerError> {
        schema::copied_ms(&self.0)
    }

    /// The largest time the ledger has seen, in Unix milliseconds: a clock that is behind it is wrong.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn last_seen_ms(&self) -> Result<i64, LedgerError> {
        let mut last = self
            .0
            .prepare("SELECT receipt FROM record WHERE id >= (SELECT coalesce(max(charge), 0) FROM charged_minute)")?;
        let mut rows = last.query([])?;
        let mut last_ms = 0;
        while let Some(row) = rows.next()? {
            let receipt = charges::receipt(row)?;
            last_ms = last_ms.max(receipt.started_at_ms.saturating_add(receipt.duration_ms.into()));
        }
        Ok(last_ms)
    }

    /// What a vault's groups up to `seq` come to, where all of their receipts are here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn settled_sums(
        &self,
        (vault, generation): (Pubkey, u64),
        seq: u32,
    ) -> Result<Option<SettledSums>, LedgerError> {
        let place = (vault.to_bytes(), generation as i64, seq);
        let (receipts, incomplete): (u64, bool) = self.0.query_row(
            "SELECT coalesce(sum(receipts), 0) AS receipts, coalesce(max(adopted IS NOT NULL), 0)
               OR coalesce((SELECT max(pruned_seq) > 0 FROM vault WHERE vault = ?1 AND generation = ?2), 0) AS incomplete
             FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND seq <= ?3",
            place,
            |row| Ok((row.unsigned("receipts")?, row.get("incomplete")?)),
        )?;
        if incomplete {
            return Ok(None);
        }
        let mut settled = self.0.prepare_cached(
            "SELECT r.receipt FROM charge c JOIN record r ON r.id = c.id JOIN vault v ON v.id = c.vault
             WHERE v.vault = ?1 AND v.generation = ?2 AND c.seq <= ?3",
        )?;
        let mut rows = settled.query(place)?;
        let mut total = Pico::ZERO;
        while let Some(row) = rows.next()? {
            let charge = charges::total(&charges::receipt(row)?)?;
            total = total.checked_add(charge).ok_or(LedgerError::Malformed("charge"))?;
        }
        Ok(Some(SettledSums { receipts, total }))
    }
}

pub(super) fn deployment(db: &Connection) -> Result<(Hash, Pubkey), LedgerError> {
    Ok(db.query_row("SELECT domain, relayer FROM deployment", [], |row| {
        Ok((row.get("domain")?, row.address("relayer")?))
    })?)
}

/// Writes a consistent copy of the ledger at `from` to `to`, also while a relayer has it open. The copy knows that it is one.
///
/// # Errors
/// [`LedgerError`]; nothing is at `to` then.
pub fn back_up(from: &Path, to: &Path, now_ms: i64) -> Result<(), LedgerError> {
    if to.exists() {
        return Err(LedgerError::Exists { path: to.into() });
    }
    copy(&inspect(from)?.0, to, now_ms)
}

/// Puts the copy at `from` where a relayer's ledger belongs; it can be served from once it was reconciled. What was there is
/// kept under another name, which is returned.
///
/// # Errors
/// [`LedgerError::InUse`] while a relayer has the ledger at `to` open; [`LedgerError`] if the copy is damaged.
pub fn restore(from: &Path, to: &Path, now_ms: i64) -> Result<Option<PathBuf>, LedgerError> {
    let _lock = lock(to)?;
    let source = inspect(from)?;
    check_integrity(&source.0, from)?;
    let moved = |source| LedgerError::File { path: to.into(), source };
    let fresh = suffixed(to, ".restoring");
    remove_leftover(&fresh)?;
    // An old file that is no copy becomes one here.
    copy(&source.0, &fresh, source.copied_ms()?.unwrap_or(now_ms))?;
    let kept = to.exists().then(|| suffixed(to, &format!(".replaced-{now_ms}")));
    if let Some(kept) = &kept {
        for part in ["-wal", "-shm", ""] {
            let (old, new) = (suffixed(to, part), suffixed(kept, part));
            if old.exists() {
                std::fs::rename(old, new).map_err(moved)?;
            }
        }
    }
    std::fs::rename(&fresh, to).map_err(moved)?;
    Ok(kept)
}

fn remove_leftover(path: &Path) -> Result<(), LedgerError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(LedgerError::File { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

fn copy(source: &Connection, to: &Path, made_ms: i64) -> Result<(), LedgerError> {
    let partial = suffixed(to, ".partial");
    remove_leftover(&partial)?;
    schema::private(&partial)?;
    let mut target = Connection::open(&partial)?;
    Backup::new(source, &mut target)?.run_to_completion(PAGES, PAUSE, None)?;
    // One file, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    target.pragma_update(None, "synchronous", "FULL")?;
    target.execute("INSERT INTO copy (made_ms) VALUES (?1)", [made_ms])?;
    check_integrity(&target, &partial)?;
    drop(target);
    std::fs::rename(&partial, to).map_err(|source| LedgerError::File { path: to.into(), source })
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Has SQLite check the whole file, which is at `path`.
fn check_integrity(db: &Connection, path: &Path) -> Result<(), LedgerError> {
    let problem: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get("integrity_check"))?;
    if problem == "ok" { Ok(()) } else { Err(LedgerError::Damaged { path: path.into(), problem }) }
}
