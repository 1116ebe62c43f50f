//! What is in the accounts, and, where no instruction leads, what if it were otherwise.

use super::World;
use crate::chain::Stored;
use anchor_lang::prelude::Pubkey;
use anchor_lang::{AccountDeserialize, AccountSerialize};
use bytemuck::Pod;
use steam_protocol::units::MicroUsdc;
use steam_router::state;

/// Bytes of an account's discriminator.
const HEAD: usize = 8;

impl World {
    /// An account as the chain stores it.
    pub fn account(&self, address: &Pubkey) -> Option<Stored> {
        self.chain.account(address)
    }

    /// Writes an account as no instruction could.
    pub fn set_account(&mut self, address: &Pubkey, account: Stored) {
        self.chain.set_account(address, account);
    }

    /// What a token account holds.
    pub fn balance(&self, token: &Pubkey) -> MicroUsdc {
        let data = self.chain.account(token).unwrap().data;
        MicroUsdc(u64::from_le_bytes(data[64..72].try_into().unwrap()))
    }

    /// The deployment's settings.
    pub fn config(&self) -> state::Config {
        self.read(&steam::addresses::config())
    }

    /// A vault's state, and its keys.
    pub fn vault(&self, address: &Pubkey) -> state::VaultWithKeys {
        state::VaultWithKeys::read(&self.chain.account(address).unwrap().data).unwrap()
    }

    /// An offer's state.
    pub fn offer(&self, address: &Pubkey) -> state::Offer {
        self.read_in_place(address)
    }

    /// An account in Borsh's encoding.
    pub fn read<T: AccountDeserialize>(&self, address: &Pubkey) -> T {
        T::try_deserialize(&mut self.chain.account(address).unwrap().data.as_slice()).unwrap()
    }

    fn read_in_place<T: Pod>(&self, address: &Pubkey) -> T {
        bytemuck::pod_read_unaligned(&self.chain.account(address).unwrap().data[HEAD..])
    }

    /// Changes a vault as no instruction could.
    pub fn edit_vault(&mut self, address: &Pubkey, edit: impl FnOnce(&mut state::VaultWithKeys)) {
        let mut account = self.chain.account(address).unwrap();
        let mut vault = state::VaultWithKeys::read(&account.data).unwrap();
        edit(&mut vault);
        account.data = vault.to_bytes();
        self.chain.set_account(address, account);
    }

    /// Changes an offer as no instruction could.
    pub fn edit_offer(&mut self, address: &Pubkey, edit: impl FnOnce(&mut state::Offer)) {
        self.edit_in_place(address, edit);
    }

    fn edit_in_place<T: Pod>(&mut self, address: &Pubkey, edit: impl FnOnce(&mut T)) {
        let mut account = self.chain.account(address).unwrap();
        let mut value = bytemuck::pod_read_unaligned(&account.data[HEAD..]);
        edit(&mut value);
        account.data[HEAD..].copy_from_slice(bytemuck::bytes_of(&value));
        self.chain.set_account(address, account);
    }

    /// Changes an account in Borsh's encoding as no instruction could.
    pub fn edit<T: AccountDeserialize + AccountSerialize>(&mut self, address: &Pubkey, edit: impl FnOnce(&mut T)) {
        let mut account = self.chain.account(address).unwrap();
        let mut value = T::try_deserialize(&mut account.data.as_slice()).unwrap();
        edit(&mut value);
        let len = account.data.len();
        let mut data = Vec::with_capacity(len);
        value.try_serialize(&mut data).unwrap();
        data.resize(len, 0);
        account.data = data;
        self.chain.set_account(address, account);
    }
}
