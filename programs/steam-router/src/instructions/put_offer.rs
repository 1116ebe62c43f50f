//! Who may call: the provider's authority, with whoever pays the rent of a new offer. The offer's address follows from
//! provider and model, so no provider writes another's; a dearer price waits for its notice, so no quote gets dearer after
//! the fact.

use crate::error::SteamError;
use crate::events::OfferPut;
use crate::rent;
use crate::state::{Config, Making, Offer, OfferTerms, PriceChange, Provider};
use anchor_lang::prelude::*;
use anchor_lang::system_program;
use steam_protocol::seeds;

/// Accounts of `put_offer`.
#[derive(Accounts)]
#[instruction(model: String)]
pub struct PutOffer<'info> {
    /// The provider's authority.
    pub authority: Signer<'info>,
    /// Pays the rent of a new offer, and gets back at closing exactly what it paid.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// The provider's account, which counts its offers.
    #[account(mut, has_one = authority @ SteamError::NotAuthority)]
    pub provider: Box<Account<'info, Provider>>,
    /// The offer's account.
    /// CHECK: made here, or an offer: its address follows from the provider and the model.
    #[account(mut, seeds = [seeds::OFFER, provider.key().as_ref(), &seeds::model_hash(&model)[..]], bump)]
    pub offer: UncheckedAccount<'info>,
    /// Makes accounts.
    pub system_program: Program<'info, System>,
}

impl PutOffer<'_> {
    /// Posts the terms.
    pub(crate) fn handle(&mut self, model: &str, terms: &OfferTerms, bump: u8) -> Result<()> {
        let clock = Clock::get()?;
        self.config.require_running(&clock)?;
        self.provider.require_active()?;
        let (change, version) = if *self.offer.owner == system_program::ID {
            self.make(model, terms, bump, &clock)?
        } else {
            self.change(model, terms, &clock)?
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

    fn make(&mut self, model: &str, terms: &OfferTerms, bump: u8, clock: &Clock) -> Result<(PriceChange, u32)> {
        let (payer, offer) = (self.payer.to_account_info(), self.offer.to_account_info());
        let (provider, token) = (self.provider.key(), self.provider.token);
        let hash = seeds::model_hash(model);
        let seeds: [&[u8]; 4] = [seeds::OFFER, provider.as_ref(), &hash, &[bump]];
        let rent_paid = rent::create(&payer, &offer, 8 + size_of::<Offer>(), &seeds)?;
        self.provider.add_offer()?;
        let mut data = offer.try_borrow_mut_data()?;
        data[..Offer::DISCRIMINATOR.len()].copy_from_slice(Offer::DISCRIMINATOR);
        let made = Offer::of(&mut data)?;
        made.create(&Making { provider, token, rent_payer: payer.key(), rent_paid, bump }, model, terms, clock)?;
        Ok((PriceChange::Now, made.last_version))
    }

    /// At an address that follows from provider and model there is an offer, or nothing of this program.
    fn change(&mut self, model: &str, terms: &OfferTerms, clock: &Clock) -> Result<(PriceChange, u32)> {
        let offer = self.offer.to_account_info();
        require_keys_eq!(*offer.owner, crate::ID, ErrorCode::AccountOwnedByWrongProgram);
        let mut data = offer.try_borrow_mut_data()?;
        let known = Offer::of(&mut data)?;
        let delays = &self.config.delays;
        let change = known.update(model, terms, clock, (delays.price_notice, delays.price_grace))?;
        Ok((change, known.last_version))
    }
}
