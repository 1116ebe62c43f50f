//! A vault's account as its owner may see it.

use super::{History, VaultAccount};
use crate::chain::{KeySnapshot, Pubkey};
use crate::vaults::sums::{add, rounded_down};
use crate::vaults::{KeyView, VaultView};
use steam_protocol::units::Pico;

impl VaultAccount {
    pub fn view(&self) -> VaultView {
        let snapshot = &self.snapshot;
        VaultView {
            vault: snapshot.address.to_string(),
            owner: snapshot.owner.to_string(),
            generation: snapshot.generation,
            slot: snapshot.slot,
            balance: snapshot.balance.0,
            pending_withdrawal: snapshot.pending_withdrawal.0,
            unsettled_pico: self.unsettled().0.to_string(),
            held_pico: self.held().0.to_string(),
            available: rounded_down(self.available()).0,
            settle_seq: snapshot.settle_seq,
            settled_pico: snapshot.settled_pico.0.to_string(),
            fee_pico: snapshot.fee_pico.0.to_string(),
            halted: self.history == History::Foreign,
            keys: snapshot.keys.iter().map(|key| self.key_view(key)).collect(),
        }
    }

    fn key_view(&self, key: &KeySnapshot) -> KeyView {
        let held = self.keys.get(&key.epoch).map_or(Pico::ZERO, |k| k.held);
        KeyView {
            key: Pubkey::from(key.key).to_string(),
            slot: key.slot,
            epoch: key.epoch,
            expires: key.expires,
            revoked_at: key.revoked_at,
            limit_total: key.limit_total.0,
            allow_root: key.allow_root.map(hex::encode),
            used_pico: add(add(key.settled, self.unsettled_of(key.epoch)), held).0.to_string(),
        }
    }
}
