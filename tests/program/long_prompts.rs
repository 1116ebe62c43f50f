//! Cache writes, and the price of long prompts: what settles, at which price, within which maxima.

use steam_protocol::units::{Pico, Usage, charge};
use steam_router::error::SteamError;
use steam_router::state::{KeyGrant, OfferTerms, Prices};
use steam_tests::world::{PRICE, boundless, terms};
use steam_tests::{Line, Market, Offer};

const LONG_FROM: u32 = 1_000;
const WRITES: Prices = Prices { cache_write: 2_500_000, cache_write_long: 4_000_000, ..PRICE };

fn doubled(price: Prices) -> Prices {
    Prices {
        input: 2 * price.input,
        cached: 2 * price.cached,
        cache_write: 2 * price.cache_write,
        cache_write_long: 2 * price.cache_write_long,
        output: 2 * price.output,
        request: 2 * price.request,
    }
}

/// A second offer, with a price of long prompts.
fn list(m: &mut Market) -> Offer {
    let terms = OfferTerms { long_from: LONG_FROM, long_price: doubled(WRITES), ..terms(WRITES) };
    m.world.list_at(&m.provider, "long", terms)
}

fn used(requests: u32, input: u32) -> Usage {
    Usage { requests, input, cached: 20, cache_write: 30, cache_write_long: 50, output: 7 }
}

/// Settles a charge of such prompts, and says what it came to.
fn settled(m: &mut Market, offer: &Offer, long: bool, usage: Usage) -> Pico {
    let before = m.state().settled_pico.pico();
    let group = m.group(&[Line { offer, version: offer.version, long, ..m.line(usage) }]);
    m.settle(&[group]).ok();
    Pico(m.state().settled_pico.pico().0 - before.0)
}

#[test]
fn a_charge_counts_cache_writes_of_both_lifetimes() {
    let mut m = Market::open();
    let offer = list(&mut m);
    for usage in [used(1, 900), Usage { cache_write: 0, ..used(1, 900) }, Usage { cache_write_long: 0, ..used(1, 900) }]
    {
        assert_eq!(settled(&mut m, &offer, false, usage), charge(&WRITES.into(), &usage), "{usage:?}");
    }
}

#[test]
fn a_charge_of_long_prompts_costs_their_price() {
    let mut m = Market::open();
    let offer = list(&mut m);
    let usage = used(1, 901);
    assert_eq!(settled(&mut m, &offer, true, usage), charge(&doubled(WRITES).into(), &usage));
    // The sum of short and long prompts may be billed as short ones: that is never more.
    assert_eq!(settled(&mut m, &offer, false, usage), charge(&WRITES.into(), &usage));
}

#[test]
fn short_prompts_are_not_billed_as_long_ones() {
    let mut m = Market::open();
    let offer = list(&mut m);
    for (requests, input) in [(1, 900), (2, 1_901), (3, 2_902), (u32::MAX, 0)] {
        let line = Line { offer: &offer, version: offer.version, long: true, ..m.line(used(requests, input)) };
        let group = m.group(&[line]);
        m.settle(&[group]).err(SteamError::PromptsNotLong);
    }
    // One token more for each request.
    for (requests, input) in [(1, 901), (2, 1_902), (3, 2_903)] {
        settled(&mut m, &offer, true, used(requests, input));
    }
}

#[test]
fn an_offer_without_a_price_of_long_prompts_serves_none() {
    let mut m = Market::open();
    let group = m.group(&[Line { long: true, ..m.line(used(1, 4_000_000)) }]);
    m.settle(&[group]).err(SteamError::PromptsNotLong);
}

#[test]
fn a_key_s_maxima_hold_for_the_price_that_applies() {
    let mut m = Market::with_grant(KeyGrant { max_price: WRITES, ..boundless() });
    let offer = list(&mut m);
    settled(&mut m, &offer, false, used(1, 900));
    let group = m.group(&[Line { offer: &offer, version: offer.version, long: true, ..m.line(used(1, 901)) }]);
    m.settle(&[group]).err(SteamError::KeyPriceExceeded);
}

#[test]
fn lines_of_short_and_long_prompts_of_one_offer_settle_side_by_side() {
    let mut m = Market::open();
    let offer = list(&mut m);
    let (short, long) = (used(2, 10), used(1, 901));
    let line = |long, usage| Line { offer: &offer, version: offer.version, long, ..m.line(usage) };
    let group = m.group(&[line(false, short), line(true, long)]);
    m.settle(&[group]).ok();
    let due = charge(&WRITES.into(), &short).0 + charge(&doubled(WRITES).into(), &long).0;
    assert_eq!(m.state().settled_pico.pico(), Pico(due));
}
