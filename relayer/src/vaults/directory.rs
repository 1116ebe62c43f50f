//! Which vaults name this relayer, whose they are, and which keys they have: what it takes to send a request to the process that holds
//! the vault. There is no money in it.

use crate::chain::{Pubkey, VaultSnapshot};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use steam_protocol::Address;

/// Every vault of the relayer, whoever holds it.
#[derive(Debug, Default)]
pub struct Directory(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    vaults: HashMap<Pubkey, Entry>,
    by_key: HashMap<Address, Pubkey>,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    slot: u64,
    owner: Pubkey,
    keys: Vec<Address>,
}

impl Directory {
    /// Takes over what the chain says. A vault that a reading lacks stays: a node may answer in part.
    pub fn update(&self, snapshots: &[VaultSnapshot]) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for snapshot in snapshots {
            let known = state.vaults.get(&snapshot.address);
            if known.is_some_and(|known| (known.generation, known.slot) > (snapshot.generation, snapshot.slot)) {
                continue; // an older reading that arrives late
            }
            let entry = Entry {
                generation: snapshot.generation,
                slot: snapshot.slot,
                owner: snapshot.owner,
                keys: snapshot.keys.iter().map(|key| key.key).collect(),
            };
            state.vaults.insert(snapshot.address, entry);
        }
        let keys = |(address, entry): (&Pubkey, &Entry)| {
            let address = *address;
            entry.keys.clone().into_iter().map(move |key| (key, address))
        };
        state.by_key = state.vaults.iter().flat_map(keys).collect();
    }

    /// The vault of a key.
    pub fn of_key(&self, key: &Address) -> Option<Pubkey> {
        self.read(|state| state.by_key.get(key).copied())
    }

    /// The vault of an owner.
    pub fn of_owner(&self, owner: &Pubkey) -> Option<Pubkey> {
        self.read(|state| state.vaults.iter().find(|(_, entry)| entry.owner == *owner).map(|(address, _)| *address))
    }

    /// Whether there is such a vault.
    pub fn knows(&self, vault: &Pubkey) -> bool {
        self.read(|state| state.vaults.contains_key(vault))
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
