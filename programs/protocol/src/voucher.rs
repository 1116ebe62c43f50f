//! The voucher: what a session key signs, once a request. It is cumulative: it states how much the key allows in
//! total, so that the last one settles every request since the one before.

use crate::units::MicroUsdc;
use crate::{Address, Hash, sha256};

/// Length of the signed message: with ed25519's 64 bytes of R and A it hashes as one SHA-512 block.
pub const MESSAGE_LEN: usize = 47;
const TAG: &[u8; 15] = b"steam-voucher:1";

/// What a voucher says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The program and cluster, see [`crate::domain::domain`].
    pub domain: Hash,
    /// The vault that pays.
    pub vault: Address,
    /// The vault's generation: the slot at which it was opened.
    pub generation: u64,
    /// The key's epoch: unique in the vault, so that a slot used again is another key.
    pub epoch: u32,
    /// µUSDC, fees included, that this key allows in total.
    pub authorized: MicroUsdc,
    /// The request it was signed for, see [`crate::request::RequestBinding`].
    pub request_hash: Hash,
}

impl Voucher {
    /// The 47 bytes to sign: `"steam-voucher:1" ‖ sha256(domain ‖ vault ‖ generation ‖ epoch ‖ authorized ‖ request_hash)`.
    pub fn message(&self) -> [u8; MESSAGE_LEN] {
        let digest = sha256(&[
            &self.domain,
            &self.vault,
            &self.generation.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            &self.authorized.0.to_le_bytes(),
            &self.request_hash,
        ]);
        let mut message = [0; MESSAGE_LEN];
        message[..TAG.len()].copy_from_slice(TAG);
        message[TAG.len()..].copy_from_slice(&digest);
        message
    }
}

/// Strict ed25519 verification as the program does it: canonical key and `S`, no small-order points, the equation
/// without the cofactor (RFC 8032 §5.1.7 with the checks of "Taming the many EdDSAs", Chalkias et al. 2020).
///
/// It must refuse whatever the program's verifier refuses, or the relayer would serve what never settles;
/// `tests/vectors/ed25519.json` holds the two together.
#[cfg(not(target_os = "solana"))]
pub fn verify_strict(key: &Address, message: &[u8], signature: &[u8; 64]) -> bool {
    // dalek reduces a key's y instead of refusing it; R it compares as bytes.
    is_canonical(key)
        && ed25519_dalek::VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

/// Whether the encoded y is below p = 2^255 − 19.
#[cfg(not(target_os = "solana"))]
fn is_canonical(point: &Address) -> bool {
    point[0] < 0xed || point[1..31].iter().any(|&byte| byte != 0xff) || point[31] & 0x7f != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_canonical_below_the_prime() {
        for sign in [0, 0x80] {
            let with_low_byte = |low: u8| {
                let mut point = [0xff; 32];
                (point[0], point[31]) = (low, 0x7f | sign);
                point
            };
            assert!(is_canonical(&with_low_byte(0xec)));
            assert!((0xed..=0xff).all(|low| !is_canonical(&with_low_byte(low))));
            assert!(is_canonical(&[0; 32]));
        }
    }
}
