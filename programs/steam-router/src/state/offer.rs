//! What a provider serves and at which price. Prices roll by the clock, so that settlement only reads them.

use super::number::Prices;
use super::time::{Deadline, Delay};
use crate::error::SteamError;
use anchor_lang::prelude::*;
use steam_protocol::seeds::{MAX_MODEL_BYTES, is_model_name, is_reserved};
use steam_protocol::units::Tariff;

/// An offer: `[offer, provider, sha256(model in lower case)]`.
#[account(zero_copy)]
#[derive(Debug)]
pub struct Offer {
    /// The provider's account.
    pub provider: Pubkey,
    /// Where settlement pays: the provider's token account.
    pub token: Pubkey,
    /// Who paid the rent and gets it back.
    pub rent_payer: Pubkey,
    /// The model's name as it was posted last, padded with zeros.
    pub model: [u8; 64],
    /// What held before `current`.
    pub previous: PricePoint,
    /// What holds, unless `next` has taken effect.
    pub current: PricePoint,
    /// What was announced; version 0 is none.
    pub next: PricePoint,
    /// Until when `previous` still settles.
    pub previous_until: Deadline,
    /// Until when `current` still settles once `next` took effect.
    pub current_until: Deadline,
    /// The moment of retirement.
    pub retired_at: Deadline,
    /// Until when a retired offer settles.
    pub settle_until: Deadline,
    /// Lamports that `rent_payer` paid.
    pub rent_paid: u64,
    /// See [`steam_protocol::capability`].
    pub capabilities: u64,
    /// The highest version ever given.
    pub last_version: u32,
    /// Most tokens of prompt and answer together.
    pub context_limit: u32,
    /// Most tokens of an answer.
    pub output_limit: u32,
    /// An [`OfferStatus`].
    pub status: u8,
    /// Bytes of `model` in use.
    pub model_len: u8,
    /// Of the address.
    pub bump: u8,
    /// Zero.
    pub _padding: [u8; 1],
    /// Zero, for later versions.
    pub _reserved: [u8; 64],
}

const _: () = assert!(size_of::<Offer>() == 680);

/// A price and its place in time.
#[zero_copy]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PricePoint {
    /// The price.
    pub price: Prices,
    /// The price of a request whose prompt has more than `long_from` tokens.
    pub long_price: Prices,
    /// When both take or took effect.
    pub from: Deadline,
    /// Their version, from 1; 0 is no price.
    pub version: u32,
    /// Most tokens of a prompt at `price`; 0: there is no other price.
    pub long_from: u32,
}

const _: () = assert!(size_of::<PricePoint>() == 120);

/// Values of [`Offer::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OfferStatus {
    /// Serves.
    Listed = 1,
    /// Does not serve any more, but settles until `settle_until`.
    Retired = 2,
}

/// What a provider posts.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferTerms {
    /// The price.
    pub price: Prices,
    /// Most tokens of a prompt at this price; 0: there is no other price.
    pub long_from: u32,
    /// The price of a request with a longer prompt, no component below `price`; zero if there is none.
    pub long_price: Prices,
    /// Most tokens of prompt and answer together.
    pub context_limit: u32,
    /// Most tokens of an answer; at most `context_limit`.
    pub output_limit: u32,
    /// See [`steam_protocol::capability`]. Bits without a meaning are kept.
    pub capabilities: u64,
}

/// What is known of an offer when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// The provider's account.
    pub provider: Pubkey,
    /// Where settlement pays.
    pub token: Pubkey,
    /// Who pays the rent.
    pub rent_payer: Pubkey,
    /// Lamports paid.
    pub rent_paid: u64,
    /// Of the address.
    pub bump: u8,
}

/// What became of a posted price.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceChange {
    /// It is what already holds; an announced rise is withdrawn.
    Unchanged,
    /// It holds from now on.
    Now,
    /// It holds after its notice.
    Announced,
}

impl OfferTerms {
    /// The prices.
    pub fn tariff(&self) -> Tariff {
        Tariff { standard: self.price.into(), long_from: self.long_from, long: self.long_price.into() }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`SteamError::InvalidPrice`], [`SteamError::InvalidLongPrice`], [`SteamError::InvalidLimits`]
    pub fn validate(&self) -> Result<()> {
        let tariff = self.tariff();
        require!(tariff.standard.is_valid(), SteamError::InvalidPrice);
        require!(tariff.is_valid(), SteamError::InvalidLongPrice);
        require!(self.output_limit <= self.context_limit, SteamError::InvalidLimits);
        Ok(())
    }
}

impl PricePoint {
    fn new(terms: &OfferTerms, version: u32, from: Deadline) -> Self {
        let OfferTerms { price, long_from, long_price, .. } = *terms;
        Self { price, long_price, from, version, long_from }
    }

    /// The prices.
    pub fn tariff(&self) -> Tariff {
        Tariff { standard: self.price.into(), long_from: self.long_from, long: self.long_price.into() }
    }
}

impl Offer {
    /// Whether it serves.
    pub fn is_listed(&self) -> bool {
        self.status == OfferStatus::Listed as u8
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        let bytes = self.model.get(..usize::from(self.model_len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The offer in the data of an account whose discriminator was checked.
    ///
    /// # Errors
    /// Anchor's `AccountDidNotDeserialize` if the data is too short.
    pub fn of(data: &mut [u8]) -> Result<&mut Self> {
        let body = data.get_mut(8..8 + size_of::<Self>()).ok_or(ErrorCode::AccountDidNotDeserialize)?;
        bytemuck::try_from_bytes_mut(body).map_err(|_| ErrorCode::AccountDidNotDeserialize.into())
    }

    /// Writes what never changes, and the first price, which holds at once. Its version is the second of its making: a
    /// closed offer that is made anew repeats no version, as [`Self::check_close`] sees to.
    ///
    /// # Errors
    /// [`SteamError::InvalidModel`], [`SteamError::ReservedModel`], [`SteamError::VersionOverflow`] and those of
    /// [`OfferTerms::validate`]
    pub fn create(&mut self, making: &Making, model: &str, terms: &OfferTerms, clock: &Clock) -> Result<()> {
        check_model(model)?;
        terms.validate()?;
        let version = u32::try_from(clock.unix_timestamp.max(1)).map_err(|_| SteamError::VersionOverflow)?;
        self.provider = making.provider;
        self.token = making.token;
        self.rent_payer = making.rent_payer;
        self.rent_paid = making.rent_paid;
        self.bump = making.bump;
        self.status = OfferStatus::Listed as u8;
        self.current = PricePoint::new(terms, version, Deadline::now(clock));
        self.last_version = version;
        self.describe(model, terms);
        Ok(())
    }

    /// Posts new terms: a price by which no request costs more holds at once, another after `notice`; so does any price
    /// when the offer was retired. What a price replaces settles for `grace`. Posting the price that holds only
    /// withdraws an announced one.
    ///
    /// # Errors
    /// [`SteamError::InvalidModel`], [`SteamError::ReservedModel`], [`SteamError::PriceGraceRunning`],
    /// [`SteamError::VersionOverflow`] and those of [`OfferTerms::validate`]
    pub fn update(
        &mut self,
        model: &str,
        terms: &OfferTerms,
        clock: &Clock,
        (notice, grace): (Delay, Delay),
    ) -> Result<PriceChange> {
        check_model(model)?;
        terms.validate()?;
        self.roll(clock);
        let relisted = !self.is_listed();
        let (posted, holds) = (terms.tariff(), self.current.tariff());
        let change = if !relisted && posted == holds {
            self.next = PricePoint::default();
            PriceChange::Unchanged
        } else {
            require!(self.previous_until.passed(clock), SteamError::PriceGraceRunning);
            let version = self.last_version.checked_add(1).ok_or(SteamError::VersionOverflow)?;
            let now = Deadline::now(clock);
            let change = if relisted || !posted.within(&holds) {
                self.next = PricePoint::new(terms, version, now.after(notice));
                self.current_until = self.next.from.after(grace);
                PriceChange::Announced
            } else {
                self.previous = self.current;
                self.previous_until = now.after(grace);
                self.current = PricePoint::new(terms, version, now);
                self.next = PricePoint::default();
                PriceChange::Now
            };
            self.last_version = version;
            change
        };
        self.status = OfferStatus::Listed as u8;
        self.retired_at = Deadline::default();
        self.settle_until = Deadline::default();
        self.describe(model, terms);
        Ok(change)
    }

    /// Stops serving; settles for `grace`.
    ///
    /// # Errors
    /// [`SteamError::OfferRetired`] if it already has
    pub fn retire(&mut self, clock: &Clock, grace: Delay) -> Result<()> {
        require!(self.is_listed(), SteamError::OfferRetired);
        self.status = OfferStatus::Retired as u8;
        self.retired_at = Deadline::now(clock);
        self.settle_until = self.retired_at.after(grace);
        Ok(())
    }

    /// The prices at which a charge that names `version` settles.
    ///
    /// # Errors
    /// [`SteamError::OfferRetired`] after its grace, [`SteamError::PriceOutdated`] if grace has passed and the price has
    /// risen since, [`SteamError::PriceFuture`] before its notice is over, [`SteamError::PriceUnknown`]
    pub fn price_for(&self, version: u32, clock: &Clock) -> Result<Tariff> {
        require!(self.is_listed() || !self.settle_until.passed(clock), SteamError::OfferRetired);
        require!(version != 0, SteamError::PriceUnknown);
        let rolled = self.next.version != 0 && self.next.from.passed(clock);
        let (previous, until, current) = if rolled {
            (&self.current, &self.current_until, &self.next)
        } else {
            (&self.previous, &self.previous_until, &self.current)
        };
        let holds = current.tariff();
        if version == current.version {
            return Ok(holds);
        }
        if version == previous.version {
            let quoted = previous.tariff();
            if !until.passed(clock) {
                return Ok(quoted);
            }
            require!(holds.within(&quoted), SteamError::PriceOutdated);
            return Ok(holds.in_place_of(&quoted));
        }
        require!(version != self.next.version, SteamError::PriceFuture);
        err!(SteamError::PriceUnknown)
    }

    /// Writes down what the clock has brought about.
    fn roll(&mut self, clock: &Clock) {
        if self.next.version != 0 && self.next.from.passed(clock) {
            self.previous = self.current;
            self.previous_until = self.current_until;
            self.current = self.next;
            self.next = PricePoint::default();
        }
    }

    /// Writes the name as it is spelt now, and what the offer can do.
    fn describe(&mut self, model: &str, terms: &OfferTerms) {
        const { assert!(MAX_MODEL_BYTES == 64) };
        self.model = [0; 64];
        self.model[..model.len()].copy_from_slice(model.as_bytes());
        self.model_len = model.len() as u8;
        self.context_limit = terms.context_limit;
        self.output_limit = terms.output_limit;
        self.capabilities = terms.capabilities;
    }

    /// Checks that the offer may close: it is retired, nothing of it can settle any more, and an offer made anew in its
    /// place has a higher version than any it had.
    ///
    /// # Errors
    /// [`SteamError::OfferListed`], [`SteamError::OfferStillSettles`], [`SteamError::VersionAhead`]
    pub fn check_close(&self, clock: &Clock) -> Result<()> {
        require!(!self.is_listed(), SteamError::OfferListed);
        require!(self.settle_until.passed(clock), SteamError::OfferStillSettles);
        require!(clock.unix_timestamp > self.last_version.into(), SteamError::VersionAhead);
        Ok(())
    }
}

/// Checks a model's name.
fn check_model(model: &str) -> Result<()> {
    require!(is_model_name(model), SteamError::InvalidModel);
    require!(!is_reserved(model), SteamError::ReservedModel);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use steam_protocol::units::{Price, Usage};

    const MODEL: &str = "meta/llama";
    const NOTICE: Delay = Delay { seconds: 100, slots: 100 };
    const GRACE: Delay = Delay { seconds: 300, slots: 300 };

    fn clock(now: i64) -> Clock {
        Clock { unix_timestamp: now, slot: now as u64, ..Clock::default() }
    }

    fn terms(input: u64, output: u64) -> OfferTerms {
        let price = Price::basic(input, 0, output, 0).into();
        let long_price = Prices::default();
        OfferTerms { price, long_from: 0, long_price, context_limit: 8, output_limit: 4, capabilities: 0 }
    }

    fn offer(now: i64) -> Offer {
        let mut offer = Offer::zeroed();
        let making = Making {
            provider: Pubkey::default(),
            token: Pubkey::default(),
            rent_payer: Pubkey::default(),
            rent_paid: 7,
            bump: 1,
        };
        offer.create(&making, MODEL, &terms(10, 10), &clock(now)).unwrap();
        offer
    }

    fn update(offer: &mut Offer, now: i64, input: u64, output: u64) -> Result<PriceChange> {
        offer.update(MODEL, &terms(input, output), &clock(now), (NOTICE, GRACE))
    }

    #[track_caller]
    fn settles(offer: &Offer, now: i64, version: u32, expected: std::result::Result<u64, SteamError>) {
        // The first version is the second of the offer's making, 1000.
        assert_eq!(
            offer.price_for(999 + version, &clock(now)).map(|price| price.standard.input),
            expected.map_err(Into::into)
        );
    }

    #[test]
    fn layouts_are_what_the_specification_says() {
        use core::mem::offset_of;
        assert_eq!((size_of::<PricePoint>(), align_of::<Offer>()), (120, 8));
        assert_eq!(offset_of!(Offer, model), 96);
        assert_eq!(offset_of!(Offer, previous), 160);
        assert_eq!((offset_of!(PricePoint, long_price), offset_of!(PricePoint, from)), (48, 96));
        assert_eq!((offset_of!(PricePoint, version), offset_of!(PricePoint, long_from)), (112, 116));
        assert_eq!(offset_of!(Offer, next), 400);
        assert_eq!(offset_of!(Offer, previous_until), 520);
        assert_eq!(offset_of!(Offer, settle_until), 568);
        assert_eq!(offset_of!(Offer, rent_paid), 584);
        assert_eq!(offset_of!(Offer, last_version), 600);
        assert_eq!(offset_of!(Offer, status), 612);
        assert_eq!(offset_of!(Offer, bump), 614);
    }

    #[test]
    fn the_first_price_holds_at_once() {
        let offer = offer(1000);
        assert_eq!(offer.model(), "meta/llama");
        settles(&offer, 1000, 1, Ok(10));
        settles(&offer, 1000, 0, Err(SteamError::PriceUnknown));
        settles(&offer, 1000, 2, Err(SteamError::PriceUnknown));
    }

    #[test]
    fn a_rise_waits_for_its_notice_and_the_old_price_settles_within_grace() {
        let mut offer = offer(1000);
        // One component above is a rise, whatever the others do.
        assert_eq!(update(&mut offer, 2000, 5, 11), Ok(PriceChange::Announced));
        settles(&offer, 2099, 1, Ok(10));
        settles(&offer, 2099, 2, Err(SteamError::PriceFuture));
        settles(&offer, 2100, 2, Ok(5));
        settles(&offer, 2100, 1, Ok(10));
        settles(&offer, 2399, 1, Ok(10));
        settles(&offer, 2400, 1, Err(SteamError::PriceOutdated));
        assert_eq!(update(&mut offer, 2399, 1, 1), Err(SteamError::PriceGraceRunning.into()));
        assert_eq!(update(&mut offer, 2400, 1, 1), Ok(PriceChange::Now));
        settles(&offer, 2400, 3, Ok(1));
        settles(&offer, 2400, 2, Ok(5));
        settles(&offer, 2400, 1, Err(SteamError::PriceUnknown));
    }

    #[test]
    fn a_fall_holds_at_once_and_outlives_its_grace() {
        let mut offer = offer(1000);
        assert_eq!(update(&mut offer, 2000, 4, 4), Ok(PriceChange::Now));
        settles(&offer, 2000, 1, Ok(10));
        settles(&offer, 2000, 2, Ok(4));
        settles(&offer, 2299, 1, Ok(10));
        // No component is above what was quoted: the lower price settles for ever.
        settles(&offer, 2300, 1, Ok(4));
        assert_eq!(update(&mut offer, 2299, 20, 20), Err(SteamError::PriceGraceRunning.into()));
    }

    #[test]
    fn a_second_rise_replaces_the_first_and_the_price_that_holds_withdraws_it() {
        let mut offer = offer(1000);
        assert_eq!(update(&mut offer, 2000, 20, 20), Ok(PriceChange::Announced));
        assert_eq!(update(&mut offer, 2050, 30, 30), Ok(PriceChange::Announced));
        settles(&offer, 2149, 2, Err(SteamError::PriceUnknown));
        settles(&offer, 2149, 1, Ok(10));
        settles(&offer, 2150, 3, Ok(30));
        assert_eq!(update(&mut offer, 2149, 10, 10), Ok(PriceChange::Unchanged));
        settles(&offer, 9999, 3, Err(SteamError::PriceUnknown));
        settles(&offer, 9999, 1, Ok(10));
    }

    #[test]
    fn a_retired_offer_settles_within_grace_and_relisting_counts_as_a_rise() {
        let mut offer = offer(1000);
        offer.retire(&clock(2000), GRACE).unwrap();
        assert_eq!(offer.retire(&clock(2000), GRACE), Err(SteamError::OfferRetired.into()));
        settles(&offer, 2299, 1, Ok(10));
        settles(&offer, 2300, 1, Err(SteamError::OfferRetired));
        assert_eq!(update(&mut offer, 3000, 1, 1), Ok(PriceChange::Announced));
        settles(&offer, 3099, 1, Ok(10));
        settles(&offer, 3099, 2, Err(SteamError::PriceFuture));
        settles(&offer, 3100, 2, Ok(1));
    }

    fn long_terms(long_from: u32, factor: u64) -> OfferTerms {
        let plain = terms(10, 10);
        let long_price = Price::basic(10 * factor, 0, 10 * factor, 0).into();
        OfferTerms { long_from, long_price: if long_from == 0 { Prices::default() } else { long_price }, ..plain }
    }

    #[test]
    fn a_price_of_long_prompts_that_appears_begins_earlier_or_is_higher_is_a_rise() {
        // (what holds, what is posted, what becomes of it)
        for (holds, posted, change) in [
            ((0, 1), (100, 1), PriceChange::Announced),
            ((100, 2), (99, 2), PriceChange::Announced),
            ((100, 2), (100, 3), PriceChange::Announced),
            ((100, 2), (100, 2), PriceChange::Unchanged),
            ((100, 2), (101, 2), PriceChange::Now),
            ((100, 3), (100, 2), PriceChange::Now),
            ((100, 2), (0, 2), PriceChange::Now),
        ] {
            let mut offer = offer(1000);
            let mut post = |now, (from, factor)| {
                offer.update(MODEL, &long_terms(from, factor), &clock(now), (NOTICE, GRACE)).unwrap()
            };
            post(2000, holds);
            assert_eq!(post(3000, posted), change, "{holds:?} {posted:?}");
        }
    }

    #[test]
    fn a_long_prompt_settles_after_its_price_s_grace_for_no_more_than_was_quoted() {
        let usage = Usage { requests: 1, input: 101, ..Usage::default() };
        // (what follows, the price of a prompt of 101 tokens): longer prompts only are long ones now, or none are.
        for ((from, factor), cost) in [((100, 1), 1010), ((200, 2), 2020), ((0, 1), 1010)] {
            let mut offer = offer(1000);
            offer.update(MODEL, &long_terms(100, 2), &clock(2000), (NOTICE, GRACE)).unwrap();
            offer.update(MODEL, &long_terms(from, factor), &clock(3000), (NOTICE, GRACE)).unwrap();
            let settles = offer.price_for(1001, &clock(3400)).unwrap();
            assert!(settles.may_be_long(&usage), "{from}");
            assert_eq!(settles.charge(&usage).0, cost, "{from}");
        }
    }

    #[test]
    fn terms_have_bounds() {
        let valid = terms(10, 10);
        let price = |price| OfferTerms { price, ..valid };
        let long = |long_from, long_price| OfferTerms { long_from, long_price, ..valid };
        let cases = [
            (valid, None),
            (price(Prices { cached: 11, ..valid.price }), Some(SteamError::InvalidPrice)),
            (price(Prices { cache_write: 1_000_000_000_001, ..valid.price }), Some(SteamError::InvalidPrice)),
            (price(Prices { cache_write_long: 1_000_000_000_001, ..valid.price }), Some(SteamError::InvalidPrice)),
            // A price of long prompts needs a length to begin at, and is not below the other.
            (long(0, valid.price), Some(SteamError::InvalidLongPrice)),
            (long(1, Prices { output: 9, ..valid.price }), Some(SteamError::InvalidLongPrice)),
            (long(1, Prices { cached: 11, ..valid.price }), Some(SteamError::InvalidLongPrice)),
            (long(1, Prices { output: 1_000_000_000_001, ..valid.price }), Some(SteamError::InvalidLongPrice)),
            (long(1, valid.price), None),
            (price(Prices { request: 1_000_000_000_001, ..valid.price }), Some(SteamError::InvalidPrice)),
            (OfferTerms { output_limit: 9, ..valid }, Some(SteamError::InvalidLimits)),
            // What has no meaning yet is kept.
            (OfferTerms { capabilities: u64::MAX, ..valid }, None),
        ];
        for (terms, error) in cases {
            assert_eq!(terms.validate().err(), error.map(Into::into), "{terms:?}");
        }
    }

    #[test]
    fn an_offer_closes_once_nothing_of_it_settles_and_none_made_anew_repeats_a_version() {
        let mut offer = offer(1000);
        assert_eq!(offer.check_close(&clock(2000)), Err(SteamError::OfferListed.into()));
        offer.retire(&clock(2000), GRACE).unwrap();
        assert_eq!(offer.check_close(&clock(2299)), Err(SteamError::OfferStillSettles.into()));
        offer.check_close(&clock(2300)).unwrap();
        offer.last_version = 2300;
        assert_eq!(offer.check_close(&clock(2300)), Err(SteamError::VersionAhead.into()));
        offer.check_close(&clock(2301)).unwrap();
    }

    #[test]
    fn names_have_two_cases_and_no_reserved_ending() {
        let mut posted = offer(1000);
        posted.update("Meta/LLaMA", &terms(10, 10), &clock(2000), (NOTICE, GRACE)).unwrap();
        assert_eq!(posted.model(), "Meta/LLaMA");
        posted.update("meta/l", &terms(10, 10), &clock(2000), (NOTICE, GRACE)).unwrap();
        assert_eq!(posted.model(), "meta/l");
        for (name, error) in
            [("", SteamError::InvalidModel), ("a b", SteamError::InvalidModel), ("a:Free", SteamError::ReservedModel)]
        {
            let refused = posted.update(name, &terms(10, 10), &clock(2000), (NOTICE, GRACE));
            assert_eq!(refused, Err(error.into()), "{name}");
        }
    }
}
