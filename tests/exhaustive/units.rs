//! The arithmetic of money over whole small ranges and at every edge, against integers without a size.

use num_bigint::BigUint;
use steam_protocol::units::{MAX_FEE_BPS, MicroUsdc, Pico, Price, Tariff, Usage, charge, fee, floor_step, receipt_fee};

const MICRO: u128 = 1_000_000;

fn big(number: impl Into<BigUint>) -> BigUint {
    number.into()
}

/// A number of a fixed size again, if it has one.
fn fits<T: TryFrom<BigUint>>(number: BigUint) -> Option<T> {
    T::try_from(number).ok()
}

/// `⌊numerator / denominator⌋` and `⌈numerator / denominator⌉`.
fn rounded(numerator: &BigUint, denominator: u128) -> (BigUint, BigUint) {
    let denominator = big(denominator);
    let floor = numerator / &denominator;
    let exact = &floor * &denominator == *numerator;
    let ceil = if exact { floor.clone() } else { &floor + 1u8 };
    (floor, ceil)
}

/// Every quadruple of these values.
fn quadruples<T: Copy>(values: &[T]) -> impl Iterator<Item = [T; 4]> + '_ {
    let n = values.len();
    (0..n.pow(4)).map(move |i| [values[i % n], values[i / n % n], values[i / n.pow(2) % n], values[i / n.pow(3)]])
}

fn check_charges(prices: &[u64], counts: &[u32]) -> usize {
    let mut cases = 0;
    for [input, cached, output, request] in quadruples(prices) {
        let price = Price::basic(input, cached, output, request);
        for [requests, a, b, c] in quadruples(counts) {
            let usage = Usage { requests, input: a, cached: b, output: c, ..Usage::default() };
            let tokens = big(a) * input + big(b) * cached + big(c) * output;
            let exact = tokens + big(requests) * request * MICRO;
            assert_eq!(charge(&price, &usage).0, fits::<u128>(exact).unwrap(), "{price:?} {usage:?}");
            cases += 1;
        }
    }
    cases
}

#[test]
fn every_small_charge_and_every_edge_is_exact() {
    assert_eq!(check_charges(&[0, 1, 2, 3], &[0, 1, 2, 3]), 65_536);
    assert_eq!(check_charges(&[0, 1, 1_000_000_000_000, u64::MAX], &[0, 1, u32::MAX]), 20_736);
}

/// Every small price whose components are alike, so that all prices and counts of tokens can be tried.
fn small_tariffs() -> impl Iterator<Item = Tariff> {
    let price = |tokens: u64, written: u64| Price {
        cache_write: written,
        cache_write_long: written + 1,
        ..Price::basic(tokens, tokens / 2, tokens, 1)
    };
    (0..3u64).flat_map(move |tokens| {
        (0..3u64).flat_map(move |written| {
            let standard = price(tokens, written);
            let long = (1..4u32).flat_map(move |long_from| {
                (0..3u64).map(move |more| Tariff { standard, long_from, long: price(tokens + more, written + more) })
            });
            std::iter::once(Tariff::from(standard)).chain(long)
        })
    })
}

/// Every usage of one request with at most three tokens of each kind.
fn small_usages() -> impl Iterator<Item = Usage> {
    quadruples(&[0u32, 1, 2, 3]).collect::<Vec<_>>().into_iter().flat_map(
        |[input, cached, cache_write, cache_write_long]| {
            (0..2).map(move |output| Usage { requests: 1, input, cached, cache_write, cache_write_long, output })
        },
    )
}

#[test]
fn of_every_small_tariff_the_prompt_decides_for_the_whole_request() {
    let (mut long, mut short) = (0, 0);
    for tariff in small_tariffs() {
        assert!(tariff.is_valid(), "{tariff:?}");
        for usage in small_usages() {
            let prompt = usage.input + usage.cached + usage.cache_write + usage.cache_write_long;
            let is_long = tariff.long_from != 0 && prompt > tariff.long_from;
            let price = if is_long { tariff.long } else { tariff.standard };
            assert_eq!(tariff.charge(&usage), charge(&price, &usage), "{tariff:?} {usage:?}");
            assert_eq!(tariff.may_be_long(&usage), is_long, "{tariff:?} {usage:?}");
            assert!(tariff.charge(&usage) <= tariff.ceiling(prompt, usage.output), "{tariff:?} {usage:?}");
            long += usize::from(is_long);
            short += usize::from(!is_long);
        }
    }
    assert!(long > 10_000 && short > 5_000, "{long} {short}");
}

#[test]
fn a_tariff_within_another_costs_no_request_more_now_or_after_the_grace() {
    let usages: Vec<Usage> = small_usages().collect();
    let (mut within, mut above) = (0, 0);
    for quoted in small_tariffs() {
        for posted in small_tariffs() {
            let dearer = usages.iter().any(|usage| posted.charge(usage) > quoted.charge(usage));
            if posted.within(&quoted) {
                assert!(!dearer, "{posted:?} {quoted:?}");
                let settles = posted.in_place_of(&quoted);
                for usage in &usages {
                    assert_eq!(settles.is_long(usage.prompt()), quoted.is_long(usage.prompt()));
                    assert!(settles.charge(usage) <= quoted.charge(usage), "{posted:?} {quoted:?} {usage:?}");
                }
                within += 1;
            } else {
                above += 1;
            }
        }
    }
    assert!(within > 100 && above > 1_000, "{within} {above}");
}

/// Numbers about each edge of what is computed with them.
fn edges() -> Vec<u128> {
    let corners = [
        0,
        MICRO,
        2 * MICRO,
        u128::from(u32::MAX),
        u128::from(u64::MAX),
        u128::from(u64::MAX) * MICRO,
        u128::MAX / u128::from(MAX_FEE_BPS),
        u128::MAX / 10_000,
        u128::MAX - 3,
    ];
    let mut all: Vec<u128> = corners
        .iter()
        .flat_map(|&corner| (0..7).filter_map(move |by| (corner + by.min(u128::MAX - corner)).checked_sub(3)))
        .collect();
    all.extend([u128::MAX, u128::MAX - 1]);
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn every_small_fee_and_every_edge_rounds_as_it_says() {
    let small = 0..=10_001u128;
    let rates =
        [0, 1, 2, 3, 7, 10, 99, 100, 101, 250, 333, 500, 999, 1_000, 1_999, MAX_FEE_BPS, 9_999, 10_000, u16::MAX];
    let mut refused = 0;
    for amount in small.chain(edges()) {
        for bps in rates {
            let product = big(amount) * bps;
            // What cannot be multiplied in 128 bits is refused, though its quotient might fit.
            let known = fits::<u128>(product.clone()).map(|_| rounded(&product, 10_000));
            refused += usize::from(known.is_none());
            let (down, up) = known.map_or((None, None), |(down, up)| (fits(down).map(Pico), fits(up).map(Pico)));
            assert_eq!((fee(Pico(amount), bps), receipt_fee(Pico(amount), bps)), (down, up), "{amount} at {bps}");
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn every_floor_step_about_every_edge_is_the_difference_of_floors() {
    let (mut moved, mut refused) = (0, 0);
    for before in edges() {
        for amount in edges() {
            let after = big(before) + amount;
            let step = rounded(&after, MICRO).0 - rounded(&big(before), MICRO).0;
            let expected = fits::<u128>(after).and_then(|_| fits::<u64>(step)).map(MicroUsdc);
            assert_eq!(floor_step(Pico(before), Pico(amount)), expected, "{before} and {amount}");
            moved += usize::from(expected.is_some());
            refused += usize::from(expected.is_none());
        }
    }
    assert!(moved > 500 && refused > 500, "{moved} {refused}");
}

/// Whoever settles chooses the order of the lines, and with it who gets the fractions.
#[test]
fn no_order_of_lines_takes_a_micro_dollar_from_one_of_them() {
    for before in (0..MICRO).step_by(997).chain([1, MICRO - 1]) {
        for line in [1, 499_999, MICRO - 1, MICRO, MICRO + 1, 2 * MICRO - 1, 1_234_567_890] {
            let paid = u128::from(floor_step(Pico(before), Pico(line)).unwrap().0) * MICRO;
            assert!(paid + MICRO > line && line + MICRO > paid, "{paid} for {line} after {before}");
        }
    }
}

#[test]
fn every_amount_about_every_edge_has_its_floor_and_ceiling() {
    for pico in edges() {
        let (floor, ceil) = rounded(&big(pico), MICRO);
        assert_eq!(Pico(pico).floor_micro(), fits(floor).map(MicroUsdc), "{pico}");
        assert_eq!(Pico(pico).ceil_micro(), fits(ceil).map(MicroUsdc), "{pico}");
    }
}

#[test]
fn every_way_to_cut_a_sum_moves_the_same_dollars() {
    let parts = [0, 1, 499_999, 500_000, 999_999, MICRO, MICRO + 1];
    for before in [0, 1, 999_999, MICRO - 1 + u128::from(u32::MAX) * MICRO] {
        for cut in quadruples(&parts) {
            let (mut sum, mut moved) = (before, 0);
            for part in cut {
                moved += floor_step(Pico(sum), Pico(part)).unwrap().0;
                sum += part;
            }
            let all = rounded(&big(sum), MICRO).0 - rounded(&big(before), MICRO).0;
            assert_eq!(big(moved), all, "{before}: {cut:?}");
        }
    }
}
