//! Copies of a file.

use super::lock::lock;
use super::schema;
use crate::ledger::{LedgerError, sql};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pages copied at once; between two steps a relayer may write.
const PAGES: std::ffi::c_int = 1_024;
/// Pause between two steps of a copy.
const PAUSE: Duration = Duration::from_millis(2);

/// Writes a consistent copy of the ledger at `from` to `to`, also while a relayer has it open. The copy knows that it is one.
///
/// # Errors
/// [`LedgerError`]; nothing is at `to` then.
pub(in crate::ledger) fn back_up(from: &Path, to: &Path, now_ms: i64) -> Result<(), LedgerError> {
    if to.exists() {
        return Err(LedgerError::Exists { ledger: to.display().to_string() });
    }
    copy(&source(from)?, to, now_ms)
}

/// Puts the copy at `from` where a relayer's ledger belongs; it can be served from once it was reconciled. What was there is
/// kept under another name, which is returned.
///
/// # Errors
/// [`LedgerError::InUse`] while a relayer has the ledger at `to` open; [`LedgerError`] if the copy is damaged.
pub(in crate::ledger) fn restore(from: &Path, to: &Path, now_ms: i64) -> Result<Option<PathBuf>, LedgerError> {
    let _lock = lock(to)?;
    let source = source(from)?;
    check_integrity(&source, from)?;
    let moved = |source| LedgerError::File { path: to.into(), source };
    let fresh = suffixed(to, ".restoring");
    remove_leftover(&fresh)?;
    // An old file that is no copy becomes one here.
    copy(&source, &fresh, sql::copied_ms(&source)?.unwrap_or(now_ms))?;
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

fn source(path: &Path) -> Result<Connection, LedgerError> {
    let connection = schema::open_reader(path)?;
    schema::require_version(path, &connection)?;
    Ok(connection)
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
