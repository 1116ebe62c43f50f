//! Who may call: the vault's owner. A raise costs nobody but the owner; a cut waits for `revoke_grace` in settlement, so
//! what was served before it still settles.

use crate::error::SteamError;
use crate::events::KeyUpdated;
use crate::state::{Config, KeyLimits, Vault, VaultMut};
use anchor_lang::prelude::*;

/// Accounts of `update_key`.
#[derive(Accounts)]
pub struct UpdateKey<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl UpdateKey<'_> {
    /// Writes the limits.
    pub(crate) fn handle(&mut self, slot: u8, limits: &KeyLimits) -> Result<()> {
        let vault = self.vault.to_account_info();
        let mut data = vault.try_borrow_mut_data()?;
        let mut opened = VaultMut::of(&mut data)?;
        let key = opened.key_mut(slot)?;
        key.update(limits, self.config.delays.revoke_grace, &Clock::get()?)?;
        emit!(KeyUpdated {
            vault: vault.key(),
            key: key.key,
            slot,
            epoch: key.epoch,
            limits: *limits,
            former_until: key.former_until,
        });
        Ok(())
    }
}
