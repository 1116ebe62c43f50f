//! Who may call: the authority of the offer's provider. What was served still settles within `price_grace`.

use crate::error::SteamError;
use crate::events::OfferWithdrawn;
use crate::state::{Config, Offer, Provider};
use anchor_lang::prelude::*;

/// Accounts of `retire_offer`.
#[derive(Accounts)]
pub struct RetireOffer<'info> {
    /// The provider's authority.
    pub authority: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The provider's account.
    #[account(has_one = authority @ SteamError::NotAuthority)]
    pub provider: Box<Account<'info, Provider>>,
    /// The offer's account.
    #[account(mut, has_one = provider @ SteamError::NotAuthority)]
    pub offer: AccountLoader<'info, Offer>,
}

impl RetireOffer<'_> {
    /// Changes the status.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let mut offer = self.offer.load_mut()?;
        offer.retire(&Clock::get()?, self.config.delays.price_grace)?;
        emit!(OfferWithdrawn { offer: self.offer.key(), settle_until: offer.settle_until });
        Ok(())
    }
}
