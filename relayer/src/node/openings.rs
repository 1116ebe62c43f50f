//! Openings of vaults that wait for a phone. A page that holds a new key wishes one; a wallet scans its code and names its account; the
//! page signs the message that was made for that account with its key; and the wallet gets it with that signature. Nothing that is kept
//! here is secret, and nothing is signed here: without the page's signature and the wallet's nothing comes of an opening.

use crate::chain::Pubkey;
use ed25519_dalek::VerifyingKey;
use solana_signature::Signature;
use solana_transaction::Message;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steam_protocol::units::MicroUsdc;
use steam_router::state::KeyGrant;
use tokio::sync::watch;
use tokio::time::timeout;

/// Time for which an opening waits, in milliseconds.
pub const LIFE_MS: i64 = 10 * 60_000;
/// How long a wallet waits for the page's signature. Wallets themselves wait about half a minute.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Openings that wait at most.
pub const MOST: usize = 1_024;
/// Those of one peer at most.
pub const MOST_OF_PEER: usize = 16;

/// By which an opening is known. It is random, and whoever has it may ask for the transaction and pay for it.
pub type Id = [u8; 16];

/// Why an opening does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// Nobody wished it, or it is too old.
    #[error("this code is not known here, or it is older than ten minutes: show a new one on the page")]
    Unknown,
    /// Too many wait.
    #[error("too many openings wait for a phone; try again in {} seconds", retry_after.as_secs())]
    Full {
        /// When the first of them ends.
        retry_after: Duration,
    },
    /// Another account has asked for it.
    #[error("another wallet has scanned this code before: show a new one on the page, and scan that")]
    Taken,
    /// The account has a vault.
    #[error(
        "this wallet has a vault at this relayer already: connect the wallet to the page and add a key there, or scan with another account"
    )]
    HasVault,
    /// No account has asked for it.
    #[error("no wallet has scanned this code yet, so that there is nothing to sign: ask for its transaction first")]
    NotAsked,
    /// It is not signed as it must be.
    #[error(
        "this is not the key's signature of the transaction that waits for it: sign that of GET …/transaction, which is made anew when \
         the wallet asks again"
    )]
    Signature,
    /// The page did not sign in time.
    #[error("the page that shows this code did not answer: leave it open and in view, and scan the code again")]
    Unsigned,
    /// The same account has asked again.
    #[error("this wallet has asked again since: go on with the later request")]
    Replaced,
}

impl OpeningError {
    /// When to try again, if that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// What a page wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The key that is to spend. The page holds it.
    pub key: Pubkey,
    /// What the key may do.
    pub grant: KeyGrant,
    /// What is to be deposited.
    pub amount: MicroUsdc,
}

/// What an account has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who pays, and owns the vault.
    pub account: Pubkey,
    /// What both sign.
    pub message: Message,
    /// The key's signature.
    pub signature: Option<Signature>,
    /// How often the account had asked before.
    turn: u32,
}

struct Waiting {
    wish: Wish,
    peer: Option<IpAddr>,
    until_ms: i64,
    asked: watch::Sender<Option<Asked>>,
}

/// The openings that wait.
#[derive(Default)]
pub struct Openings(Mutex<HashMap<Id, Waiting>>);

impl fmt::Debug for Openings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Openings")
    }
}

impl Openings {
    /// Keeps a wish of `peer` under a random `id`. Returns until when it waits, in Unix milliseconds.
    ///
    /// # Errors
    /// [`OpeningError::Full`]
    pub fn wish(&self, id: Id, wish: Wish, peer: Option<IpAddr>, now_ms: i64) -> Result<i64, OpeningError> {
        let mut waiting = self.lock();
        waiting.retain(|_, one| one.until_ms > now_ms);
        // All clients behind the operator's own proxy are one peer, so that they have no share of their own.
        let of_peer = || waiting.values().filter(move |one| peer.is_some() && one.peer == peer);
        let first = if of_peer().count() >= MOST_OF_PEER {
            of_peer().map(|one| one.until_ms).min()
        } else if waiting.len() >= MOST {
            waiting.values().map(|one| one.until_ms).min()
        } else {
            None
        };
        if let Some(first) = first {
            let left = u64::try_from(first.saturating_sub(now_ms)).unwrap_or_default();
            return Err(OpeningError::Full { retry_after: Duration::from_secs(left.div_ceil(1_000)) });
        }
        let until_ms = now_ms.saturating_add(LIFE_MS);
        waiting.insert(id, Waiting { wish, peer, until_ms, asked: watch::Sender::new(None) });
        Ok(until_ms)
    }

    /// What was wished.
    ///
    /// # Errors
    /// [`OpeningError::Unknown`]
    pub fn wished(&self, id: &Id, now_ms: i64) -> Result<Wish, OpeningError> {
        self.with(id, now_ms, |one| Ok(one.wish))
    }

    /// What was wished, for `account`, which may be the first to ask or ask again.
    ///
    /// # Errors
    /// [`OpeningError::Unknown`], [`OpeningError::Taken`]
    pub fn wished_by(&self, id: &Id, account: &Pubkey, now_ms: i64) -> Result<Wish, OpeningError> {
        self.with(id, now_ms, |one| one.check(account).map(|()| one.wish))
    }

    /// What an account has asked for, if one has.
    ///
    /// # Errors
    /// [`OpeningError::Unknown`]
    pub fn asked(&self, id: &Id, now_ms: i64) -> Result<Option<Asked>, OpeningError> {
        self.with(id, now_ms, |one| Ok(one.asked.borrow().clone()))
    }

    /// Shows the page the `message` for `account`, and waits until it has signed that.
    ///
    /// # Errors
    /// [`OpeningError::Unknown`], [`OpeningError::Taken`], [`OpeningError::Unsigned`], [`OpeningError::Replaced`]
    pub async fn ask(
        &self,
        id: &Id,
        account: Pubkey,
        message: Message,
        now_ms: i64,
    ) -> Result<Signature, OpeningError> {
        let (turn, mut seen) = self.with(id, now_ms, |one| {
            one.check(&account)?;
            let turn = one.asked.borrow().as_ref().map_or(0, |asked| asked.turn.wrapping_add(1));
            one.asked.send_replace(Some(Asked { account, message, signature: None, turn }));
            Ok((turn, one.asked.subscribe()))
        })?;
        let is_mine = |asked: &Asked| asked.turn == turn;
        let changed = seen.wait_for(|asked| asked.as_ref().is_some_and(|now| !is_mine(now) || now.signature.is_some()));
        let changed = timeout(PATIENCE, changed).await.map_err(|_| OpeningError::Unsigned)?;
        let now = changed.map_err(|_| OpeningError::Unknown)?.clone();
        now.filter(is_mine).and_then(|now| now.signature).ok_or(OpeningError::Replaced)
    }

    /// Takes the key's signature of what was asked for last.
    ///
    /// # Errors
    /// [`OpeningError::Unknown`], [`OpeningError::NotAsked`], [`OpeningError::Signature`]
    pub fn sign(&self, id: &Id, signature: Signature, now_ms: i64) -> Result<Asked, OpeningError> {
        self.with(id, now_ms, |one| {
            let asked = one.asked.borrow().clone().ok_or(OpeningError::NotAsked)?;
            let holds = VerifyingKey::from_bytes(&one.wish.key.to_bytes()).is_ok_and(|key| {
                key.verify_strict(&asked.message.serialize(), &(*signature.as_array()).into()).is_ok()
            });
            if !holds {
                return Err(OpeningError::Signature);
            }
            let signed = Asked { signature: Some(signature), ..asked };
            one.asked.send_replace(Some(signed.clone()));
            Ok(signed)
        })
    }

    fn with<T>(
        &self,
        id: &Id,
        now_ms: i64,
        change: impl FnOnce(&Waiting) -> Result<T, OpeningError>,
    ) -> Result<T, OpeningError> {
        let waiting = self.lock();
        let one = waiting.get(id).filter(|one| one.until_ms > now_ms).ok_or(OpeningError::Unknown)?;
        change(one)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Waiting>> {
        // Each change is one insertion or one removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether `account` may ask. A second one would get what the first one's page shows.
    fn check(&self, account: &Pubkey) -> Result<(), OpeningError> {
        let other = self.asked.borrow().as_ref().is_some_and(|asked| asked.account != *account);
        if other { Err(OpeningError::Taken) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
