//! A key is never charged beyond what its owner granted, whatever it signs.

use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::state::{KeyGrant, Prices};
use steam_tests::world::{DELAYS, PRICE, boundless};
use steam_tests::{Line, Market, Outcome, usage};

/// A market whose key may spend so much.
fn limited(grant: impl FnOnce(KeyGrant) -> KeyGrant) -> Market {
    Market::with_grant(grant(boundless()))
}

/// Spends `tokens` cached tokens: a µUSDC each, and a fee of a twentieth.
fn spend(m: &mut Market, tokens: u32) -> Outcome {
    let free = m.world.offer(&m.offer.address).current.price.request == 0;
    assert!(free, "the offer of these tests charges nothing for a request");
    let group = m.charge(usage(1, 0, tokens, 0));
    m.settle(&[group])
}

/// Makes requests free, so that sums are round.
fn round(mut m: Market) -> Market {
    m.world.put_price(&m.provider, steam_tests::world::MODEL, Prices { request: 0, ..PRICE }).ok();
    m.world.pass(DELAYS.price_grace);
    m
}

#[test]
fn the_total_limit_counts_fees_and_every_group() {
    let mut m = round(limited(|grant| KeyGrant { limit_total: 2_100, ..grant }));
    spend(&mut m, 1_000).ok();
    spend(&mut m, 1_001).err(SteamError::KeyLimitExceeded);
    spend(&mut m, 1_000).ok();
    assert_eq!(m.state().keys[0].settled_pico.get(), 2_100_000_000);
    // A single pico is above now.
    let pico = m.world.list(&m.provider, "pico", steam_tests::price(1, 0, 0, 0));
    let group = m.group(&[Line { offer: &pico, version: pico.version, ..m.line(usage(1, 1, 0, 0)) }]);
    m.settle(&[group]).err(SteamError::KeyLimitExceeded);
}

#[test]
fn a_limit_is_a_key_s_own() {
    let mut m = round(limited(|grant| KeyGrant { limit_total: 1_050, ..grant }));
    let other = m.world.authorize(&m.vault, 1, boundless());
    let line = |key, tokens| Line { key, ..m.line(usage(1, 0, tokens, 0)) };
    let groups = [m.group(&[line(&m.key, 1_000), line(&other, 1_000_000)])];
    m.settle(&groups).ok();
    spend(&mut m, 1).err(SteamError::KeyLimitExceeded);
}

fn windowed() -> Market {
    round(limited(|grant| KeyGrant { window_seconds: 3_600, window_limit: 1_050, ..grant }))
}

/// Brings the clock to so many seconds after the key's window started.
fn at_second_of_window(m: &mut Market, second: i64) {
    let start = m.state().keys[0].window_start;
    let now = m.world.now().time;
    m.world.advance(start + second - now, 0);
}

#[test]
fn a_window_limits_what_is_settled_within_it_and_then_starts_anew() {
    let mut m = windowed();
    spend(&mut m, 1_001).err(SteamError::KeyWindowExceeded);
    spend(&mut m, 1_000).ok();
    spend(&mut m, 1).err(SteamError::KeyWindowExceeded);
    at_second_of_window(&mut m, 3_599);
    spend(&mut m, 1).err(SteamError::KeyWindowExceeded);
    at_second_of_window(&mut m, 3_600);
    spend(&mut m, 1_000).ok();
    assert_eq!(m.state().keys[0].window_start, m.world.now().time);
    assert_eq!(m.state().keys[0].window_spent.get(), 1_050_000_000);
    spend(&mut m, 1).err(SteamError::KeyWindowExceeded);
}

#[test]
fn windows_do_not_add_up_while_nothing_is_spent() {
    let mut m = windowed();
    at_second_of_window(&mut m, 10 * 3_600);
    spend(&mut m, 1_001).err(SteamError::KeyWindowExceeded);
    spend(&mut m, 1_000).ok();
}

#[test]
fn no_window_starts_after_revocation() {
    let mut m = windowed();
    spend(&mut m, 900).ok();
    at_second_of_window(&mut m, 3_590);
    m.world.revoke(&m.vault, 0, None).ok();
    at_second_of_window(&mut m, 3_610);
    spend(&mut m, 101).err(SteamError::KeyWindowExceeded);
    spend(&mut m, 100).ok();
    spend(&mut m, 1).err(SteamError::KeyWindowExceeded);
}

#[test]
fn a_window_that_ended_before_its_key_starts_anew_once_and_one_that_did_not_never_does() {
    let now = steam_tests::chain::GENESIS_TIME;
    // The window is over when the key expires, or only after that.
    for (expires, spends) in [(now + 3_600, true), (now + 3_400, false)] {
        let mut m = round(limited(|grant| KeyGrant { window_seconds: 3_500, window_limit: 1_050, expires, ..grant }));
        spend(&mut m, 1_000).ok();
        let until = now + 3_601 - m.world.now().time;
        m.world.advance(until, 0);
        let outcome = spend(&mut m, 1_000);
        if spends {
            drop(outcome.ok());
            m.world.advance(3_500, 0);
            spend(&mut m, 51).err(SteamError::KeyWindowExceeded);
        } else {
            outcome.err(SteamError::KeyWindowExceeded);
        }
    }
}

#[test]
fn each_component_of_a_price_has_a_maximum() {
    for (max_price, component) in [
        (Prices { input: PRICE.input - 1, ..PRICE }, "input"),
        (Prices { cached: PRICE.cached - 1, ..PRICE }, "cached"),
        (Prices { cache_write: PRICE.cache_write - 1, ..PRICE }, "cache_write"),
        (Prices { cache_write_long: PRICE.cache_write_long - 1, ..PRICE }, "cache_write_long"),
        (Prices { output: PRICE.output - 1, ..PRICE }, "output"),
        (Prices { request: PRICE.request - 1, ..PRICE }, "request"),
    ] {
        let mut m = limited(|grant| KeyGrant { max_price, ..grant });
        // Even if nothing of that component is charged.
        for usage in [usage(1, 1, 1, 1), usage(1, 0, 0, 0)] {
            let group = m.charge(usage);
            let refusal = m.settle(&[group]).refusal();
            let code = steam_tests::chain::Refusal::Code(SteamError::KeyPriceExceeded.into());
            assert_eq!(refusal, code, "{component}");
        }
    }
    let mut m = limited(|grant| KeyGrant { max_price: PRICE, ..grant });
    let group = m.charge(usage(1, 1, 1, 1));
    m.settle(&[group]).ok();
}

#[test]
fn a_fee_has_a_maximum() {
    let mut m = limited(|grant| KeyGrant { max_fee_bps: 499, ..grant });
    let group = m.charge(usage(1, 1, 0, 0));
    m.settle(&[group]).err(SteamError::KeyFeeExceeded);
    let mut m = limited(|grant| KeyGrant { max_fee_bps: 500, ..grant });
    let group = m.charge(usage(1, 1, 0, 0));
    m.settle(&[group]).ok();
}

#[test]
fn what_it_signed_does_not_lift_a_limit() {
    let mut m = round(limited(|grant| KeyGrant { limit_total: 100, ..grant }));
    let mut group = m.charge(usage(1, 0, 1_000, 0));
    group.vouchers[0].1 = m.world.sign(&m.vault, &m.key, MicroUsdc(u64::MAX));
    m.settle(&[group]).err(SteamError::KeyLimitExceeded);
}
