//! Owners that signed in with their wallets. A challenge is kept nowhere: it has the relayer's own mark, so that strangers who ask for
//! challenges cause nothing to be kept. A wallet's last sign-in and its sessions are kept for as long as they hold, of owners alone.

use crate::chain::Pubkey;
use crate::date::show_second;
use ed25519_dalek::{Signature, VerifyingKey};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use steam_protocol::{Hash, sha256};
use subtle::ConstantTimeEq;

/// What a session's token begins with.
pub const PREFIX: &str = "steam-session-";
/// Time in which a challenge can be used, in milliseconds.
pub const CHALLENGE_MS: i64 = 5 * 60_000;
/// Time for which a session holds, in milliseconds.
pub const SESSION_MS: i64 = 30 * 60_000;
/// Bytes of a nonce before its mark.
const HEAD: usize = 24;
/// Sessions of one wallet at most: another one ends the oldest.
const MOST_OF_WALLET: usize = 4;
/// Sessions at most: another one ends the oldest.
const MOST: usize = 4_096;

/// Why a wallet does not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The nonce is not this relayer's, or of another wallet or domain.
    #[error(
        "this nonce is none of this relayer's for this wallet and domain: ask for another one with `POST /v1/sign-in`"
    )]
    Nonce,
    /// It was issued too long ago.
    #[error("this sign-in was asked for more than five minutes ago: ask for another one with `POST /v1/sign-in`")]
    Expired,
    /// It was used, or a later one was.
    #[error("this sign-in was used before: ask for another one with `POST /v1/sign-in`")]
    Used,
    /// The wallet did not sign the message.
    #[error(
        "the wallet's signature is not of the message of this sign-in: sign the message as it was answered, byte for byte"
    )]
    Signature,
}

/// What a wallet is asked to sign: the parts of the message, as Sign-In with Solana names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Who asks: the relayer's host, with its port.
    pub domain: String,
    /// The wallet.
    pub address: Pubkey,
    /// What for.
    pub statement: String,
    /// 40 bytes in hexadecimal: when it was issued, random bytes, and the relayer's mark.
    pub nonce: String,
    /// As in `2026-11-28T09:30:00Z`.
    pub issued_at: String,
    /// The same.
    pub expiration_time: String,
}

impl Challenge {
    /// The message, byte for byte.
    pub fn message(&self) -> String {
        let Self { domain, address, statement, nonce, issued_at, expiration_time } = self;
        format!(
            "{domain} wants you to sign in with your Solana account:\n{address}\n\n{statement}\n\nVersion: 1\nNonce: {nonce}\n\
             Issued At: {issued_at}\nExpiration Time: {expiration_time}"
        )
    }
}

/// What a session may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The wallet.
    pub owner: Pubkey,
    /// Its vault at this relayer.
    pub vault: Option<Pubkey>,
    /// Its provider.
    pub provider: Option<Pubkey>,
    /// Until when it holds, in Unix milliseconds.
    pub until_ms: i64,
}

/// Who signs in where.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The relayer's host, with its port, as the browser names it.
    pub domain: &'a str,
    /// The relayer's account.
    pub relayer: &'a Pubkey,
    /// The wallet.
    pub owner: &'a Pubkey,
}

/// The sessions of all wallets.
pub struct Sessions {
    secret: [u8; 16],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the challenge was issued that a wallet signed in with last, in Unix milliseconds.
    last: HashMap<Pubkey, i64>,
    /// By the hash of the token.
    open: HashMap<Hash, Session>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// No sessions; `secret` marks challenges.
    pub fn new(secret: [u8; 16]) -> Self {
        Self { secret, state: Mutex::default() }
    }

    /// A challenge that `visitor` may use for five minutes from `now_ms`.
    pub fn challenge(&self, visitor: &Visitor<'_>, now_ms: i64, random: [u8; 16]) -> Challenge {
        let mut nonce = [0; 40];
        nonce[..8].copy_from_slice(&now_ms.to_be_bytes());
        nonce[8..HEAD].copy_from_slice(&random);
        let mark = self.mark(visitor, &nonce[..HEAD]);
        nonce[HEAD..].copy_from_slice(&mark);
        challenge_of(visitor, now_ms, hex::encode(nonce))
    }

    /// Opens a session for `visitor`, who signed the challenge of `nonce`, with a random `token`.
    ///
    /// # Errors
    /// [`SignInError`]; nothing is kept then.
    pub fn open(
        &self,
        visitor: &Visitor<'_>,
        (nonce, signature): (&str, &[u8; 64]),
        may: Session,
        token: &str,
        now_ms: i64,
    ) -> Result<Session, SignInError> {
        let bytes: [u8; 40] =
            hex::decode(nonce).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(SignInError::Nonce)?;
        let (head, mark) = bytes.split_at(HEAD);
        if !bool::from(self.mark(visitor, head).ct_eq(mark)) {
            return Err(SignInError::Nonce);
        }
        let issued_ms = head.first_chunk().map_or(0, |issued| i64::from_be_bytes(*issued));
        if !(0..CHALLENGE_MS).contains(&now_ms.saturating_sub(issued_ms)) {
            return Err(SignInError::Expired);
        }
        let message = challenge_of(visitor, issued_ms, hex::encode(bytes)).message();
        let key = VerifyingKey::from_bytes(visitor.owner.as_array()).map_err(|_| SignInError::Signature)?;
        key.verify_strict(message.as_bytes(), &Signature::from_bytes(signature)).map_err(|_| SignInError::Signature)?;
        let mut state = self.lock();
        state.forget(now_ms);
        // One challenge after the other: a used one is never later than the last.
        if state.last.get(visitor.owner).is_some_and(|last| *last >= issued_ms) {
            return Err(SignInError::Used);
        }
        state.last.insert(*visitor.owner, issued_ms);
        let session = Session { until_ms: now_ms.saturating_add(SESSION_MS), ..may };
        state.insert(hash(token), session);
        Ok(session)
    }

    /// The session of a token at `now_ms`.
    pub fn get(&self, token: &str, now_ms: i64) -> Option<Session> {
        self.lock().open.get(&hash(token)).copied().filter(|session| now_ms < session.until_ms)
    }

    /// Ends the session of a token. Returns whether there was one.
    pub fn close(&self, token: &str) -> bool {
        self.lock().open.remove(&hash(token)).is_some()
    }

    /// The relayer's mark of a nonce's first half: all that goes in has a fixed length.
    fn mark(&self, Visitor { domain, relayer, owner }: &Visitor<'_>, head: &[u8]) -> [u8; 16] {
        let whole = sha256(&[
            &self.secret,
            head,
            relayer.as_array(),
            owner.as_array(),
            &sha256(&[domain.as_bytes()]),
            &self.secret,
        ]);
        let mut mark = [0; 16];
        mark.copy_from_slice(&whole[..16]);
        mark
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Sessions stay usable whoever panicked while holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what holds no longer.
    fn forget(&mut self, now_ms: i64) {
        self.last.retain(|_, issued_ms| now_ms.saturating_sub(*issued_ms) < CHALLENGE_MS);
        self.open.retain(|_, session| now_ms < session.until_ms);
    }

    fn insert(&mut self, token: Hash, session: Session) {
        let own = self.open.values().filter(|other| other.owner == session.owner).count();
        if own >= MOST_OF_WALLET {
            self.end_oldest(|other| other.owner == session.owner);
        } else if self.open.len() >= MOST {
            self.end_oldest(|_| true);
        }
        self.open.insert(token, session);
    }

    fn end_oldest(&mut self, of: impl Fn(&Session) -> bool) {
        let oldest = self.open.iter().filter(|(_, session)| of(session)).min_by_key(|(_, session)| session.until_ms);
        if let Some(token) = oldest.map(|(token, _)| *token) {
            self.open.remove(&token);
        }
    }
}

/// What the challenge of `nonce` says, which was issued at `issued_ms`.
fn challenge_of(Visitor { domain, relayer, owner }: &Visitor<'_>, issued_ms: i64, nonce: String) -> Challenge {
    Challenge {
        domain: (*domain).to_owned(),
        address: **owner,
        statement: format!(
            "Show me what my vault and my provider did at the relayer {relayer}. With this nothing can be spent and nothing changed."
        ),
        nonce,
        issued_at: show_second(issued_ms),
        expiration_time: show_second(issued_ms.saturating_add(CHALLENGE_MS)),
    }
}

fn hash(token: &str) -> Hash {
    sha256(&[token.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    const NOW: i64 = 1_800_000_000_123;
    const RELAYER: Pubkey = Pubkey::new_from_array([9; 32]);
    const DOMAIN: &str = "relayer.example";

    struct Wallet(SigningKey, Pubkey);

    impl Wallet {
        fn new(seed: u8) -> Self {
            let key = SigningKey::from_bytes(&[seed; 32]);
            let address = Pubkey::new_from_array(key.verifying_key().to_bytes());
            Self(key, address)
        }

        fn at<'a>(&'a self, domain: &'a str) -> Visitor<'a> {
            Visitor { domain, relayer: &RELAYER, owner: &self.1 }
        }

        fn sign(&self, challenge: &Challenge) -> [u8; 64] {
            self.0.sign(challenge.message().as_bytes()).to_bytes()
        }

        fn may(&self) -> Session {
            Session { owner: self.1, vault: None, provider: None, until_ms: 0 }
        }
    }

    fn sessions() -> Sessions {
        Sessions::new([7; 16])
    }

    #[test]
    fn a_message_is_as_sign_in_with_solana_writes_it() {
        let wallet = Wallet::new(1);
        let challenge = sessions().challenge(&wallet.at(DOMAIN), NOW, [0; 16]);
        let (address, nonce) = (wallet.1, &challenge.nonce);
        assert_eq!(
            challenge.message(),
            format!(
                "relayer.example wants you to sign in with your Solana account:\n{address}\n\nShow me what my vault and my provider \
                 did at the relayer {RELAYER}. With this nothing can be spent and nothing changed.\n\nVersion: 1\nNonce: {nonce}\n\
                 Issued At: 2027-01-15T08:00:00Z\nExpiration Time: 2027-01-15T08:05:00Z"
            )
        );
    }

    #[test]
    fn a_session_is_of_the_wallet_that_signed_and_ends() {
        let (sessions, wallet) = (sessions(), Wallet::new(1));
        let challenge = sessions.challenge(&wallet.at(DOMAIN), NOW, [0; 16]);
        let signature = wallet.sign(&challenge);
        let open = |at| sessions.open(&wallet.at(DOMAIN), (&challenge.nonce, &signature), wallet.may(), "t", at);
        let session = open(NOW + CHALLENGE_MS - 1).unwrap();
        assert_eq!((session.owner, sessions.get("t", NOW)), (wallet.1, Some(session)));
        assert_eq!(sessions.get("other", NOW), None);
        assert_eq!(sessions.get("t", session.until_ms - 1), Some(session));
        assert_eq!(sessions.get("t", session.until_ms), None);
        assert_eq!(open(NOW + CHALLENGE_MS - 1), Err(SignInError::Used), "replayed");
        assert!(sessions.close("t") && !sessions.close("t"));
        assert_eq!(sessions.get("t", NOW), None);
    }

    #[test]
    fn another_domain_wallet_relayer_time_or_byte_signs_nobody_in() {
        let (sessions, wallet, other) = (sessions(), Wallet::new(1), Wallet::new(2));
        let challenge = sessions.challenge(&wallet.at(DOMAIN), NOW, [0; 16]);
        let signature = wallet.sign(&challenge);
        let with = |visitor: &Visitor<'_>, nonce: &str, signature: &[u8; 64], at| {
            sessions.open(visitor, (nonce, signature), wallet.may(), "t", at)
        };
        let (here, nonce) = (wallet.at(DOMAIN), challenge.nonce.as_str());
        assert_eq!(with(&wallet.at("evil.example"), nonce, &signature, NOW), Err(SignInError::Nonce));
        assert_eq!(with(&other.at(DOMAIN), nonce, &other.sign(&challenge), NOW), Err(SignInError::Nonce));
        let elsewhere = Visitor { relayer: &other.1, ..here };
        assert_eq!(with(&elsewhere, nonce, &signature, NOW), Err(SignInError::Nonce));
        assert_eq!(with(&here, nonce, &other.sign(&challenge), NOW), Err(SignInError::Signature));
        let mut tampered = challenge.clone();
        tampered.statement.push('!');
        assert_eq!(with(&here, nonce, &wallet.sign(&tampered), NOW), Err(SignInError::Signature));
        assert_eq!(with(&here, nonce, &signature, NOW + CHALLENGE_MS), Err(SignInError::Expired));
        assert_eq!(with(&here, nonce, &signature, NOW - 1), Err(SignInError::Expired), "not issued yet");
        for wrong in ["", "00", &nonce.replace('0', "1"), &format!("{nonce}00")] {
            assert_eq!(with(&here, wrong, &signature, NOW), Err(SignInError::Nonce), "{wrong}");
        }
        let restarted = Sessions::new([8; 16]);
        let foreign = restarted.open(&here, (nonce, &signature), wallet.may(), "t", NOW);
        assert_eq!(foreign, Err(SignInError::Nonce), "made by another process");
        assert!(with(&here, nonce, &signature, NOW).is_ok());
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_wallets_and_by_time() {
        let (sessions, wallet) = (sessions(), Wallet::new(1));
        for after in 0..10 {
            let at = NOW + after;
            let challenge = sessions.challenge(&wallet.at(DOMAIN), at, [0; 16]);
            let signed = (challenge.nonce.as_str(), &wallet.sign(&challenge));
            sessions.open(&wallet.at(DOMAIN), signed, wallet.may(), &after.to_string(), at).unwrap();
        }
        let kept = sessions.lock();
        assert_eq!((kept.open.len(), kept.last.len()), (MOST_OF_WALLET, 1));
        drop(kept);
        assert!(sessions.get("5", NOW).is_none() && sessions.get("6", NOW).is_some());
        let mut state = State::default();
        for number in 0..=MOST {
            let mut owner = [0; 32];
            owner[..8].copy_from_slice(&number.to_le_bytes());
            let (owner, until_ms) = (Pubkey::new_from_array(owner), NOW + number as i64);
            state.insert(hash(&number.to_string()), Session { owner, vault: None, provider: None, until_ms });
        }
        assert_eq!((state.open.len(), state.open.contains_key(&hash("0"))), (MOST, false));
        state.forget(NOW + MOST as i64 + SESSION_MS);
        assert!(state.open.is_empty());
    }
}
