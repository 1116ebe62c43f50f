//! A simulated server, as the simulation has it.

use super::data::Data;
use super::state::State;
use super::way::Way;
use crate::ledger::LedgerError;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module; cheap to clone.
#[derive(Clone)]
pub struct SimulatedServer(Arc<Mutex<State>>);

impl SimulatedServer {
    /// An empty one, in the time that `clock` tells in milliseconds.
    ///
    /// # Errors
    /// [`LedgerError::Database`] if there is no memory.
    pub fn new(clock: Arc<AtomicI64>) -> Result<Self, LedgerError> {
        Ok(Self(Arc::new(Mutex::new(State::new(clock)?))))
    }

    /// Lets happen what is due.
    pub fn go_on(&self) {
        let mut state = self.state();
        let now = state.time();
        state.go_on(now);
    }

    /// Shows everything that is committed.
    pub fn look<T>(&self, look: impl FnOnce(&Data) -> T) -> T {
        let mut state = self.state();
        state.suspend_all();
        look(&state.data)
    }

    /// A copy of everything that is committed.
    ///
    /// # Errors
    /// [`LedgerError::Database`] if there is no memory.
    pub fn copy(&self) -> Result<Data, LedgerError> {
        Ok(self.look(Data::copy)?)
    }

    /// Stops, and starts again so many milliseconds later with what was committed.
    pub fn restart(&self, ms: i64) {
        let mut state = self.state();
        for backend in state.backends.keys().copied().collect::<Vec<_>>() {
            state.end(backend);
        }
        state.away_until = state.time() + ms;
    }

    /// The same with other data. Returns what there was.
    pub fn take_over(&self, data: Data, ms: i64) -> Data {
        self.restart(ms);
        std::mem::replace(&mut self.state().data, data)
    }

    /// Takes no writes for so many milliseconds.
    pub fn refuse_writes(&self, ms: i64) {
        let mut state = self.state();
        state.reads_until = state.time() + ms;
    }

    /// Has no room for so many milliseconds.
    pub fn fill(&self, ms: i64) {
        let mut state = self.state();
        state.full_until = state.time() + ms;
    }

    /// How many milliseconds a connection takes to end which others have ended.
    pub fn end_slowly(&self, ms: i64) {
        self.state().ending = ms;
    }

    /// Nothing is in anybody's way from here on, and what is late arrives.
    pub fn heal(&self) {
        let mut state = self.state();
        (state.away_until, state.reads_until, state.full_until, state.ending) = (0, 0, 0, 0);
        for way in &mut state.ways {
            *way = Way { ahead: way.ahead, struck: std::mem::take(&mut way.struck), ..Way::default() };
        }
        state.go_on(i64::MAX);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for SimulatedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedServer").finish_non_exhaustive()
    }
}
