//! Who may call: the authority of the offer's provider. Nothing that was served is lost: the offer closes only once none of
//! its versions can settle, and whoever paid the rent gets exactly that back.

use crate::error::SteamError;
use crate::events::OfferClosed;
use crate::rent;
use crate::state::{Offer, Provider};
use anchor_lang::prelude::*;

/// Accounts of `close_offer`.
#[derive(Accounts)]
pub struct CloseOffer<'info> {
    /// The provider's authority, who gets all lamports but those that are somebody else's rent.
    #[account(mut)]
    pub authority: Signer<'info>,
    /// Who paid the rent: gets exactly that.
    /// CHECK: the address the offer names.
    #[account(mut)]
    pub rent_payer: UncheckedAccount<'info>,
    /// The provider's account, which counts its offers.
    #[account(mut, has_one = authority @ SteamError::NotAuthority)]
    pub provider: Box<Account<'info, Provider>>,
    /// The offer's account.
    #[account(
        mut,
        has_one = provider @ SteamError::NotAuthority,
        has_one = rent_payer @ SteamError::NotRentPayer
    )]
    pub offer: AccountLoader<'info, Offer>,
}

impl CloseOffer<'_> {
    /// Closes the account.
    pub(crate) fn handle(&mut self) -> Result<()> {
        let (last_version, rent_paid) = {
            let offer = self.offer.load()?;
            offer.check_close(&Clock::get()?)?;
            (offer.last_version, offer.rent_paid)
        };
        self.provider.remove_offer()?;
        rent::pay_out(self.offer.as_ref(), (&self.rent_payer, rent_paid), &self.authority)?;
        self.offer.close(self.authority.to_account_info())?;
        emit!(OfferClosed { offer: self.offer.key(), provider: self.provider.key(), last_version });
        Ok(())
    }
}
