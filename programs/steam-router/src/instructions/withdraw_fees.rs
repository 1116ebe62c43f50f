//! Who may call: the relayer's authority. The fees are the relayer's own; no other account's money can be the source.

use crate::error::SteamError;
use crate::events::EarningsWithdrawn;
use crate::state::{Config, Relayer};
use crate::token::{Transfer, withdrawal};
use anchor_lang::prelude::*;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `withdraw_fees`.
#[derive(Accounts)]
pub struct WithdrawFees<'info> {
    /// The relayer's authority.
    pub authority: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// The relayer's account.
    #[account(has_one = authority @ SteamError::NotAuthority, has_one = fee_token)]
    pub relayer: Box<Account<'info, Relayer>>,
    /// Where the fees are.
    #[account(mut)]
    pub fee_token: Box<Account<'info, TokenAccount>>,
    /// Where they go: any other token account of the mint.
    #[account(
        mut,
        constraint = destination.mint == config.mint && destination.key() != fee_token.key() @ SteamError::InvalidDestination
    )]
    pub destination: Box<Account<'info, TokenAccount>>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
}

impl WithdrawFees<'_> {
    /// Moves the fees.
    pub(crate) fn handle(&mut self, amount: u64) -> Result<()> {
        let amount = withdrawal(amount, self.fee_token.amount)?;
        let relayer = self.relayer.to_account_info();
        let seeds: [&[u8]; 3] = [seeds::RELAYER, self.relayer.authority.as_ref(), &[self.relayer.bump]];
        Transfer::new(self.mint.to_account_info())?.pay(
            &self.fee_token.to_account_info(),
            &self.destination.to_account_info(),
            &relayer,
            &seeds,
            amount,
        )?;
        emit!(EarningsWithdrawn { account: relayer.key(), destination: self.destination.key(), amount });
        Ok(())
    }
}
