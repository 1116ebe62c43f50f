//! The two sides of a receipt: the relayer that signs it and the key that pays.

use steam_protocol::{Address, Hash};

/// What the chain says about the relayer: whom receipts must be from.
#[derive(Clone, Debug)]
pub struct Relayer {
    /// The program and cluster.
    pub domain: Hash,
    /// The relayer's account.
    pub address: Address,
    /// Its receipt keys by number, retired ones included.
    pub receipt_keys: Vec<(u32, Address)>,
}

/// Where a key stands: its place in one incarnation of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultKey {
    /// The vault's account.
    pub vault: Address,
    /// The vault's generation: the slot at which it was opened.
    pub generation: u64,
    /// The key's slot.
    pub slot: u8,
    /// The key's epoch.
    pub epoch: u32,
}
