//! Who may call: the provider's authority. The dollars go to the provider's earnings and nowhere else; the authority gets
//! the rent of the account that is closed.

use crate::error::SteamError;
use crate::events::Recovered;
use crate::state::Provider;
use crate::token::{Nested, associated};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `recover_nested_earnings`: as [`super::RecoverNested`], for a provider.
#[derive(Accounts)]
pub struct RecoverNestedEarnings<'info> {
    /// The provider's authority, who gets the rent of the account that is closed.
    #[account(mut)]
    pub authority: Signer<'info>,
    /// The provider's account.
    #[account(mut, has_one = authority @ SteamError::NotAuthority, has_one = token)]
    pub provider: Box<Account<'info, Provider>>,
    /// The provider's earnings, where the dollars go.
    #[account(mut)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Where the dollars are.
    #[account(mut, constraint = nested.key() == associated(&token.key(), &token.mint) @ SteamError::NotNested)]
    pub nested: Box<Account<'info, TokenAccount>>,
    /// USDC.
    #[account(address = token.mint)]
    pub mint: Box<Account<'info, Mint>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Signs for the provider's token account.
    pub associated_token_program: Program<'info, AssociatedToken>,
}

impl RecoverNestedEarnings<'_> {
    /// Moves the dollars, closes the account and gives its rent to the authority.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let (authority, bump) = (self.provider.authority, [self.provider.bump]);
        let (provider, amount) = (self.provider.to_account_info(), self.nested.amount);
        Nested {
            nested: self.nested.to_account_info(),
            token: self.token.to_account_info(),
            mint: self.mint.to_account_info(),
            holder: provider.clone(),
            token_program: self.token_program.to_account_info(),
        }
        .recover(&[seeds::PROVIDER, authority.as_ref(), &bump], &self.authority)?;
        emit!(Recovered { account: provider.key(), mint: self.mint.key(), destination: self.token.key(), amount });
        Ok(())
    }
}
