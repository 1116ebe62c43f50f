//! Who may call: the vault's owner. The account keeps its rent, and no less than its payer is owed.

use crate::error::SteamError;
use crate::events::Recovered;
use crate::rent;
use crate::state::Vault;
use anchor_lang::prelude::*;

/// Accounts of `recover_lamports`.
#[derive(Accounts)]
pub struct RecoverLamports<'info> {
    /// The vault's owner, who gets them.
    #[account(mut)]
    pub owner: Signer<'info>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl RecoverLamports<'_> {
    /// Moves what the account holds beyond its rent.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let vault = self.vault.to_account_info();
        let kept = self.vault.load()?.lamports_kept(Rent::get()?.minimum_balance(vault.data_len()));
        let amount = vault.lamports().saturating_sub(kept);
        require!(amount > 0, SteamError::ZeroAmount);
        rent::give(&vault, &self.owner, amount)?;
        emit!(Recovered { account: vault.key(), mint: Pubkey::default(), destination: self.owner.key(), amount });
        Ok(())
    }
}
