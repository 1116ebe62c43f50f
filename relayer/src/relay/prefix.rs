//! A hash of the beginning of a prompt, by which the next turn of a conversation finds the provider that has it cached.

use crate::chain::Pubkey;
use steam_protocol::sha256;

/// Bytes of a prompt from which providers cache: 1,024 tokens or more.
const CACHEABLE: usize = 4_096;

/// A hash of the vault and the first [`CACHEABLE`] bytes of a prompt; `None` for shorter ones. Turns added to a
/// conversation do not change it.
pub fn of(salt: &[u8; 16], vault: &Pubkey, prompt: &[u8]) -> Option<u64> {
    let beginning = prompt.get(..CACHEABLE)?;
    let hash = sha256(&[salt, vault.as_ref(), beginning]);
    hash.first_chunk().map(|first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = [7; 16];

    fn prefix(vault: u8, first: &str, more: &str) -> Option<u64> {
        let body = format!(r#"[{{"role":"system","content":"{first}"}}{more}]"#);
        of(&SALT, &Pubkey::from([vault; 32]), body.as_bytes())
    }

    #[test]
    fn a_conversation_keeps_its_prefix_and_shares_it_with_no_other_vault() {
        let long = "a".repeat(CACHEABLE);
        let first = prefix(1, &long, "");
        assert!(first.is_some());
        assert_eq!(prefix(1, &long, r#",{"role":"user","content":"and now?"}"#), first);
        assert_ne!(prefix(2, &long, ""), first);
        assert_ne!(prefix(1, &"b".repeat(CACHEABLE), ""), first);
    }

    #[test]
    fn what_is_too_short_to_be_cached_has_none() {
        assert_eq!(prefix(1, "hello", ""), None);
        assert_eq!(of(&SALT, &Pubkey::default(), b""), None);
    }
}
