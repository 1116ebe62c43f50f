//! Offers: prices with notice and grace, which roll by the clock.

use super::relayer::status;
use super::{Anchor, Checked, Kind, Rule, State, require};
use crate::cast::{Holder, Name, Wallet, address, bump, model_name};
use crate::op::{Charge, Price, Tariff, Terms};
use crate::time::{Deadline, Delays, Moment};
use borsh::{BorshDeserialize, BorshSerialize};
use steam_protocol::seeds::is_model_name;

/// The highest price component.
pub const MAX_PRICE: u64 = 1_000_000_000_000;
/// Bytes of the account.
pub const LEN: usize = 8 + 680;
/// `Offer.status` of a listed one.
pub const LISTED: u8 = 1;
/// `Offer.status` of a retired one.
pub const RETIRED: u8 = 2;

/// A price, when it began to hold, and its version; version 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct PricePoint {
    pub price: Price,
    pub long_price: Price,
    pub from: Deadline,
    pub version: u32,
    pub long_from: u32,
}

/// `Offer`, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Offer {
    pub provider: [u8; 32],
    pub token: [u8; 32],
    pub rent_payer: [u8; 32],
    pub model: [u8; 64],
    pub previous: PricePoint,
    pub current: PricePoint,
    pub next: PricePoint,
    pub previous_until: Deadline,
    pub current_until: Deadline,
    pub retired_at: Deadline,
    pub settle_until: Deadline,
    pub rent_paid: u64,
    pub capabilities: u64,
    pub last_version: u32,
    pub context_limit: u32,
    pub output_limit: u32,
    pub status: u8,
    pub model_len: u8,
    pub bump: u8,
    pub padding: [u8; 1],
    pub reserved: [u8; 64],
}

impl Tariff {
    fn has_valid_long_price(&self) -> bool {
        match self.long_from {
            0 => self.long_price == Price::default(),
            _ => is_valid(&self.long_price) && self.price.within(&self.long_price),
        }
    }

    /// The price of a charge, if it can be one of such prompts.
    ///
    /// # Errors
    /// `PromptsNotLong`.
    pub fn of(&self, charge: &Charge) -> Checked<Price> {
        if !charge.long {
            return Ok(self.price);
        }
        let least = u128::from(charge.requests) * (u128::from(self.long_from) + 1);
        require(self.long_from != 0 && u128::from(charge.prompt()) >= least, Rule::PromptsNotLong)?;
        Ok(self.long_price)
    }
}

impl PricePoint {
    fn new(tariff: Tariff, version: u32, from: Deadline) -> Self {
        let Tariff { price, long_from, long_price } = tariff;
        Self { price, long_price, from, version, long_from }
    }

    /// Its prices.
    pub fn tariff(&self) -> Tariff {
        Tariff { price: self.price, long_from: self.long_from, long_price: self.long_price }
    }
}

impl Offer {
    /// The offer by the clock.
    pub fn rolled(&self, now: Moment) -> Self {
        let mut offer = self.clone();
        if offer.next.version != 0 && now.is_past(offer.next.from) {
            (offer.previous, offer.previous_until) = (offer.current, offer.current_until);
            offer.current = offer.next;
            offer.drop_next();
        }
        offer
    }

    /// What a charge that names `version` pays.
    ///
    /// # Errors
    /// `OfferRetired`, `PriceOutdated`, `PriceFuture`, `PriceUnknown`.
    pub fn price_of(&self, version: u32, now: Moment) -> Checked<Tariff> {
        require(self.status != RETIRED || !now.is_past(self.settle_until), Rule::OfferRetired)?;
        let offer = self.rolled(now);
        require(version != 0, Rule::PriceUnknown)?;
        if version == offer.current.version {
            return Ok(offer.current.tariff());
        }
        if version == offer.previous.version {
            let (quoted, holds) = (offer.previous.tariff(), offer.current.tariff());
            if !now.is_past(offer.previous_until) {
                return Ok(quoted);
            }
            require(holds.within(&quoted), Rule::PriceOutdated)?;
            // What was a long prompt still is one, and costs no more than one of any length does now.
            let long_price = match (quoted.long_from, holds.long_from) {
                (0, _) => Price::default(),
                (_, 0) => holds.price,
                (_, _) => holds.long_price,
            };
            return Ok(Tariff { price: holds.price, long_from: quoted.long_from, long_price });
        }
        require(version != offer.next.version, Rule::PriceFuture)?;
        Err(Rule::PriceUnknown.into())
    }

    /// `current_until` stays: it means something only with a next price.
    fn drop_next(&mut self) {
        self.next = PricePoint::default();
    }

    fn put(&mut self, tariff: Tariff, delays: &Delays, now: Moment) -> Checked {
        *self = self.rolled(now);
        let retired = self.status == RETIRED;
        if tariff == self.current.tariff() && !retired {
            self.drop_next();
            return Ok(());
        }
        require(now.is_past(self.previous_until), Rule::PriceGraceRunning)?;
        self.last_version = self.last_version.checked_add(1).ok_or(Rule::VersionOverflow)?;
        let version = self.last_version;
        if tariff.within(&self.current.tariff()) && !retired {
            (self.previous, self.previous_until) = (self.current, now.plus(delays.price_grace));
            self.current = PricePoint::new(tariff, version, now.deadline());
            self.drop_next();
        } else {
            let from = now.plus(delays.price_notice);
            self.next = PricePoint::new(tariff, version, from);
            self.current_until = from.plus(delays.price_grace);
        }
        Ok(())
    }
}

impl State {
    pub(super) fn put_offer(
        &mut self,
        authority: Wallet,
        payer: Wallet,
        (provider, model): (u8, u8),
        text: &str,
        terms: Terms,
    ) -> Checked {
        let config = self.settings()?;
        self.is_there(Name::Provider(provider), Kind::Provider)?;
        let name = Name::Offer(provider, model);
        let known = self.providers.get(&provider).map(|known| (known.authority, known.status, known.token));
        let (entitled, state, token) = known.ok_or(Anchor::AccountNotInitialized)?;
        require(entitled == authority.address(), Rule::NotAuthority)?;
        require(text.eq_ignore_ascii_case(&model_name(model)), Anchor::ConstraintSeeds)?;
        self.running()?;
        require(state == status::ACTIVE, Rule::ProviderNotActive)?;
        require(is_model_name(text), Rule::InvalidModel)?;
        let ends = |suffix: &&str| text.to_ascii_lowercase().ends_with(suffix);
        require(![":floor", ":nitro", ":free", ":online"].iter().any(ends), Rule::ReservedModel)?;
        require(is_valid(&terms.tariff.price), Rule::InvalidPrice)?;
        require(terms.tariff.has_valid_long_price(), Rule::InvalidLongPrice)?;
        require(terms.output_limit <= terms.context_limit, Rule::InvalidLimits)?;
        let now = self.now;
        if !self.offers.contains_key(&(provider, model)) {
            let rent_paid = self.pay_rent(payer, name, LEN);
            // The second of its making.
            let version = u32::try_from(now.time).map_err(|_| Rule::VersionOverflow)?;
            let first = PricePoint::new(terms.tariff, version, now.deadline());
            self.providers.get_mut(&provider).ok_or(Anchor::AccountNotInitialized)?.offers += 1;
            let made = Offer {
                provider: address(Name::Provider(provider)),
                token,
                rent_payer: payer.address(),
                model: [0; 64],
                previous: PricePoint::default(),
                current: first,
                next: PricePoint::default(),
                previous_until: Deadline::default(),
                current_until: Deadline::default(),
                retired_at: Deadline::default(),
                settle_until: Deadline::default(),
                rent_paid,
                capabilities: 0,
                last_version: version,
                context_limit: 0,
                output_limit: 0,
                status: LISTED,
                model_len: 0,
                bump: bump(name),
                padding: [0; 1],
                reserved: [0; 64],
            };
            self.offers.insert((provider, model), made);
        }
        let offer = self.offers.get_mut(&(provider, model)).ok_or(Anchor::AccountNotInitialized)?;
        offer.put(terms.tariff, &config.delays, now)?;
        offer.status = LISTED;
        (offer.retired_at, offer.settle_until) = Default::default();
        (offer.context_limit, offer.output_limit) = (terms.context_limit, terms.output_limit);
        offer.capabilities = terms.capabilities;
        (offer.model, offer.model_len) = ([0; 64], text.len() as u8);
        offer.model[..text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    }

    pub(super) fn close_offer(&mut self, authority: Wallet, rent_payer: Wallet, provider: u8, name: Name) -> Checked {
        self.is_there(Name::Provider(provider), Kind::Provider)?;
        self.is_there(name, Kind::Offer)?;
        let Name::Offer(of, model) = name else { return Err(Anchor::AccountDiscriminatorMismatch.into()) };
        require(Wallet::Provider(provider) == authority, Rule::NotAuthority)?;
        require(of == provider, Rule::NotAuthority)?;
        let now = self.now;
        let offer = self.offers.get(&(of, model)).ok_or(Anchor::AccountNotInitialized)?.clone();
        require(offer.rent_payer == rent_payer.address(), Rule::NotRentPayer)?;
        require(offer.status == RETIRED, Rule::OfferListed)?;
        require(now.is_past(offer.settle_until), Rule::OfferStillSettles)?;
        require(now.time > i64::from(offer.last_version), Rule::VersionAhead)?;
        self.providers.get_mut(&provider).ok_or(Anchor::AccountNotInitialized)?.offers -= 1;
        self.offers.remove(&(of, model));
        self.empty(name, (rent_payer, offer.rent_paid), authority);
        Ok(())
    }

    pub(super) fn retire_offer(&mut self, authority: Wallet, provider: u8, offer: Name) -> Checked {
        let config = self.settings()?;
        self.is_there(Name::Provider(provider), Kind::Provider)?;
        self.is_there(offer, Kind::Offer)?;
        let Name::Offer(of, model) = offer else { return Err(Anchor::AccountDiscriminatorMismatch.into()) };
        require(Wallet::Provider(provider) == authority, Rule::NotAuthority)?;
        require(of == provider, Rule::NotAuthority)?;
        let now = self.now;
        let offer = self.offers.get_mut(&(of, model)).ok_or(Anchor::AccountNotInitialized)?;
        require(offer.status != RETIRED, Rule::OfferRetired)?;
        offer.status = RETIRED;
        offer.retired_at = now.deadline();
        offer.settle_until = now.plus(config.delays.price_grace);
        Ok(())
    }
}

/// Where an offer's earnings go.
pub fn earnings(provider: u8) -> Name {
    Name::Purse(Holder::Provider(provider).dollars())
}

fn is_valid(price: &Price) -> bool {
    price.cached <= price.input && price.components().iter().all(|component| *component <= MAX_PRICE)
}
