//! Who may call: the vault's owner. The request is at least `withdraw_delay` old, so the relayer could settle what it had
//! served, and the money goes where the owner signs for.

use crate::error::SteamError;
use crate::events::WithdrawalExecuted;
use crate::state::Vault;
use crate::token::Transfer;
use anchor_lang::prelude::*;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `execute_withdraw`. The settings are not among them: nothing there can keep an owner from leaving.
#[derive(Accounts)]
pub struct ExecuteWithdraw<'info> {
    /// The vault's owner.
    pub owner: Signer<'info>,
    /// The vault's account.
    #[account(mut, has_one = owner @ SteamError::NotOwner, has_one = token @ SteamError::VaultTokenMismatch)]
    pub vault: AccountLoader<'info, Vault>,
    /// Where the money is.
    #[account(mut)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Where it goes: any other token account of the mint, as the owner signs.
    #[account(
        mut,
        constraint = destination.mint == token.mint && destination.key() != token.key() @ SteamError::InvalidDestination
    )]
    pub destination: Box<Account<'info, TokenAccount>>,
    /// USDC.
    #[account(address = token.mint)]
    pub mint: Box<Account<'info, Mint>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
}

impl ExecuteWithdraw<'_> {
    /// Moves the money.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let (amount, owner, relayer, bump) = {
            let mut vault = self.vault.load_mut()?;
            let amount = vault.execute_withdrawal(self.token.amount, &Clock::get()?)?;
            (amount, vault.owner, vault.relayer, [vault.bump])
        };
        let vault = self.vault.to_account_info();
        Transfer::new(self.mint.to_account_info())?.pay(
            &self.token.to_account_info(),
            &self.destination.to_account_info(),
            &vault,
            &[seeds::VAULT, owner.as_ref(), relayer.as_ref(), &bump],
            amount,
        )?;
        emit!(WithdrawalExecuted { vault: vault.key(), destination: self.destination.key(), amount });
        Ok(())
    }
}
