//! The secret that the processes of a relayer show each other.

use std::fmt;
use steam_protocol::{Hash, sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Shortest secret: as many characters as sixteen random bytes have in hexadecimal.
const SHORTEST: usize = 32;

/// The secret.
#[derive(Clone)]
pub(crate) struct Secret {
    text: Zeroizing<String>,
    hash: Hash,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The secret in the text of a file; none if it is too short to be one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self { text: Zeroizing::new(text.to_owned()), hash: sha256(&[text.as_bytes()]) })
    }

    /// What is sent to another process.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether `sent` is the secret. It takes as long for every other one.
    pub(crate) fn is(&self, sent: &[u8]) -> bool {
        sha256(&[sent]).ct_eq(&self.hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_enough_never_shown_and_nothing_else_is_it() {
        let text = "0123456789abcdef0123456789abcdef";
        let secret = Secret::read(&format!(" {text}\n")).unwrap();
        assert!(secret.is(text.as_bytes()) && secret.text() == text);
        for wrong in ["", "0123456789abcdef0123456789abcdeF", "0123456789abcdef0123456789abcde"] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(Secret::read(&text[1..]).is_none() && Secret::read(&format!("{text} x")).is_none());
        assert!(!format!("{secret:?}").contains(text));
    }
}
