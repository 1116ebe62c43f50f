//! Seeds of the program's addresses: a constant each, followed by what its comment names.

use crate::{Address, Hash, sha256};

/// `[CONFIG]`
pub const CONFIG: &[u8] = b"config";
/// `[RELAYER, authority]`
pub const RELAYER: &[u8] = b"relayer";
/// `[PROVIDER, authority]`
pub const PROVIDER: &[u8] = b"provider";
/// `[OFFER, provider, model_hash(model)]`
pub const OFFER: &[u8] = b"offer";
/// `[VAULT, owner, relayer]`
pub const VAULT: &[u8] = b"vault";

/// Longest model name, in bytes.
pub const MAX_MODEL_BYTES: usize = 64;

/// The third seed of an offer's address.
pub fn model_hash(model: &str) -> Hash {
    sha256(&[model.as_bytes()])
}

/// Whether `model` is a name an offer may carry: 1 to 64 of `a-z 0-9 . _ : / -`.
pub fn is_model_name(model: &str) -> bool {
    (1..=MAX_MODEL_BYTES).contains(&model.len())
        && model.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'/' | b'-'))
}

/// The seeds of an offer's address.
pub fn offer<'a>(provider: &'a Address, model_hash: &'a Hash) -> [&'a [u8]; 3] {
    [OFFER, provider, model_hash]
}

/// The seeds of a vault's address.
pub fn vault<'a>(owner: &'a Address, relayer: &'a Address) -> [&'a [u8]; 3] {
    [VAULT, owner, relayer]
}
