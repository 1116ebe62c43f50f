//! Who may call: the provider's authority. Nothing is lost: a provider closes only without offers and without earnings, and
//! whoever paid the rent gets exactly that back. A suspended one stays, so that registering again ends no suspension.

use crate::error::SteamError;
use crate::events::ProviderClosed;
use crate::rent;
use crate::state::Provider;
use crate::token;
use anchor_lang::prelude::*;
use anchor_spl::token::{Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `close_provider`.
#[derive(Accounts)]
pub struct CloseProvider<'info> {
    /// The provider's authority, who gets all lamports but those that are somebody else's rent.
    #[account(mut)]
    pub authority: Signer<'info>,
    /// Who paid the rent: gets exactly that.
    /// CHECK: the address the provider names.
    #[account(mut)]
    pub rent_payer: UncheckedAccount<'info>,
    /// The provider's account.
    #[account(
        mut,
        has_one = authority @ SteamError::NotAuthority,
        has_one = rent_payer @ SteamError::NotRentPayer,
        has_one = token @ SteamError::OfferTokenMismatch
    )]
    pub provider: Box<Account<'info, Provider>>,
    /// Where the earnings were.
    #[account(mut)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Closes token accounts.
    pub token_program: Program<'info, Token>,
}

impl CloseProvider<'_> {
    /// Closes both accounts.
    pub(crate) fn handle(&mut self) -> Result<()> {
        self.provider.check_close(self.token.amount)?;
        let (authority, bump) = (self.provider.authority, [self.provider.bump]);
        let rent_paid = self.provider.rent_paid.saturating_add(self.provider.token_rent_paid);
        let (provider, token) = (self.provider.to_account_info(), self.token.to_account_info());
        token::close(&token, &provider, &provider, &[seeds::PROVIDER, authority.as_ref(), &bump])?;
        rent::pay_out(&provider, (&self.rent_payer, rent_paid), &self.authority)?;
        self.provider.close(self.authority.to_account_info())?;
        emit!(ProviderClosed { provider: provider.key(), authority });
        Ok(())
    }
}
