//! API keys: a 32-byte ed25519 seed, shown as `sk-steam-<base58>`. The seed signs; its public half is what a vault
//! authorises.

use crate::Address;
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroize;

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
    pub fn reveal(&self) -> String {
        let mut seed = self.0.to_bytes();
        let text = format!("{PREFIX}{}", bs58::encode(seed).into_string());
        seed.zeroize();
        text
    }
}

impl FromStr for SessionKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let mut seed = [0; 32];
        // A shorter text may decode to fewer bytes and leave zeros behind: the length decides.
        let decoded = bs58::decode(encoded).onto(&mut seed);
        if decoded != Ok(32) || bs58::encode(seed).into_string() != encoded {
            return Err(KeyError::Seed);
        }
        let key = Self::from_seed(&seed);
        seed.zeroize();
        Ok(key)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", bs58::encode(self.address()).into_string())
    }
}
