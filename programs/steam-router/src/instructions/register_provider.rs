//! Who may call: anybody, as the authority of its own provider, with whoever pays the rent. The address follows from the
//! authority, so nobody registers for another; a provider only describes itself and touches nobody's money.

use crate::error::SteamError;
use crate::events::ProviderRegistered;
use crate::rent;
use crate::state::{Config, Provider, Status, check_url};
use crate::token::{associated, make_associated};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token};
use steam_protocol::seeds;

/// Accounts of `register_provider`.
#[derive(Accounts)]
pub struct RegisterProvider<'info> {
    /// Posts offers and withdraws the earnings.
    pub authority: Signer<'info>,
    /// Pays the rent, and gets back at closing exactly what it paid.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// The provider's account.
    /// CHECK: made here; its address follows from the authority.
    #[account(mut, seeds = [seeds::PROVIDER, authority.key().as_ref()], bump)]
    pub provider: UncheckedAccount<'info>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Where earnings go. Anybody may have made it already; only the program can close it, with the provider.
    /// CHECK: made here, unless it is there; its address follows from the provider.
    #[account(mut, constraint = token.key() == associated(&provider.key(), &mint.key()) @ SteamError::OfferTokenMismatch)]
    pub token: UncheckedAccount<'info>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Makes token accounts.
    pub associated_token_program: Program<'info, AssociatedToken>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl RegisterProvider<'_> {
    /// Makes both accounts and writes the provider.
    pub(crate) fn handle(&mut self, name: String, url: String, bump: u8) -> Result<()> {
        let clock = Clock::get()?;
        let authority = self.authority.key();
        let (payer, provider) = (self.payer.to_account_info(), self.provider.to_account_info());
        let seeds: [&[u8]; 3] = [seeds::PROVIDER, authority.as_ref(), &[bump]];
        let rent_paid = rent::create(&payer, &provider, 8 + Provider::INIT_SPACE, &seeds)?;
        let mint = self.mint.to_account_info();
        let token_rent_paid = make_associated(&payer, &provider, &self.token, &mint, &self.system_program)?;
        self.config.require_running(&clock)?;
        Provider::check_name(&name)?;
        check_url(&url)?;
        let registered = Provider {
            authority,
            token: self.token.key(),
            rent_payer: payer.key(),
            rent_paid,
            token_rent_paid,
            registered_slot: clock.slot,
            offers: 0,
            status: Status::Active,
            status_before: Status::Active,
            bump,
            _reserved: [0; 63],
            name: name.clone(),
            url: url.clone(),
        };
        let mut data = provider.try_borrow_mut_data()?;
        registered.try_serialize(&mut &mut data[..])?;
        emit!(ProviderRegistered { provider: provider.key(), authority, name, url });
        Ok(())
    }
}
