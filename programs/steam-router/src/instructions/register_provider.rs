use crate::events::ProviderRegistered;
use crate::state::{Config, Provider, Status, check_url};
use anchor_lang::prelude::*;
use anchor_spl::associated_token::AssociatedToken;
use anchor_spl::token::{Mint, Token, TokenAccount};
use steam_protocol::seeds;

/// Accounts of `register_provider`.
#[derive(Accounts)]
pub struct RegisterProvider<'info> {
    /// Posts offers and withdraws the earnings.
    pub authority: Signer<'info>,
    /// Pays the rent.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    #[account(has_one = mint)]
    pub config: Box<Account<'info, Config>>,
    /// The provider's account.
    #[account(
        init,
        payer = payer,
        space = 8 + Provider::INIT_SPACE,
        seeds = [seeds::PROVIDER, authority.key().as_ref()],
        bump
    )]
    pub provider: Box<Account<'info, Provider>>,
    /// USDC.
    pub mint: Box<Account<'info, Mint>>,
    /// Where earnings go. Anybody may have made it already; only the program could close it, and it never does.
    #[account(init_if_needed, payer = payer, associated_token::mint = mint, associated_token::authority = provider)]
    pub token: Box<Account<'info, TokenAccount>>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
    /// Makes token accounts.
    pub associated_token_program: Program<'info, AssociatedToken>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl RegisterProvider<'_> {
    /// Writes the provider.
    pub(crate) fn handle(&mut self, name: String, url: String, bump: u8) -> Result<()> {
        let clock = Clock::get()?;
        self.config.require_running(&clock)?;
        Provider::check_name(&name)?;
        check_url(&url)?;
        let authority = self.authority.key();
        self.provider.set_inner(Provider {
            authority,
            token: self.token.key(),
            registered_slot: clock.slot,
            status: Status::Active,
            bump,
            _reserved: [0; 64],
            name: name.clone(),
            url: url.clone(),
        });
        emit!(ProviderRegistered { provider: self.provider.key(), authority, name, url });
        Ok(())
    }
}
