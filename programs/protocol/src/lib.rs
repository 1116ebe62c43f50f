//! What Steam Router's program, relayer and clients must agree on to the byte: units and the one charge
//! formula, the voucher a session key signs, the group hash chain, the settlement batch, the receipt and its
//! Merkle tree, the list of providers a key may pay. No Anchor and no I/O, so that the same code runs in the SVM, in a server and in a client.
//!
//! All integers are little-endian. All hashes are SHA-256. Golden vectors live in `tests/vectors`.

pub mod allow_list;
pub mod batch;
pub mod capability;
pub mod domain;
pub mod group;
#[cfg(not(target_os = "solana"))]
pub mod key;
pub mod merkle;
#[cfg(not(target_os = "solana"))]
pub mod receipt;
pub mod request;
pub mod seeds;
pub mod units;
pub mod voucher;

/// The 32 bytes of a Solana address or ed25519 public key.
pub type Address = [u8; 32];
/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// SHA-256 over the concatenation of `parts`; the syscall inside the SVM, software elsewhere.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    solana_sha256_hasher::hashv(parts).to_bytes()
}
