//! Ledgers that are opened by commands, wherever they are.

use super::incidents::{Decision, IncidentId, ResolveError};
use super::reconcile::{OnChain, Reconciled};
use super::sql::transfer::transfer;
use super::sql::{self, values};
use super::{LedgerError, Location, Reader, postgres, sqlite};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A ledger that is open for a command, while no relayer has it.
#[derive(Debug)]
pub struct Offline {
    reader: Reader,
    /// Of a file; a server holds its lock for the connection.
    _lock: Option<std::fs::File>,
}

impl Offline {
    /// Opens a ledger, which may be a copy.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] while a relayer has it open.
    pub fn open(at: impl Into<Location>) -> Result<Self, LedgerError> {
        match at.into() {
            Location::File(path) => {
                let lock = Some(sqlite::lock(&path)?);
                Ok(Self { reader: Reader::new(sqlite::join(&path)?), _lock: lock })
            }
            Location::Server(server) => {
                Ok(Self { reader: Reader::new(postgres::lock_for_command(&server)?), _lock: None })
            }
        }
    }

    /// Makes an empty ledger where there is none. The transaction is left open for what is to be in it.
    fn create(at: &Location, deployment: (&[u8; 32], &[u8; 32])) -> Result<Self, LedgerError> {
        match at {
            Location::File(path) => {
                let lock = Some(sqlite::lock(path)?);
                Ok(Self { reader: Reader::new(sqlite::create(path, deployment)?), _lock: lock })
            }
            Location::Server(server) => {
                Ok(Self { reader: Reader::new(postgres::create(server, deployment)?), _lock: None })
            }
        }
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
        let db = self.reader.db();
        db.transaction(apply, || sql::reconcile(db, chain, decision))
    }
}

/// A ledger to be read, whether or not a relayer has it open.
///
/// # Errors
/// [`LedgerError::Database`] if there is none, [`LedgerError::Foreign`] if it is of another version.
pub fn inspect(at: impl Into<Location>) -> Result<Reader, LedgerError> {
    match at.into() {
        Location::File(path) => {
            let connection = sqlite::open_reader(&path)?;
            sqlite::require_version(&path, &connection)?;
            Ok(Reader::new(connection))
        }
        Location::Server(server) => postgres::open_reader(&server, &postgres::Io::start(&server)?).map(Reader::new),
    }
}

/// Whether a relayer could keep a ledger on a server: of a file nothing is said here. Nothing is changed.
///
/// # Errors
/// [`LedgerError::Server`] or [`LedgerError::Database`]: what is in the way.
pub fn usable(at: impl Into<Location>) -> Result<(), LedgerError> {
    match at.into() {
        Location::File(_) => Ok(()),
        Location::Server(server) => postgres::usable(&server),
    }
}

/// Whether a process has the ledger open, where the system or the server tells. The lock is not taken to find out.
pub fn in_use(at: impl Into<Location>) -> Option<bool> {
    match at.into() {
        Location::File(path) => sqlite::in_use(&path),
        Location::Server(server) => postgres::in_use(&server).ok(),
    }
}

/// Decides about incidents, whether or not a relayer has the ledger open: all of them or none.
///
/// # Errors
/// [`ResolveError`]; nothing is changed then.
pub fn resolve(at: impl Into<Location>, ids: &[IncidentId], decision: &Decision) -> Result<(), ResolveError> {
    match at.into() {
        Location::File(path) => sql::resolve(&sqlite::join(&path)?, ids, decision),
        Location::Server(server) => sql::resolve(&postgres::join(&server)?, ids, decision),
    }
}

/// Writes a consistent copy of the ledger in the file `from` to `to`, also while a relayer has it open. The copy knows that it is
/// one.
///
/// # Errors
/// [`LedgerError`]; nothing is at `to` then. [`LedgerError::OnServer`] if it is in no file.
pub fn back_up(from: impl Into<Location>, to: &Path, now_ms: i64) -> Result<(), LedgerError> {
    match from.into() {
        Location::File(from) => sqlite::back_up(&from, to, now_ms),
        Location::Server(_) => Err(LedgerError::OnServer),
    }
}

/// Puts the copy at `from` where a relayer's ledger belongs; it can be served from once it was reconciled. What was there is
/// kept under another name, which is returned.
///
/// # Errors
/// [`LedgerError::InUse`] while a relayer has the ledger at `to` open; [`LedgerError`] if the copy is damaged.
/// [`LedgerError::OnServer`] if the ledger is in no file.
pub fn restore(from: &Path, to: impl Into<Location>, now_ms: i64) -> Result<Option<PathBuf>, LedgerError> {
    match to.into() {
        Location::File(to) => sqlite::restore(from, &to, now_ms),
        Location::Server(_) => Err(LedgerError::OnServer),
    }
}

/// What was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Rows.
    pub rows: u64,
    /// Charges with their receipts.
    pub charges: u64,
}

/// Moves a ledger that no relayer has open to where there is none: everything in it, once it was found to be sound. It is checked
/// again where it has come to. What it was moved from is a copy from then on, which no relayer serves from; whatever fails, at most
/// one of the two is no copy.
///
/// # Errors
/// [`LedgerError::Unsound`] if something does not hold; [`LedgerError::Exists`] if there is a ledger already.
pub fn move_to(from: &Location, to: &Location, now_ms: i64) -> Result<Moved, LedgerError> {
    let source = Offline::open(from)?;
    require_sound(from, &source)?;
    let (domain, relayer) = source.reader().deployment()?;
    let target = Offline::create(to, (&domain, relayer.as_array()))?;
    let (old, new) = (source.reader.db(), target.reader.db());
    let is_copy = source.reader().copied_ms()?;
    let mark = "INSERT INTO copy (made_ms) VALUES (?1)";
    let moved = old.transaction(true, || {
        let rows = transfer(old, new)?;
        new.execute(mark, values![is_copy.unwrap_or(now_ms)])?;
        new.script("COMMIT")?;
        let charges = require_sound(to, &target)?;
        old.execute(mark, values![now_ms])?;
        Ok::<_, LedgerError>(Moved { rows, charges })
    })?;
    if is_copy.is_none() {
        new.execute("DELETE FROM copy", &[])?;
    }
    Ok(moved)
}

/// Refuses a ledger of which something does not hold. Returns how many charges are in it.
fn require_sound(at: &Location, ledger: &Offline) -> Result<u64, LedgerError> {
    let audit = ledger.reader().audit()?;
    match audit.findings.first() {
        None => Ok(audit.charges),
        Some(first) => {
            let problem = format!("{}: {}: {}", first.rule, first.place, first.problem);
            Err(LedgerError::Unsound { ledger: at.to_string(), findings: audit.findings.len(), problem })
        }
    }
}
