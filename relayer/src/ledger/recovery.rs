//! Copies of a ledger, and what to do with one that is older than the chain. A copy knows that it is one, so that nothing is
//! served or settled from it before it was compared with the chain; an old file that does not know it is found out by the
//! heads of its vaults' hash chains.

use super::incidents::{self, Decision, IncidentId};
use super::{Ledger, LedgerError, schema};
use crate::chain::Pubkey;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use steam_protocol::units::Pico;
use steam_protocol::{Address, Hash};

/// Pages copied at once; between two steps a relayer may write.
const PAGES: std::ffi::c_int = 1_024;
/// Pause between two steps of a copy.
const PAUSE: Duration = Duration::from_millis(2);

/// Where a vault's hash chain ends in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last group known to be final.
    pub settled: (u32, Hash),
    /// The group after it, if one is under way.
    pub sealed: Option<(u32, Hash)>,
}

/// How a vault's head on chain stands to the ledger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is one of the ledger's.
    Known,
    /// It is older than what the ledger knows to be final: an old reading, or a chain that went back.
    Behind,
    /// Somebody has settled groups that this ledger does not have.
    Foreign,
    /// It has the number of a group that is final here, and is another.
    Contradicted,
}

impl Head {
    /// How (`seq`, `hash`) on chain stands to this.
    pub fn compare(&self, (seq, hash): (u32, Hash)) -> Standing {
        match seq {
            _ if (seq, hash) == self.settled || Some((seq, hash)) == self.sealed => Standing::Known,
            seq if seq < self.settled.0 => Standing::Behind,
            seq if seq == self.settled.0 => Standing::Contradicted,
            _ => Standing::Foreign,
        }
    }
}

/// A ledger that is open for a command, while no relayer has it.
#[derive(Debug)]
pub struct Offline {
    connection: Connection,
    _lock: std::fs::File,
}

/// What reconciling a vault would do, or has done.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The incident that holds the charges dropped.
    pub incident: IncidentId,
    /// Charges that are never settled: the chain may have settled them already.
    pub dropped: u64,
    /// What they come to.
    pub total: Pico,
}

impl Ledger {
    /// Where the hash chains of all vaults end.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn heads(&self) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
        self.read(heads).await
    }
}

/// Where the hash chains of all vaults end.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn heads(db: &Connection) -> Result<HashMap<(Pubkey, u64), Head>, LedgerError> {
    let mut heads: HashMap<(Pubkey, u64), Head> = HashMap::new();
    let mut statement = db.prepare(
        "SELECT g.vault, g.generation, g.seq, g.hash, g.state, g.previous FROM settlement_group g
         WHERE g.seq = (SELECT max(seq) FROM settlement_group l WHERE l.vault = g.vault AND l.generation = g.generation)",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let place = (Pubkey::from(row.get::<_, Address>(0)?), row.get::<_, i64>(1)? as u64);
        let (seq, hash, state): (u32, Hash, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let head = match state.as_str() {
            "sealed" => Head { settled: (seq.saturating_sub(1), row.get(5)?), sealed: Some((seq, hash)) },
            _ => Head { settled: (seq, hash), sealed: None },
        };
        heads.insert(place, head);
    }
    Ok(heads)
}

/// Vaults and generations the ledger knows, and how many charges of each are not settled.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn vaults(db: &Connection) -> Result<Vec<(Pubkey, u64, u64)>, LedgerError> {
    let mut statement = db.prepare(
        "SELECT v.vault, v.generation,
           (SELECT count(*) FROM charge c WHERE c.vault = v.vault AND c.generation = v.generation AND c.seq IS NULL
              AND c.aside IS NULL)
         + (SELECT coalesce(sum(receipts), 0) FROM settlement_group g
              WHERE g.vault = v.vault AND g.generation = v.generation AND g.state = 'sealed') FROM vault v",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((Pubkey::from(row.get::<_, Address>(0)?), row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The deployment a ledger belongs to: domain and relayer.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn deployment(db: &Connection) -> Result<(Hash, Pubkey), LedgerError> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Pubkey::from(row.get::<_, Address>(1)?)));
    Ok(db.query_row("SELECT domain, relayer FROM deployment", [], row)?)
}

/// When a ledger that is a copy was made, in Unix milliseconds.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn copied(db: &Connection) -> Result<Option<i64>, LedgerError> {
    Ok(db.query_row("SELECT max(made_ms) FROM copy", [], |row| row.get(0))?)
}

/// A ledger to be read, whether or not a relayer has it open.
///
/// # Errors
/// [`LedgerError::Database`] if there is none, [`LedgerError::Foreign`] if it is of another version.
pub fn inspect(path: &Path) -> Result<Connection, LedgerError> {
    let connection = schema::open_reader(path)?;
    schema::require_version(path, &connection)?;
    Ok(connection)
}

/// A ledger to be written in single transactions, whether or not a relayer has it open.
///
/// # Errors
/// As [`inspect`].
pub fn join(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::require_version(path, &connection)?;
    Ok(connection)
}

/// Writes a consistent copy of the ledger at `from` to `to`, also while a relayer has it open. The copy knows that it is one.
///
/// # Errors
/// [`LedgerError`]; nothing is at `to` then.
pub fn back_up(from: &Path, to: &Path, now_ms: i64) -> Result<(), LedgerError> {
    let exists = |problem: &str| LedgerError::Foreign { path: to.into(), problem: problem.into() };
    if to.exists() {
        return Err(exists("it is there already: name another file"));
    }
    copy(&inspect(from)?, to, now_ms)
}

/// Puts the copy at `from` where a relayer's ledger belongs; it can be served from once it was reconciled. What was there is
/// kept under another name, which is returned.
///
/// # Errors
/// [`LedgerError::InUse`] while a relayer has the ledger at `to` open; [`LedgerError`] if the copy is damaged.
pub fn restore(from: &Path, to: &Path, now_ms: i64) -> Result<Option<PathBuf>, LedgerError> {
    let _lock = schema::lock(to)?;
    let source = inspect(from)?;
    let sound: String = source.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(LedgerError::Foreign { path: from.into(), problem: format!("it is damaged: {sound}") });
    }
    let moved = |source| LedgerError::Lock { path: to.into(), source };
    let fresh = suffixed(to, ".restoring");
    remove_leftover(&fresh)?;
    // An old file that is no copy becomes one here.
    copy(&source, &fresh, copied(&source)?.unwrap_or(now_ms))?;
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
            Err(LedgerError::Lock { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

fn copy(source: &Connection, to: &Path, made_ms: i64) -> Result<(), LedgerError> {
    let partial = suffixed(to, ".partial");
    remove_leftover(&partial)?;
    let mut target = Connection::open(&partial)?;
    Backup::new(source, &mut target)?.run_to_completion(PAGES, PAUSE, None)?;
    // One file, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    target.pragma_update(None, "synchronous", "FULL")?;
    target.execute("INSERT INTO copy (made_ms) VALUES (?1)", [made_ms])?;
    let sound: String = target.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    drop(target);
    if sound != "ok" {
        return Err(LedgerError::Foreign { path: partial, problem: format!("the copy is damaged: {sound}") });
    }
    std::fs::rename(&partial, to).map_err(|source| LedgerError::Lock { path: to.into(), source })
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Offline {
    /// Opens the ledger at `path`, which may be a copy.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] while a relayer has it open.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let lock = schema::lock(path)?;
        Ok(Self { connection: join(path)?, _lock: lock })
    }

    /// The database.
    pub fn db(&self) -> &Connection {
        &self.connection
    }

    /// Runs `job` in one transaction and keeps it, or not: a dry run.
    ///
    /// # Errors
    /// What `job` returned; nothing is kept then.
    pub fn transact<T>(
        &mut self,
        keep: bool,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = job(&tx)?;
        if keep {
            tx.commit()?
        } else {
            tx.rollback()?
        }
        Ok(done)
    }
}

/// Takes over a vault's head on chain that is none of the ledger's. What this ledger has not settled the chain may have:
/// all of it is dropped, since a number says nothing about which group a receipt went into. Nothing of the vault is numbered
/// below `first_number` any more.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn adopt(
    tx: &Transaction<'_>,
    (vault, generation): (Pubkey, u64),
    (seq, hash): (u32, Hash),
    first_number: i64,
    decision: &Decision,
) -> Result<Adopted, LedgerError> {
    let (address, place) = (vault.to_bytes(), generation as i64);
    let reason = format!("the chain is at group {seq} of somebody else's ledger, which may have settled it");
    let (incident, dropped, total) = incidents::drop_unsettled(tx, (address, place), &reason, decision)?;
    let open: Vec<i64> = tx
        .prepare("SELECT batch FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND state = 'sealed' AND batch IS NOT NULL")?
        .query_map((address, place), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for batch in open {
        tx.execute("UPDATE batch SET state = 'split' WHERE id = ?1", [batch])?;
        tx.execute("UPDATE settlement_group SET batch = NULL WHERE batch = ?1", [batch])?;
    }
    tx.execute(
        "DELETE FROM settlement_group WHERE vault = ?1 AND generation = ?2 AND (state = 'sealed' OR seq >= ?3)",
        (address, place, seq),
    )?;
    let empty = borsh::to_vec(&(Vec::<u8>::new(), Vec::<u8>::new()));
    tx.execute(
        "INSERT INTO settlement_group (vault, generation, seq, receipts, fee_bps, previous, hash, content, state, adopted)
         VALUES (?1, ?2, ?3, 0, 0, zeroblob(32), ?4, ?5, 'settled', ?6)",
        (address, place, seq, hash, empty.map_err(|_| LedgerError::Malformed("settlement group"))?, incident),
    )?;
    number_from(tx, Some((vault, generation)), first_number)?;
    Ok(Adopted { incident, dropped, total })
}

/// Numbers nothing below `first_number` any more: of one vault, or of all.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn number_from(tx: &Transaction<'_>, vault: Option<(Pubkey, u64)>, first_number: i64) -> Result<(), LedgerError> {
    match vault {
        Some((vault, generation)) => tx.execute(
            "INSERT INTO vault (vault, generation, next_number) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET next_number = max(next_number, excluded.next_number)",
            (vault.to_bytes(), generation as i64, first_number),
        )?,
        None => tx.execute("UPDATE vault SET next_number = max(next_number, ?1)", [first_number])?,
    };
    Ok(())
}

/// Makes a copy a ledger again, once it was compared with the chain.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn is_no_copy(tx: &Transaction<'_>) -> Result<(), LedgerError> {
    tx.execute("DELETE FROM copy", [])?;
    Ok(())
}

/// The largest time the ledger has seen, in Unix milliseconds: a clock that is behind it is wrong.
///
/// # Errors
/// [`LedgerError::Database`].
pub fn last_seen_ms(db: &Connection) -> Result<i64, LedgerError> {
    Ok(db
        .query_row("SELECT max(started_ms) FROM charge", [], |row| row.get::<_, Option<i64>>(0))
        .optional()?
        .flatten()
        .unwrap_or(0))
}
