//! What the program's second version added, over whole small ranges and at the edges: the count of tokens that long prompts
//! have, what a price may be, floors of delays, a vault's growth, and limits that are raised and cut.

use anchor_lang::prelude::{Clock, Pubkey};
use bytemuck::Zeroable;
use steam_protocol::group::MAX_KEYS;
use steam_protocol::units::{MAX_PRICE, Price, Tariff, Usage};
use steam_router::error::SteamError;
use steam_router::state::{
    Deadline, Delay, Delays, KeyLimits, Limits, OfferTerms, Prices, SessionKey, Vault, VaultMut,
};

const LONGEST: [u64; 2] = [604_800, 6_048_000];

/// Every list of `N` of these values.
fn lists<const N: usize, T: Copy>(values: &[T]) -> impl Iterator<Item = [T; N]> + '_ {
    let n = values.len();
    (0..n.pow(N as u32)).map(move |at| std::array::from_fn(|place| values[at / n.pow(place as u32) % n]))
}

#[test]
fn a_sum_may_be_of_long_prompts_exactly_if_each_can_have_had_one_token_more_than_the_tier() {
    let counts = [0, 1, 2, 3, u32::MAX - 1, u32::MAX];
    let (mut may, mut may_not) = (0, 0);
    for [requests, long_from] in lists(&counts) {
        let tariff = Tariff { long_from, ..Tariff::default() };
        for [input, cached, cache_write, cache_write_long] in lists(&counts) {
            let usage = Usage { requests, input, cached, cache_write, cache_write_long, output: 7 };
            let prompt = [input, cached, cache_write, cache_write_long].map(u128::from).iter().sum::<u128>();
            let expected = long_from != 0 && prompt >= u128::from(requests) * (u128::from(long_from) + 1);
            assert_eq!(tariff.may_be_long(&usage), expected, "{usage:?} from {long_from}");
            may += usize::from(expected);
            may_not += usize::from(!expected);
        }
    }
    assert!(may > 10_000 && may_not > 10_000, "{may} {may_not}");
}

/// Every way to give so many prompts these tokens.
fn shares(prompts: u32, tokens: u32) -> Vec<Vec<u32>> {
    match prompts {
        0 if tokens == 0 => vec![Vec::new()],
        0 => Vec::new(),
        _ => (0..=tokens)
            .flat_map(|first| {
                shares(prompts - 1, tokens - first).into_iter().map(move |rest| [vec![first], rest].concat())
            })
            .collect(),
    }
}

#[test]
fn of_few_prompts_some_share_makes_all_long_exactly_if_the_sum_may_be_long() {
    for long_from in 1..4 {
        let tariff = Tariff { long_from, ..Tariff::default() };
        for requests in 1..4 {
            for tokens in 0..16 {
                let usage = Usage { requests, input: tokens, ..Usage::default() };
                let possible = shares(requests, tokens).iter().any(|share| share.iter().all(|own| *own > long_from));
                assert_eq!(tariff.may_be_long(&usage), possible, "{requests} of {tokens} from {long_from}");
            }
        }
    }
}

fn prices(components: [u64; 6]) -> Prices {
    let [input, cached, cache_write, cache_write_long, output, request] = components;
    Price { input, cached, cache_write, cache_write_long, output, request }.into()
}

#[test]
fn terms_are_refused_for_the_first_rule_that_they_break() {
    let values = [0, 1, MAX_PRICE, MAX_PRICE + 1];
    // Two components at a time, at each of two places, the others at a middle.
    let bent: Vec<[u64; 6]> = (0..6)
        .flat_map(|first| (first + 1..6).map(move |second| (first, second)))
        .flat_map(|(first, second)| {
            lists(&values).map(move |[one, other]| {
                let mut components = [2; 6];
                (components[first], components[second]) = (one, other);
                components
            })
        })
        .collect();
    let valid = |p: &[u64; 6]| p[1] <= p[0] && p.iter().all(|component| *component <= MAX_PRICE);
    let mut seen = [0; 4];
    for price in &bent {
        for long in bent.iter().chain([&[0; 6], &[2; 6], &[MAX_PRICE; 6]]) {
            for (long_from, output_limit) in [(0, 1), (1, 1), (1, 2)] {
                let terms = OfferTerms {
                    price: prices(*price),
                    long_from,
                    long_price: prices(*long),
                    context_limit: 1,
                    output_limit,
                    capabilities: 0,
                };
                let above = || price.iter().zip(long).all(|(own, long)| own <= long);
                let fits = if long_from == 0 { *long == [0; 6] } else { valid(long) && above() };
                let (expected, at) = match (valid(price), fits, output_limit <= 1) {
                    (false, ..) => (Err(SteamError::InvalidPrice.into()), 0),
                    (_, false, _) => (Err(SteamError::InvalidLongPrice.into()), 1),
                    (.., false) => (Err(SteamError::InvalidLimits.into()), 2),
                    _ => (Ok(()), 3),
                };
                assert_eq!(terms.validate(), expected, "{terms:?}");
                seen[at] += 1;
            }
        }
    }
    assert!(seen.iter().all(|times| *times > 100), "{seen:?}");
}

/// Delays of so many seconds and slots, in the order of the fields.
fn delays(seconds: [u32; 7], slots: [u32; 7]) -> Delays {
    let [settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice] =
        std::array::from_fn(|at| Delay { seconds: seconds[at], slots: slots[at] });
    Delays { settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice }
}

/// What the specification says of delays above these floors, one unit after the other.
fn expected(delays: [[u32; 7]; 2], floors: [[u32; 7]; 2]) -> Option<SteamError> {
    let ordered = |[interval, pause, price, revoke, withdraw, ..]: [u32; 7]| {
        u64::from(interval) + u64::from(pause) < price.into() && price <= revoke && revoke <= withdraw
    };
    if !delays.iter().all(|unit| ordered(*unit) && !unit.contains(&0)) {
        return Some(SteamError::InvalidDelays);
    }
    if delays.iter().zip(LONGEST).any(|(unit, longest)| unit.iter().any(|delay| u64::from(*delay) > longest)) {
        return Some(SteamError::DelayTooLong);
    }
    let below = |unit: usize| delays[unit].iter().zip(floors[unit]).any(|(delay, floor)| *delay < floor);
    (below(0) || below(1)).then_some(SteamError::DelayBelowFloor)
}

fn check_delays(units: [[u32; 7]; 2], floors: [[u32; 7]; 2]) -> Option<SteamError> {
    let found = delays(units[0], units[1]).validate(&delays(floors[0], floors[1]));
    let expected = expected(units, floors);
    assert_eq!(found, expected.map_or(Ok(()), |error| Err(error.into())), "{units:?} {floors:?}");
    expected
}

#[test]
fn every_small_delay_keeps_its_order_and_its_floor_in_both_units() {
    const FINE: [u32; 7] = [1, 1, 3, 3, 3, 1, 1];
    let (mut fine, mut refused) = (0, 0);
    for small in lists::<7, u32>(&[0, 1, 2, 3]) {
        for units in [[small, FINE], [FINE, small]] {
            match check_delays(units, [[1; 7]; 2]) {
                None => fine += 1,
                Some(_) => refused += 1,
            }
        }
    }
    assert!(fine > 10 && refused > 30_000, "{fine} {refused}");
    // Each floor about each delay.
    let mut below = 0;
    for valid in lists::<7, u32>(&[1, 2, 3, 4]).filter(|small| expected([*small, FINE], [[0; 7]; 2]).is_none()) {
        for at in 0..7 {
            for floor in 0..6 {
                for unit in 0..2 {
                    let mut floors = [[0; 7]; 2];
                    floors[unit][at] = floor;
                    let units = if unit == 0 { [valid, FINE] } else { [FINE, valid] };
                    below += usize::from(check_delays(units, floors) == Some(SteamError::DelayBelowFloor));
                }
            }
        }
    }
    assert!(below > 1_000, "{below}");
}

#[test]
fn delays_at_their_edges_are_not_longer_than_seven_days() {
    let mut long = 0;
    for unit in 0..2 {
        let most = LONGEST[unit] as u32;
        for [interval, pause, price, revoke, withdraw, notice, fee] in lists(&[1, most - 1, most, most + 1]) {
            let mut units = [[1, 1, 3, 3, 3, 1, 1]; 2];
            units[unit] = [interval, pause, price, revoke, withdraw, notice, fee];
            long += usize::from(check_delays(units, [[1; 7]; 2]) == Some(SteamError::DelayTooLong));
        }
        for edge in [u32::MAX - 1, u32::MAX] {
            let mut units = [[1, 1, 3, 3, 3, 1, 1]; 2];
            units[unit][0] = edge;
            units[unit][1] = edge;
            check_delays(units, [[0; 7]; 2]);
        }
    }
    assert!(long > 100, "{long}");
}

#[test]
fn an_account_of_every_length_has_room_for_whole_keys_only() {
    for bytes in 0..=Vault::space(MAX_KEYS) + 320 {
        let expected = bytes.checked_sub(304).map_or(0, |rest| rest / 320);
        assert_eq!(Vault::capacity(bytes), expected, "{bytes}");
    }
    for keys in 0..=MAX_KEYS + 1 {
        assert_eq!((Vault::space(keys), Vault::capacity(Vault::space(keys))), (304 + 320 * keys, keys));
    }
}

#[test]
fn every_slot_that_a_vault_has_no_room_for_is_refused() {
    for keys in 0..=MAX_KEYS {
        let mut words = vec![0_u64; Vault::space(keys) / 8];
        let mut vault = VaultMut::of(bytemuck::cast_slice_mut(&mut words)).ok().unwrap();
        for slot in 0..=u8::MAX {
            let there = usize::from(slot) < keys;
            assert_eq!((vault.key(slot).is_ok(), vault.key_mut(slot).is_ok()), (there, there), "{slot} of {keys}");
        }
    }
}

#[test]
fn whoever_may_pay_for_growth_is_owed_what_the_rent_payer_paid() {
    let [owner, payer, other] = [1, 2, 3].map(|n| Pubkey::new_from_array([n; 32]));
    for rent_payer in [owner, payer] {
        for by in [owner, payer, other] {
            for (paid, more) in lists(&[0, 1, 2, u64::MAX - 1, u64::MAX]).map(|[paid, more]| (paid, more)) {
                let mut vault = Vault { owner, rent_payer, rent_paid: paid, ..Vault::zeroed() };
                let found = vault.pay_growth(&by, more);
                let owed = u128::from(paid) + if by == rent_payer { u128::from(more) } else { 0 };
                let expected = if by != owner && by != rent_payer {
                    Err(SteamError::NotRentPayer.into())
                } else if owed > u128::from(u64::MAX) {
                    Err(SteamError::AmountOverflow.into())
                } else {
                    Ok(())
                };
                let fine = expected.is_ok();
                assert_eq!(found, expected, "{by} pays {more} after {paid}");
                assert_eq!(u128::from(vault.rent_paid), if fine { owed } else { paid.into() });
            }
        }
    }
}

/// Limits of a key with a window, in four numbers.
fn limits([limit_total, window_limit, price, fee]: [u64; 4]) -> KeyLimits {
    KeyLimits { limit_total, window_limit, max_price: prices([price; 6]), max_fee_bps: fee as u16 }
}

fn numbers(limits: &Limits) -> [u64; 4] {
    [limits.total, limits.window, limits.max_price.output, limits.max_fee_bps.into()]
}

#[test]
fn every_small_change_of_limits_raises_at_once_and_cuts_after_its_grace() {
    const GRACE: Delay = Delay { seconds: 10, slots: 10 };
    let clock = |now: i64| Clock { unix_timestamp: now, slot: now as u64, ..Clock::default() };
    let highest = |one: [u64; 4], other: [u64; 4]| std::array::from_fn::<u64, 4, _>(|at| one[at].max(other[at]));
    let (first, choices) = ([2; 4], lists::<4, u64>(&[1, 2, 3]).collect::<Vec<_>>());
    for second in &choices {
        for third in &choices {
            // The second change comes within the grace of the first, or after it.
            for again in [5, 10] {
                let settle_until = Deadline { time: i64::MAX, slot: u64::MAX };
                let key = Pubkey::new_from_array([1; 32]);
                let own = Limits::from(limits(first));
                let mut key = SessionKey {
                    key,
                    settle_until,
                    window_seconds: 1,
                    limits: own,
                    former: own,
                    ..SessionKey::zeroed()
                };
                assert!(key.update(&limits(*second), GRACE, &clock(0)).is_ok());
                let cut = highest(first, *second);
                assert_eq!(numbers(key.limits_at(&clock(9))), cut);
                assert_eq!(numbers(key.limits_at(&clock(10))), *second);
                let holds = if again < 10 { cut } else { *second };
                assert!(key.update(&limits(*third), GRACE, &clock(again)).is_ok());
                assert_eq!(numbers(&key.limits), *third);
                assert_eq!(numbers(key.limits_at(&clock(again + 9))), highest(holds, *third), "{second:?} {third:?}");
                assert_eq!(numbers(key.limits_at(&clock(again + 10))), *third);
            }
        }
    }
}
