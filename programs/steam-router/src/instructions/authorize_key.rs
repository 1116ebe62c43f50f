use crate::error::SteamError;
use crate::events::KeyAuthorized;
use crate::state::{Config, KeyGrant, Vault};
use anchor_lang::prelude::*;

/// Accounts of `authorize_key`.
#[derive(Accounts)]
pub struct AuthorizeKey<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The session key: it signs, so that nobody squats another's.
    pub session_key: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl AuthorizeKey<'_> {
    /// Writes the key.
    pub(crate) fn handle(&mut self, slot: u8, grant: &KeyGrant) -> Result<()> {
        let key = self.session_key.key();
        let grace = self.config.delays.revoke_grace;
        let epoch = self.vault.load_mut()?.authorize(slot, key, grant, grace, &Clock::get()?)?;
        emit!(KeyAuthorized { vault: self.vault.key(), key, slot, epoch, grant: *grant });
        Ok(())
    }
}
