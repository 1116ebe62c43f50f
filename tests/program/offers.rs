//! Offers: what a provider may post, when a price takes effect, and at which price a quoted version settles.

use anchor_lang::error::ErrorCode;
use solana_signer::Signer;
use steam_protocol::capability;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::{OfferClosed, OfferPut, OfferWithdrawn};
use steam_router::state::{self, OfferTerms, PriceChange, Prices, Status};
use steam_tests::world::{DELAYS, MODEL, PRICE, terms};
use steam_tests::{Line, Market, Outcome, World, price, usage};

/// A price with one µUSDC a million tokens more for what is generated.
const HIGHER: Prices = Prices { output: PRICE.output + 1, ..PRICE };
/// The same with one less.
const LOWER: Prices = Prices { output: PRICE.output - 1, ..PRICE };

#[test]
fn a_first_price_holds_at_once() {
    let mut w = World::new();
    let provider = w.provider();
    let done = w.put_price(&provider, MODEL, PRICE).ok();
    let [event] = &done.events::<OfferPut>()[..] else { panic!("one event") };
    // The second of its making: no offer that is made anew repeats a version.
    let first = u32::try_from(w.now().time).unwrap();
    assert_eq!((event.model.as_str(), event.change, event.version), (MODEL, PriceChange::Now, first));
    let offer = w.offer(&steam::addresses::offer(&provider.address, MODEL));
    assert_eq!((offer.provider, offer.token, offer.model()), (provider.address, provider.token, MODEL));
    assert_eq!((offer.current.price, offer.current.version), (PRICE, first));
    assert!(offer.is_listed());
}

#[test]
fn a_model_has_a_name_within_bounds() {
    let mut w = World::new();
    let provider = w.provider();
    let long = "m".repeat(65);
    for model in ["", "a model", "модель", "a\0", long.as_str()] {
        w.put_price(&provider, model, PRICE).err(SteamError::InvalidModel);
    }
    for model in ["a:floor", "a:nitro", "a:free", "a:online", "A:FREE", ":free"] {
        w.put_price(&provider, model, PRICE).err(SteamError::ReservedModel);
    }
    for model in [&long[1..], "a", "GPT", "meta/llama-3.1_8b:freed", "free"] {
        w.put_price(&provider, model, PRICE).ok();
    }
}

#[test]
fn names_that_differ_in_case_are_one_offer_shown_as_it_was_posted_last() {
    let mut m = Market::open();
    let shouted = MODEL.to_ascii_uppercase();
    assert_eq!(steam::addresses::offer(&m.provider.address, &shouted), m.offer.address);
    m.world.put_price(&m.provider, &shouted, PRICE).ok();
    let offer = m.world.offer(&m.offer.address);
    assert_eq!((offer.model(), offer.last_version), (shouted.as_str(), m.offer.version));
    m.world.put_price(&m.provider, "META/llama-4:free", PRICE).err(SteamError::ReservedModel);
    m.world.put_price(&m.provider, MODEL, PRICE).ok();
    assert_eq!(m.world.offer(&m.offer.address).model(), MODEL);
}

#[test]
fn a_retired_offer_is_closed_once_nothing_of_it_can_settle() {
    let mut m = Market::open();
    let (provider, offer, payer) = (&m.provider, &m.offer, m.world.payer.pubkey());
    m.world.close_offer(provider, offer).err(SteamError::OfferListed);
    m.world.retire(provider, MODEL).ok();
    m.world.almost_pass(DELAYS.price_grace);
    for (seconds, slots) in [(0, 0), (1, 0), (-1, 1)] {
        m.world.advance(seconds, slots);
        m.world.close_offer(provider, offer).err(SteamError::OfferStillSettles);
    }
    m.world.advance(1, 0);
    let lamports = |m: &Market, at| m.world.account(at).map_or(0, |account| account.lamports);
    let (before, rent) = (lamports(&m, &payer), lamports(&m, &m.offer.address));
    let done = m.world.close_offer(&m.provider, &m.offer).ok();
    let [event] = &done.events::<OfferClosed>()[..] else { panic!("one event") };
    assert_eq!((event.offer, event.last_version), (m.offer.address, m.offer.version));
    assert!(m.world.account(&m.offer.address).is_none());
    // Who paid the rent has it back, and paid this transaction's two signatures.
    assert_eq!(lamports(&m, &payer), before + rent - 2 * 5_000);
    // Made anew it has another version, at which nothing that was quoted before settles.
    let again = m.world.list(&m.provider, MODEL, price(9_000_000, 0, 9_000_000, 0));
    assert!(again.version > m.offer.version);
    refused(&mut m, 1, SteamError::PriceUnknown);
}

#[test]
fn an_offer_whose_versions_are_ahead_of_the_clock_is_closed_later() {
    let mut m = Market::open();
    m.world.retire(&m.provider, MODEL).ok();
    m.world.pass(DELAYS.price_grace);
    let now = u32::try_from(m.world.now().time).unwrap();
    m.world.edit_offer(&m.offer.address, |offer| offer.last_version = now);
    m.world.close_offer(&m.provider, &m.offer).err(SteamError::VersionAhead);
    m.world.advance(1, 0);
    m.world.close_offer(&m.provider, &m.offer).ok();
}

#[test]
fn only_its_provider_closes_an_offer_and_the_rent_goes_to_who_paid_it() {
    let mut m = Market::open();
    m.world.retire(&m.provider, MODEL).ok();
    m.world.pass(DELAYS.price_grace);
    let rival = m.world.provider();
    let (authority, payer) = (m.provider.authority.pubkey(), m.world.payer.pubkey());
    let close = steam::instructions::close_offer(&authority, MODEL, &payer);
    let mut stolen = close.clone();
    stolen.accounts[0].pubkey = rival.authority.pubkey();
    m.world.run(&[stolen.clone()], &[&rival.authority]).err(SteamError::NotAuthority);
    stolen.accounts[2].pubkey = rival.address;
    m.world.run(&[stolen], &[&rival.authority]).err(SteamError::NotAuthority);
    let mut greedy = close;
    greedy.accounts[1].pubkey = authority;
    m.world.run(&[greedy], &[&m.provider.authority]).err(SteamError::NotRentPayer);
}

#[test]
fn a_provider_is_closed_without_offers_and_earnings_and_can_begin_anew() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    m.settle(&[group]).ok();
    m.world.close_provider(&m.provider).err(SteamError::ProviderHasOffers);
    m.world.retire(&m.provider, MODEL).ok();
    m.world.pass(DELAYS.price_grace);
    m.world.close_offer(&m.provider, &m.offer).ok();
    m.world.close_provider(&m.provider).err(SteamError::ProviderHasEarnings);
    let bank = m.world.token_account(&steam_tests::nobody("bank"));
    m.world.withdraw_earnings(&m.provider, &bank, MicroUsdc(u64::MAX)).ok();
    // A suspension does not end by closing and registering again.
    m.world.suspend(&m.provider, true).ok();
    m.world.close_provider(&m.provider).err(SteamError::Suspended);
    m.world.suspend(&m.provider, false).ok();
    let lamports = |m: &Market, at: &_| m.world.account(at).map_or(0, |account| account.lamports);
    let payer = m.world.payer.pubkey();
    let rent = lamports(&m, &m.provider.address) + lamports(&m, &m.provider.token);
    let before = lamports(&m, &payer);
    m.world.close_provider(&m.provider).ok();
    assert!(m.world.account(&m.provider.address).is_none() && m.world.account(&m.provider.token).is_none());
    assert_eq!(lamports(&m, &payer), before + rent - 2 * 5_000);
    let authority = m.provider.authority.insecure_clone();
    m.world.register_provider(&authority, "Again", "https://again.example").ok();
    let again = m.world.list(&m.provider, MODEL, PRICE);
    assert!(again.version > m.offer.version);
}

#[test]
fn terms_have_bounds_when_first_posted_and_later() {
    let mut w = World::new();
    let provider = w.provider();
    w.put_price(&provider, "known", PRICE).ok();
    const MAX: u64 = 1_000_000_000_000;
    let valid = terms(price(MAX, MAX, MAX, MAX));
    for (terms, error) in [
        (terms(price(MAX + 1, 0, 0, 0)), SteamError::InvalidPrice),
        (terms(price(0, 0, MAX + 1, 0)), SteamError::InvalidPrice),
        (terms(price(0, 0, 0, MAX + 1)), SteamError::InvalidPrice),
        (terms(price(1, 2, 0, 0)), SteamError::InvalidPrice),
        (OfferTerms { long_price: price(1, 0, 0, 0), ..valid }, SteamError::InvalidLongPrice),
        (OfferTerms { long_from: 1, long_price: price(MAX, MAX, MAX, MAX - 1), ..valid }, SteamError::InvalidLongPrice),
        (OfferTerms { long_from: 1, long_price: price(MAX, MAX, MAX + 1, MAX), ..valid }, SteamError::InvalidLongPrice),
        (OfferTerms { context_limit: 9, output_limit: 10, ..valid }, SteamError::InvalidLimits),
    ] {
        w.put_offer(&provider, "new", terms).err(error);
        w.put_offer(&provider, "known", terms).err(error);
    }
    // Bits that mean nothing yet are kept.
    w.put_offer(&provider, "new", OfferTerms { capabilities: u64::MAX, ..valid }).ok();
    assert_eq!(w.offer(&steam::addresses::offer(&provider.address, "new")).capabilities, u64::MAX);
}

#[test]
fn only_its_provider_posts_and_retires_an_offer() {
    let mut m = Market::open();
    let rival = m.world.provider();
    let (payer, authority) = (m.world.payer.pubkey(), m.provider.authority.pubkey());

    let mut put = steam::instructions::put_offer(&authority, &payer, MODEL, terms(LOWER));
    put.accounts[0].pubkey = rival.authority.pubkey();
    m.world.run(&[put.clone()], &[&rival.authority]).err(SteamError::NotAuthority);
    // In the rival's own name it is another offer's address.
    put.accounts[3].pubkey = rival.address;
    m.world.run(&[put], &[&rival.authority]).anchor_err(ErrorCode::ConstraintSeeds);

    let mut retire = steam::instructions::retire_offer(&authority, MODEL);
    retire.accounts[0].pubkey = rival.authority.pubkey();
    m.world.run(&[retire.clone()], &[&rival.authority]).err(SteamError::NotAuthority);
    retire.accounts[2].pubkey = rival.address;
    m.world.run(&[retire], &[&rival.authority]).err(SteamError::NotAuthority);
}

#[test]
fn a_provider_that_does_not_take_part_posts_nothing() {
    let mut m = Market::open();
    for status in [Status::Suspended, Status::Retired] {
        m.world.edit::<state::Provider>(&m.provider.address, |provider| provider.status = status);
        m.world.put_price(&m.provider, MODEL, LOWER).err(SteamError::ProviderNotActive);
    }
    // What it served settles all the same.
    let group = m.charge(usage(1, 1, 1, 1));
    m.settle(&[group]).ok();
}

/// Settles a million generated tokens quoted at the offer's version of this number, and says what the provider got. Number 1
/// is its first version; 0 and the highest number stand for themselves.
fn settle_at(m: &mut Market, number: u32) -> Result<u64, Outcome> {
    let version = if matches!(number, 0 | u32::MAX) { number } else { m.offer.version + number - 1 };
    let before = m.earned();
    let line = Line { version, ..m.line(usage(1, 0, 0, 1_000_000)) };
    let group = m.group(&[line]);
    let outcome = m.settle(&[group]);
    if outcome.0.is_ok() { Ok(m.earned().0 - before.0) } else { Err(outcome) }
}

#[track_caller]
fn settles(m: &mut Market, version: u32, price: Prices) {
    let paid = settle_at(m, version).unwrap_or_else(|outcome| panic!("version {version}: {outcome:?}"));
    assert_eq!(paid, price.output + price.request, "version {version}");
}

#[track_caller]
fn refused(m: &mut Market, version: u32, error: SteamError) {
    settle_at(m, version).expect_err("it settled").err(error);
}

fn put(m: &mut Market, price: Prices) -> Outcome {
    m.world.put_price(&m.provider, MODEL, price)
}

#[test]
fn a_rise_needs_notice_and_the_price_quoted_before_settles_within_grace() {
    let mut m = Market::open();
    let done = put(&mut m, HIGHER).ok();
    assert_eq!(done.events::<OfferPut>()[0].change, PriceChange::Announced);
    refused(&mut m, 2, SteamError::PriceFuture);
    m.world.almost_pass(DELAYS.price_notice);
    settles(&mut m, 1, PRICE);
    refused(&mut m, 2, SteamError::PriceFuture);
    // Time and slot must both have come.
    m.world.advance(1, 0);
    refused(&mut m, 2, SteamError::PriceFuture);
    m.world.advance(-1, 1);
    refused(&mut m, 2, SteamError::PriceFuture);
    m.world.advance(1, 0);
    settles(&mut m, 2, HIGHER);
    settles(&mut m, 1, PRICE);
    m.world.almost_pass(DELAYS.price_grace);
    settles(&mut m, 1, PRICE);
    m.world.advance(1, 0);
    settles(&mut m, 1, PRICE);
    m.world.advance(0, 1);
    refused(&mut m, 1, SteamError::PriceOutdated);
    settles(&mut m, 2, HIGHER);
}

#[test]
fn each_component_that_rises_makes_a_rise() {
    for rise in [
        Prices { input: PRICE.input + 1, ..PRICE },
        Prices { cached: PRICE.cached + 1, ..PRICE },
        Prices { cache_write: PRICE.cache_write + 1, ..PRICE },
        Prices { cache_write_long: PRICE.cache_write_long + 1, ..PRICE },
        Prices { output: PRICE.output + 1, ..PRICE },
        Prices { request: PRICE.request + 1, ..PRICE },
        Prices { input: PRICE.input + 1, output: 0, request: 0, ..PRICE },
    ] {
        let mut m = Market::open();
        assert_eq!(put(&mut m, rise).ok().events::<OfferPut>()[0].change, PriceChange::Announced, "{rise:?}");
        settles(&mut m, 1, PRICE);
        refused(&mut m, 2, SteamError::PriceFuture);
    }
}

#[test]
fn a_fall_holds_at_once_and_for_whoever_was_quoted_more() {
    let mut m = Market::open();
    assert_eq!(put(&mut m, LOWER).ok().events::<OfferPut>()[0].change, PriceChange::Now);
    settles(&mut m, 2, LOWER);
    settles(&mut m, 1, PRICE);
    m.world.almost_pass(DELAYS.price_grace);
    settles(&mut m, 1, PRICE);
    m.world.advance(1, 1);
    settles(&mut m, 1, LOWER);
    refused(&mut m, 0, SteamError::PriceUnknown);
    refused(&mut m, 3, SteamError::PriceUnknown);
    refused(&mut m, u32::MAX, SteamError::PriceUnknown);
}

#[test]
fn a_price_that_was_replaced_twice_is_unknown() {
    let mut m = Market::open();
    put(&mut m, LOWER).ok();
    put(&mut m, price(1, 1, 1, 1)).err(SteamError::PriceGraceRunning);
    put(&mut m, HIGHER).err(SteamError::PriceGraceRunning);
    m.world.almost_pass(DELAYS.price_grace);
    put(&mut m, price(1, 1, 1, 1)).err(SteamError::PriceGraceRunning);
    m.world.advance(1, 1);
    put(&mut m, price(1, 1, 1, 1)).ok();
    settles(&mut m, 2, LOWER);
    refused(&mut m, 1, SteamError::PriceUnknown);
}

#[test]
fn a_second_announcement_replaces_the_first_and_restarts_the_notice() {
    let mut m = Market::open();
    put(&mut m, HIGHER).ok();
    m.world.almost_pass(DELAYS.price_notice);
    put(&mut m, price(9_000_000, 0, 9_000_000, 0)).ok();
    m.world.advance(1, 1);
    refused(&mut m, 2, SteamError::PriceUnknown);
    refused(&mut m, 3, SteamError::PriceFuture);
    m.world.almost_pass(DELAYS.price_notice);
    settles(&mut m, 3, price(9_000_000, 0, 9_000_000, 0));
}

#[test]
fn the_price_that_holds_withdraws_an_announcement() {
    let mut m = Market::open();
    put(&mut m, HIGHER).ok();
    let done = put(&mut m, PRICE).ok();
    assert_eq!(done.events::<OfferPut>()[0].change, PriceChange::Unchanged);
    m.world.pass(DELAYS.price_notice);
    settles(&mut m, 1, PRICE);
    refused(&mut m, 2, SteamError::PriceUnknown);
    // Its version is used up all the same.
    put(&mut m, LOWER).ok();
    settles(&mut m, 3, LOWER);
}

#[test]
fn a_retired_offer_settles_within_grace_and_comes_back_with_notice() {
    let mut m = Market::open();
    assert_eq!(m.world.retire(&m.provider, MODEL).ok().events::<OfferWithdrawn>().len(), 1);
    m.world.retire(&m.provider, MODEL).err(SteamError::OfferRetired);
    m.world.almost_pass(DELAYS.price_grace);
    settles(&mut m, 1, PRICE);
    m.world.advance(1, 0);
    settles(&mut m, 1, PRICE);
    m.world.advance(0, 1);
    refused(&mut m, 1, SteamError::OfferRetired);
    // A fall, but nobody watches what was gone.
    let done = put(&mut m, LOWER).ok();
    assert_eq!(done.events::<OfferPut>()[0].change, PriceChange::Announced);
    refused(&mut m, 2, SteamError::PriceFuture);
    m.world.pass(DELAYS.price_notice);
    settles(&mut m, 2, LOWER);
}

#[test]
fn versions_only_increase_until_there_is_none_left() {
    let mut m = Market::open();
    m.world.edit_offer(&m.offer.address, |offer| offer.last_version = u32::MAX);
    put(&mut m, LOWER).err(SteamError::VersionOverflow);
    put(&mut m, HIGHER).err(SteamError::VersionOverflow);
    put(&mut m, PRICE).ok();
}

#[test]
fn limits_and_capabilities_change_at_once_with_the_price_that_holds() {
    let mut m = Market::open();
    let changed = OfferTerms { context_limit: 7, output_limit: 3, capabilities: capability::TOOLS, ..terms(PRICE) };
    m.world.put_offer(&m.provider, MODEL, changed).ok();
    let offer = m.world.offer(&m.offer.address);
    assert_eq!((offer.context_limit, offer.output_limit, offer.capabilities), (7, 3, capability::TOOLS));
    assert_eq!((offer.last_version, m.earned()), (m.offer.version, MicroUsdc(0)));
}
