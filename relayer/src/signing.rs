//! What the relayer signs for each request: receipts and calls to providers.

use aws_lc_rs::signature::Ed25519KeyPair;
use ed25519_dalek::SigningKey;

/// The relayer's receipt key, of Ed25519. It signs as RFC 8032 says, to the same bytes as [`SigningKey`] and in half of the time.
#[derive(Debug)]
pub struct ReceiptKey(Ed25519KeyPair);

impl ReceiptKey {
    /// The 64 bytes of the signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        let signature = self.0.sign(message);
        bytes.copy_from_slice(signature.as_ref());
        bytes
    }
}

impl From<&SigningKey> for ReceiptKey {
    #[expect(clippy::expect_used, reason = "any 32 bytes are the seed of a key")]
    fn from(key: &SigningKey) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(key.as_bytes()).expect("a seed of 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer;
    use steam_protocol::voucher::verify_strict;

    #[test]
    fn signatures_are_those_of_the_key_byte_by_byte() {
        for seed in 0..=u8::MAX {
            let key = SigningKey::from_bytes(&[seed; 32]);
            let fast = ReceiptKey::from(&key);
            let message: Vec<u8> = (0..=seed).collect();
            assert_eq!(fast.sign(&message), key.sign(&message).to_bytes());
            assert!(verify_strict(key.verifying_key().as_bytes(), &message, &fast.sign(&message)));
        }
    }

    #[test]
    fn what_is_shown_of_a_key_is_no_secret() {
        let key = SigningKey::from_bytes(b"a seed that nobody may ever see.");
        let shown = format!("{:?}", ReceiptKey::from(&key));
        assert!(!shown.contains("seed that") && !shown.contains(&hex::encode(key.as_bytes())), "{shown}");
    }
}
