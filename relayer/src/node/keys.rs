//! Session keys of the bearer tokens in use. Deriving a key from its token costs more than the rest of authenticating a
//! bearer, so that a key stays in memory for some minutes after its last request.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use steam_protocol::key::{KeyError, SessionKey};
use steam_protocol::{Hash, sha256};
use tokio::time::Instant;

/// A key is forgotten after one to two times this long without a request.
const KEPT: Duration = Duration::from_secs(120);
/// Most keys of a generation: a client that tries many tokens cannot fill memory.
const MAX_KEYS: usize = 1_024;

/// The keys, by a hash of their token that nobody outside can compute. A key that is dropped wipes its seed.
pub struct Keys {
    salt: [u8; 16],
    state: Mutex<State>,
}

/// Two generations: what the younger one did not see for [`KEPT`] is dropped with the older one.
struct State {
    young: HashMap<Hash, SessionKey>,
    old: HashMap<Hash, SessionKey>,
    since: Instant,
}

impl State {
    fn turn(&mut self, now: Instant) {
        if self.young.len() >= MAX_KEYS || now.saturating_duration_since(self.since) >= KEPT {
            // After a long silence the younger generation is as outdated as the older one.
            let outdated = now.saturating_duration_since(self.since) >= 2 * KEPT;
            self.old = if outdated { HashMap::new() } else { mem::take(&mut self.young) };
            self.young.clear();
            self.since = now;
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// No keys; `salt` must be secret.
    pub fn new(salt: [u8; 16]) -> Self {
        let state = State { young: HashMap::new(), old: HashMap::new(), since: Instant::now() };
        Self { salt, state: Mutex::new(state) }
    }

    /// The key of a bearer token.
    ///
    /// # Errors
    /// [`KeyError`] if the token is no key.
    pub fn parse(&self, token: &str) -> Result<SessionKey, KeyError> {
        let hash = sha256(&[&self.salt, token.as_bytes()]);
        {
            // A map of keys stays usable whoever panicked while holding it.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.turn(Instant::now());
            if let Some(key) = state.young.get(&hash) {
                return Ok(key.clone());
            }
            if let Some(key) = state.old.remove(&hash) {
                state.young.insert(hash, key.clone());
                return Ok(key);
            }
        }
        let key: SessionKey = token.parse()?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).young.insert(hash, key.clone());
        Ok(key)
    }

    /// Keys in memory.
    #[cfg(test)]
    fn len(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.young.len() + state.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u16) -> String {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        SessionKey::from_seed(&seed).reveal()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_remembered_while_it_is_in_use_and_no_longer() {
        let keys = Keys::new([1; 16]);
        let address = token(1).parse::<SessionKey>().unwrap().address();
        for _ in 0..10 {
            assert_eq!(keys.parse(&token(1)).unwrap().address(), address);
            keys.parse(&token(2)).unwrap();
            assert_eq!(keys.len(), 2);
            tokio::time::advance(KEPT / 3).await;
        }
        for _ in 0..8 {
            keys.parse(&token(1)).unwrap();
            tokio::time::advance(KEPT / 3).await;
        }
        assert_eq!(keys.len(), 1, "the other one was quiet");
        tokio::time::advance(3 * KEPT).await;
        assert!(keys.parse("no key").is_err());
        assert_eq!(keys.len(), 0);
    }

    #[test]
    fn many_tokens_do_not_fill_memory_and_none_is_taken_for_another() {
        let keys = Keys::new([1; 16]);
        for number in 0..2 * MAX_KEYS as u16 + 9 {
            let address = token(number).parse::<SessionKey>().unwrap().address();
            assert_eq!(keys.parse(&token(number)).unwrap().address(), address);
            assert_eq!(keys.parse(&token(number)).unwrap().address(), address);
        }
        assert!(keys.len() <= 2 * MAX_KEYS);
    }

    #[test]
    fn what_is_no_key_is_refused_each_time_and_nothing_of_a_key_is_shown() {
        let keys = Keys::new([1; 16]);
        assert_eq!(keys.parse("sk-steam-1").unwrap_err(), KeyError::Seed);
        assert_eq!(keys.parse("sk-steam-1").unwrap_err(), KeyError::Seed);
        assert_eq!(keys.len(), 0);
        assert_eq!(format!("{keys:?}"), "Keys");
    }
}
