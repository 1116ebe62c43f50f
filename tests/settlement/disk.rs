//! What becomes of the ledger's file: writes that tear when the power goes, a disk that is full, commits that fail.

use rand::Rng;
use rand::rngs::StdRng;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use steam::ledger::Ledger;
use tokio::time::Instant;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// The ledger's file and its write-ahead log, as they stand on the disk.
#[derive(Clone)]
pub struct Image {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Image {
    /// All that was written, whether or not it was synced: the processes of one machine see no difference.
    pub fn of(ledger: &Path) -> Self {
        Self { database: read(ledger), log: read(&log(ledger)) }
    }

    /// A ledger as the relayer makes it.
    pub fn of_new(domain: &[u8; 32], relayer: &[u8; 32]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steam.db");
        drop(Ledger::open_in_turns(&path, domain, relayer).unwrap());
        Self::of(&path)
    }

    /// Makes the disk look like this again. Nobody may have the ledger open.
    pub fn restore(&self, ledger: &Path) {
        std::fs::write(ledger, &self.database).unwrap();
        std::fs::write(log(ledger), &self.log).unwrap();
        remove(&beside(ledger, "-shm"));
    }

    /// What the power leaves of a transaction that was being written: `before` was synced, `self` is what the last
    /// transaction wanted to leave. Only where the log did not change afterwards may the database's own pages be torn:
    /// SQLite syncs the log before it copies from it.
    pub fn torn(&self, before: &Self, rng: &mut StdRng) -> Self {
        if self.database == before.database {
            return Self { database: self.database.clone(), log: tear_log(&before.log, &self.log, rng) };
        }
        Self { database: tear(&before.database, &self.database, rng), log: self.log.clone() }
    }
}

/// The log's header: when it begins anew, SQLite syncs that before anything after it is written.
const LOG_HEADER: usize = 32;

fn tear_log(old: &[u8], new: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let (Some(was), Some(is)) = (old.get(..LOG_HEADER), new.get(..LOG_HEADER)) else { return tear(old, new, rng) };
    if was == is {
        return tear(old, new, rng);
    }
    if rng.random_bool(0.2) {
        return old.to_vec(); // the power went before the new header was there
    }
    let synced = [is, &old[LOG_HEADER..]].concat();
    tear(&synced, new, rng)
}

/// Each sector that differs is the old or the new one; what neither had yet may be anything.
fn tear(old: &[u8], new: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let length = if new.len() > old.len() { rng.random_range(old.len()..=new.len()) } else { new.len() };
    let mut torn = new[..length].to_vec();
    for (at, sector) in torn.chunks_mut(SECTOR).enumerate() {
        let at = at * SECTOR;
        let was = old.get(at..(at + sector.len()).min(old.len())).unwrap_or_default();
        if was == sector || rng.random_bool(0.5) {
            continue;
        }
        rng.fill(sector);
        sector[..was.len()].copy_from_slice(was);
    }
    torn
}

/// What keeps a disk from taking what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// No further page fits.
    Full,
    /// Commits fail.
    Failing,
}

/// A disk and its troubles.
pub struct Disk {
    /// When the trouble it is in ends.
    until: Option<Instant>,
}

impl Disk {
    pub fn new(connection: &Connection, rng: &mut StdRng) -> Self {
        // A process that is killed closes nothing: what is in the log stays there.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        // A small log is copied into the database often, as a large one is in months.
        connection.pragma_update(None, "wal_autocheckpoint", rng.random_range(4..200)).unwrap();
        Self { until: None }
    }

    /// Before each write: a trouble may begin, as `often` as said, or end. Without any to come, none lasts.
    pub fn turn(&mut self, connection: &Connection, often: f64, rng: &mut StdRng) -> Option<Trouble> {
        if self.until.is_some_and(|until| until <= Instant::now() || often == 0.0) {
            self.until = None;
            limit(connection, i64::from(u32::MAX - 1));
            connection.commit_hook(None::<fn() -> bool>).unwrap();
        }
        if self.until.is_some() || !rng.random_bool(often) {
            return None;
        }
        self.until = Some(Instant::now() + Duration::from_millis(rng.random_range(10..10_000)));
        if rng.random_bool(0.5) {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            limit(connection, pages);
            return Some(Trouble::Full);
        }
        connection.commit_hook(Some(|| true)).unwrap();
        Some(Trouble::Failing)
    }
}

fn limit(connection: &Connection, pages: i64) {
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
}

fn log(ledger: &Path) -> PathBuf {
    beside(ledger, "-wal")
}

fn beside(ledger: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = ledger.into();
    name.push(suffix);
    name.into()
}

fn read(path: &Path) -> Vec<u8> {
    match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", path.display());
    }
}
