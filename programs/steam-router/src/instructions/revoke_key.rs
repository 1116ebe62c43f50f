//! Who may call: the vault's owner; with the relayer's settler, the key ends at once. What the key signed settles within
//! `revoke_grace`, and only the settler, who would lose by it, can give that grace up.

use crate::error::SteamError;
use crate::events::KeyEnded;
use crate::state::{Config, Relayer, Vault, VaultMut};
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
        let vault = self.vault.to_account_info();
        let mut data = vault.try_borrow_mut_data()?;
        let mut opened = VaultMut::of(&mut data)?;
        let key = opened.key_mut(slot)?;
        key.revoke(&Clock::get()?, self.config.delays.revoke_grace, self.settler.is_some())?;
        emit!(KeyEnded { vault: vault.key(), key: key.key, slot, epoch: key.epoch, settle_until: key.settle_until });
        Ok(())
    }
}
