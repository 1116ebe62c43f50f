//! The chain as the relayer sees it.

pub use anchor_lang::prelude::Pubkey;

/// Serialises an address in base58.
pub fn as_base58<S: serde::Serializer>(address: &Pubkey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}
