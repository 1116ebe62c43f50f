//! The lock file beside the database: one process works on a ledger.

use super::schema::private;
use crate::ledger::LedgerError;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Its name.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Takes the lock file beside the database; the system gives it back when the process ends, however it ends.
pub(in crate::ledger) fn lock(path: &Path) -> Result<File, LedgerError> {
    let name = beside(path);
    let failed = |source| LedgerError::Lock { path: path.into(), source };
    // Who may open it may hold it, so that the relayer does not start.
    private(&name)?;
    let file = File::options().write(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { ledger: path.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether a process has the ledger open, where the system tells (`/proc/locks`, see proc(5)). The lock is not taken to find out: a relayer
/// that starts meanwhile would be refused. Processes outside a container are not seen from inside.
pub fn in_use(path: &Path) -> Option<bool> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        let Ok(file) = std::fs::symlink_metadata(beside(path)) else { return Some(false) };
        // Device and inode: of the device some file systems tell another number elsewhere.
        let inode = format!(":{}", file.ino());
        let held = |line: &str| line.contains("FLOCK") && line.split_whitespace().any(|word| word.ends_with(&inode));
        Some(locks.lines().any(held))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn whether_a_ledger_is_open_is_found_without_touching_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steam.db");
        assert_eq!(in_use(&path), Some(false));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
        let held = lock(&path).unwrap();
        assert_eq!(in_use(&path), Some(true));
        assert!(matches!(lock(&path), Err(LedgerError::InUse { .. })));
        drop(held);
        assert_eq!(in_use(&path), Some(false));
        lock(&path).unwrap();
    }
}
