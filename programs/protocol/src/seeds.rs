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

/// What a model name must not end in: appended to a name, each asks for a way of routing.
pub const RESERVED_SUFFIXES: [&str; 4] = [":floor", ":nitro", ":free", ":online"];

/// The third seed of an offer's address: the hash of the name in lower case, so that names that differ only in case are one.
pub fn model_hash(model: &str) -> Hash {
    let mut lower = [0; MAX_MODEL_BYTES];
    match lower.get_mut(..model.len()) {
        Some(lower) => {
            lower.copy_from_slice(model.as_bytes());
            lower.make_ascii_lowercase();
            sha256(&[lower])
        }
        // Too long for a name: no offer has it.
        None => sha256(&[model.as_bytes()]),
    }
}

/// Whether `model` is a name an offer may carry: 1 to 64 of `a-z A-Z 0-9 . _ : / -`.
pub fn is_model_name(model: &str) -> bool {
    (1..=MAX_MODEL_BYTES).contains(&model.len())
        && model.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'-'))
}

/// Whether `model` ends in one of [`RESERVED_SUFFIXES`], in whatever case.
pub fn is_reserved(model: &str) -> bool {
    let name = model.as_bytes();
    RESERVED_SUFFIXES.iter().any(|suffix| {
        let end = name.len().checked_sub(suffix.len()).and_then(|start| name.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
    })
}

/// The seeds of an offer's address.
pub fn offer<'a>(provider: &'a Address, model_hash: &'a Hash) -> [&'a [u8]; 3] {
    [OFFER, provider, model_hash]
}

/// The seeds of a vault's address.
pub fn vault<'a>(owner: &'a Address, relayer: &'a Address) -> [&'a [u8]; 3] {
    [VAULT, owner, relayer]
}
