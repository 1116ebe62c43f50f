use crate::error::SteamError;
use crate::events::KeyEnded;
use crate::state::{Config, Relayer, Vault};
use anchor_lang::prelude::*;

/// Accounts of `revoke_key`.
#[derive(Accounts)]
pub struct RevokeKey<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner, has_one = relayer @ SteamError::VaultRelayerMismatch)]
    pub vault: AccountLoader<'info, Vault>,
    /// The vault's relayer.
    pub relayer: Box<Account<'info, Relayer>>,
    /// The relayer's settler, if it agrees that nothing is left to settle.
    #[account(address = relayer.settler @ SteamError::NotSettler)]
    pub settler: Option<Signer<'info>>,
}

impl RevokeKey<'_> {
    /// Ends the key.
    pub(crate) fn handle(&mut self, slot: u8) -> Result<()> {
        let mut vault = self.vault.load_mut()?;
        let key = vault.key_mut(slot)?;
        key.revoke(&Clock::get()?, self.config.delays.revoke_grace, self.settler.is_some())?;
        emit!(KeyEnded {
            vault: self.vault.key(),
            key: key.key,
            slot,
            epoch: key.epoch,
            settle_until: key.settle_until,
        });
        Ok(())
    }
}
