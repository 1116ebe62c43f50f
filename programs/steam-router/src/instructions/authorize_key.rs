//! Who may call: the vault's owner, with the session key and whoever pays. The owner alone says who may spend its money, and
//! the key's signature keeps others from taking its place in a vault. Only the vault's rent payer or its owner pays for
//! growth, so nobody else's lamports can be claimed back as rent.

use crate::error::SteamError;
use crate::events::KeyAuthorized;
use crate::rent;
use crate::state::{Config, KeyGrant, Vault, VaultMut};
use anchor_lang::prelude::*;
use steam_protocol::group::MAX_KEYS;

/// Accounts of `authorize_key`.
#[derive(Accounts)]
pub struct AuthorizeKey<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The session key: it signs, so that nobody squats another's.
    pub session_key: Signer<'info>,
    /// Pays the rent where the vault grows: who paid the vault's, or its owner.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
    /// Moves lamports.
    pub system_program: Program<'info, System>,
}

impl AuthorizeKey<'_> {
    /// Writes the key, where there is no room yet into the next slot.
    pub(crate) fn handle(&mut self, slot: u8, grant: &KeyGrant) -> Result<()> {
        let vault = self.vault.to_account_info();
        let capacity = Vault::capacity(vault.data_len());
        if usize::from(slot) == capacity && capacity < MAX_KEYS {
            let bytes = Vault::space(capacity + 1);
            let paid = rent::top_up(&self.payer, &vault, bytes)?;
            self.vault.load_mut()?.pay_growth(self.payer.key, paid)?;
            vault.resize(bytes)?;
        }
        let key = self.session_key.key();
        let grace = self.config.delays.revoke_grace;
        let mut data = vault.try_borrow_mut_data()?;
        let epoch = VaultMut::of(&mut data)?.authorize(slot, key, grant, grace, &Clock::get()?)?;
        emit!(KeyAuthorized { vault: vault.key(), key, slot, epoch, grant: *grant });
        Ok(())
    }
}
