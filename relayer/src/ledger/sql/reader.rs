//! Reading connections, which never block the writer.

use super::Database;
use crate::ledger::LedgerError;
use std::sync::{Condvar, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Reading connections kept for the next reader.
const IDLE_READERS: usize = 4;

/// A ledger that is open for reading. Its queries are in the modules of what they read.
pub struct Reader(Box<dyn Database>);

impl Reader {
    pub(in crate::ledger) fn new(db: impl Database + 'static) -> Self {
        Self(Box::new(db))
    }

    pub(in crate::ledger) fn db(&self) -> &dyn Database {
        &*self.0
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Makes a reader.
type Open = Box<dyn Fn() -> Result<Reader, LedgerError> + Send + Sync>;

/// Readers of one ledger.
pub(in crate::ledger) struct Readers {
    open: Open,
    /// Readers at once at the most.
    most: usize,
    state: Mutex<State>,
    returned: Condvar,
    /// Turns of those that read very much: a quarter of the readers.
    pub scans: Semaphore,
}

#[derive(Default)]
struct State {
    idle: Vec<Reader>,
    lent: usize,
}

impl Readers {
    /// At most `most` at once, made by `open`.
    pub fn new(most: usize, open: impl Fn() -> Result<Reader, LedgerError> + Send + Sync + 'static) -> Self {
        let scans = Semaphore::new((most / 4).max(1));
        Self { open: Box::new(open), most, state: Mutex::default(), returned: Condvar::new(), scans }
    }

    /// Lends a reader to `query`. Blocks on the disk or the server.
    pub fn with<T>(&self, query: impl FnOnce(&Reader) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let idle = self.borrow();
        let mut loan = Loan { readers: self, reader: None };
        let reader = match idle.filter(|idle| !idle.db().is_lost()) {
            Some(idle) => idle,
            None => (self.open)()?,
        };
        let result = query(&reader);
        loan.reader = Some(reader);
        result
    }

    /// Waits until one more may be lent, and takes an idle one if there is one.
    fn borrow(&self) -> Option<Reader> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.returned.wait_while(state, |state| state.lent >= self.most);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.lent += 1;
        state.idle.pop()
    }
}

/// Takes a reader back, or notes that it is gone, which a panic does too.
struct Loan<'a> {
    readers: &'a Readers,
    reader: Option<Reader>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut state = self.readers.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lent -= 1;
        if let Some(reader) = self.reader.take()
            && state.idle.len() < IDLE_READERS
        {
            state.idle.push(reader);
        }
        self.readers.returned.notify_one();
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}
