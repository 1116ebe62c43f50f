use crate::error::SteamError;
use crate::events::OfferPut;
use crate::state::{Config, Offer, OfferTerms, PriceChange, Provider};
use anchor_lang::prelude::*;
use steam_protocol::seeds;

/// Accounts of `put_offer`.
#[derive(Accounts)]
#[instruction(model: String)]
pub struct PutOffer<'info> {
    /// The provider's authority.
    pub authority: Signer<'info>,
    /// Pays the rent of a new offer.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The provider's account.
    #[account(has_one = authority @ SteamError::NotAuthority)]
    pub provider: Box<Account<'info, Provider>>,
    /// The offer's account.
    #[account(
        init_if_needed,
        payer = payer,
        space = 8 + size_of::<Offer>(),
        seeds = [seeds::OFFER, provider.key().as_ref(), &seeds::model_hash(&model)[..]],
        bump
    )]
    pub offer: AccountLoader<'info, Offer>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl PutOffer<'_> {
    /// Posts the terms.
    pub(crate) fn handle(&mut self, model: &str, terms: &OfferTerms, bump: u8) -> Result<()> {
        let clock = Clock::get()?;
        self.config.require_running(&clock)?;
        self.provider.require_active()?;
        let (change, version) = if self.is_new()? {
            let mut offer = self.offer.load_init()?;
            offer.create(self.provider.key(), self.provider.token, model, bump, terms, &clock)?;
            (PriceChange::Now, offer.last_version)
        } else {
            let mut offer = self.offer.load_mut()?;
            let delays = &self.config.delays;
            (offer.update(terms, &clock, delays.price_notice, delays.price_grace)?, offer.last_version)
        };
        emit!(OfferPut {
            offer: self.offer.key(),
            provider: self.provider.key(),
            model: model.into(),
            terms: *terms,
            change,
            version,
        });
        Ok(())
    }

    /// Whether the account has just been made: it has no discriminator yet.
    fn is_new(&self) -> Result<bool> {
        Ok(self.offer.as_ref().try_borrow_data()?.iter().take(Offer::DISCRIMINATOR.len()).all(|byte| *byte == 0))
    }
}
