//! Who may call: the provider's authority. The earnings are the provider's own; no other account's money can be the source.

use crate::error::SteamError;
use crate::events::EarningsWithdrawn;
use crate::state::{Config, Provider};
use crate::token::{Transfer, withdrawal};
use anchor_lang::prelude::*;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `withdraw_earnings`.
#[derive(Accounts)]
pub struct WithdrawEarnings<'info> {
    /// The provider's authority.
    pub authority: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// The provider's account.
    #[account(has_one = authority @ SteamError::NotAuthority, has_one = token)]
    pub provider: Box<Account<'info, Provider>>,
    /// Where the earnings are.
    #[account(mut)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Where they go: any other token account of the mint.
    #[account(
        mut,
        constraint = destination.mint == config.mint && destination.key() != token.key() @ SteamError::InvalidDestination
    )]
    pub destination: Box<Account<'info, TokenAccount>>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
}

impl WithdrawEarnings<'_> {
    /// Moves the earnings.
    pub(crate) fn handle(&mut self, amount: u64) -> Result<()> {
        let amount = withdrawal(amount, self.token.amount)?;
        let provider = self.provider.to_account_info();
        let seeds: [&[u8]; 3] = [seeds::PROVIDER, self.provider.authority.as_ref(), &[self.provider.bump]];
        Transfer::new(self.mint.to_account_info())?.pay(
            &self.token.to_account_info(),
            &self.destination.to_account_info(),
            &provider,
            &seeds,
            amount,
        )?;
        emit!(EarningsWithdrawn { account: provider.key(), destination: self.destination.key(), amount });
        Ok(())
    }
}
