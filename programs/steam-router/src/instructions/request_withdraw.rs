//! Who may call: the vault's owner. It moves nothing; it starts the delay after which the owner may.

use crate::error::SteamError;
use crate::events::WithdrawalRequested;
use crate::state::{Config, Vault};
use anchor_lang::prelude::*;

/// Accounts of `request_withdraw`.
#[derive(Accounts)]
pub struct RequestWithdraw<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl RequestWithdraw<'_> {
    /// Writes the request.
    pub(crate) fn handle(&mut self, amount: u64) -> Result<()> {
        let mut vault = self.vault.load_mut()?;
        vault.request_withdrawal(amount, &Clock::get()?, self.config.delays.withdraw_delay)?;
        emit!(WithdrawalRequested { vault: self.vault.key(), amount, unlock_at: vault.unlock_at });
        Ok(())
    }
}
