//! Who may call: the vault's owner. It moves nothing, and only the owner's own request ends.

use crate::error::SteamError;
use crate::events::WithdrawalCancelled;
use crate::state::Vault;
use anchor_lang::prelude::*;

/// Accounts of `cancel_withdraw`.
#[derive(Accounts)]
pub struct CancelWithdraw<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl CancelWithdraw<'_> {
    /// Takes the request back.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let amount = self.vault.load_mut()?.cancel_withdrawal()?;
        emit!(WithdrawalCancelled { vault: self.vault.key(), amount });
        Ok(())
    }
}
