//! API keys: a 32-byte ed25519 seed, shown as `sk-steam-<base58>`. The seed signs; its public half is what a vault
//! authorises.

use crate::Address;
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

/// What every key starts with.
pub const PREFIX: &str = "sk-steam-";

/// A session key. `Debug` shows the public half only, `Drop` wipes the seed.
#[derive(Clone)]
pub struct SessionKey(SigningKey);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not start with [`PREFIX`].
    #[error("an API key starts with {PREFIX}")]
    Prefix,
    /// The rest is not base58 of 32 bytes.
    #[error("an API key is {PREFIX} followed by 32 bytes in base58")]
    Seed,
}

impl SessionKey {
    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half: what a vault authorises.
    pub fn address(&self) -> Address {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The text form with the secret in it: for its owner's eyes only.
    ///
    /// ```
    /// # use steam_protocol::key::SessionKey;
    /// let key = SessionKey::from_seed(&[7; 32]);
    /// assert_eq!(key.reveal().parse::<SessionKey>()?.address(), key.address());
    /// # Ok::<(), steam_protocol::key::KeyError>(())
    /// ```
    pub fn reveal(&self) -> String {
        let mut text = String::from(PREFIX);
        text.push_str(&encode(self.0.as_bytes()));
        text
    }
}

impl FromStr for SessionKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let mut seed = Zeroizing::new([0; 32]);
        // A shorter text may decode to fewer bytes and leave zeros behind: the length decides.
        let decoded = bs58::decode(encoded).onto(seed.as_mut_slice());
        if decoded != Ok(32) || *encode(&seed) != encoded {
            return Err(KeyError::Seed);
        }
        Ok(Self::from_seed(&seed))
    }
}

fn encode(seed: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(bs58::encode(seed).into_string())
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", bs58::encode(self.address()).into_string())
    }
}
