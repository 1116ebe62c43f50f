//! What a settlement moves, and what it writes down.

use steam::ledger::SealedGroup;
use steam_protocol::units::{MAX_PRICE, MicroUsdc};
use steam_router::error::SteamError;
use steam_router::events::{Settled, Skipped};
use steam_router::state::{self, FeeSchedule};
use steam_tests::world::{DELAYS, boundless, expected_moves, link};
use steam_tests::{Line, Market, price, usage, usdc};

#[test]
fn a_settlement_pays_the_provider_and_the_relayer_exactly() {
    let mut m = Market::open();
    let before = m.funds();
    // 1,000 uncached at $2, 500 cached at $1, 250 generated at $8 a million, and 2 requests at $0.0001.
    let group = m.charge(usage(2, 1_000, 500, 250));
    let done = m.settle(&[group]).ok();
    let (paid, fee) = (MicroUsdc(2_000 + 500 + 2_000 + 200), MicroUsdc(4_700 / 20));
    assert_eq!((m.earned(), m.fees()), (paid, fee));
    assert_eq!(m.funds().0, before.0 - paid.0 - fee.0);
    let state = m.state();
    assert_eq!((state.settle_seq, state.receipts_settled), (1, 2));
    assert_eq!((state.settled_pico.get(), state.fee_pico.get()), (4_700_000_000, 235_000_000));
    assert_eq!(state.keys[0].settled_pico.get(), 4_935_000_000);
    let [event] = &done.events::<Settled>()[..] else { panic!("one event") };
    assert_eq!((event.vault, event.seq, event.receipts), (m.vault.address, 1, 2));
    assert_eq!((event.paid, event.fee), (paid.0, fee.0));
}

#[test]
fn the_chain_of_hashes_is_what_anybody_computes_from_the_groups() {
    let mut m = Market::open();
    let second = m.world.list(&m.provider, "second", price(3, 2, 1, 0));
    let other = m.world.authorize(&m.vault, 1, boundless());
    let mut head = [0; 32];
    for n in 1..=4 {
        let group = m.group(&[
            m.line(usage(n, 1, 2, 3)),
            Line { key: &other, ..m.line(usage(1, n, 0, 0)) },
            Line { offer: &second, ..m.line(usage(0, 0, n, 7)) },
        ]);
        m.settle(std::slice::from_ref(&group)).ok();
        head = written_out(&head, &group);
        assert_eq!((m.state().settle_hash, m.state().settle_seq), (head, n));
        assert_eq!(link(&m.state().settle_hash, &group), written_out(&head, &group));
    }
}

/// The specification's formula, byte by byte.
fn written_out(head: &[u8; 32], group: &SealedGroup) -> [u8; 32] {
    let mut text = head.to_vec();
    text.extend(b"steam-group:v1");
    text.extend(group.vault.to_bytes());
    text.extend(group.generation.to_le_bytes());
    text.extend(group.seq.to_le_bytes());
    text.extend(group.receipts.to_le_bytes());
    text.extend(group.fee_bps.to_le_bytes());
    text.push(group.lines.len() as u8);
    for line in &group.lines {
        text.push(line.slot | u8::from(line.long) << 7);
        text.extend(line.offer);
        let steam_protocol::units::Usage { requests, input, cached, cache_write, cache_write_long, output } =
            line.usage;
        for n in [line.version, requests, input, cached, cache_write, cache_write_long, output] {
            text.extend(n.to_le_bytes());
        }
    }
    steam_protocol::sha256(&[&text])
}

#[test]
fn fractions_of_a_micro_dollar_are_paid_once_they_add_up() {
    let mut m = Market::open();
    // A third of a µUSDC and a bit, three tokens at a time.
    let cheap = m.world.list(&m.provider, "cheap", price(111_111, 0, 0, 0));
    let mut sums = (0u128, 0u128);
    for n in 0..40u32 {
        let tokens = 1 + n % 5;
        let group = m.group(&[Line { offer: &cheap, ..m.line(usage(1, tokens, 0, 0)) }]);
        m.settle(&[group]).ok();
        let cost = 111_111 * u128::from(tokens);
        sums = (sums.0 + cost, sums.1 + cost * 500 / 10_000);
        let floors = (MicroUsdc((sums.0 / 1_000_000) as u64), MicroUsdc((sums.1 / 1_000_000) as u64));
        assert_eq!((m.earned(), m.fees()), floors, "after {n}");
        assert_eq!(m.state().keys[0].settled_pico.get(), sums.0 + sums.1);
    }
    assert!(m.earned().0 > 10);
}

#[test]
fn splitting_a_charge_moves_the_same_money() {
    // The same usage in one line, in sixteen, and in sixteen over four offers of one price.
    let total = usage(16, 16 * 333, 16 * 77, 16 * 55);
    let part = usage(1, 333, 77, 55);
    let odd = price(777_777, 333_333, 999_999, 0);
    let mut outcomes = Vec::new();
    for offers in [0, 1, 4] {
        let mut m = Market::open();
        let offers: Vec<_> = (0..offers.max(1)).map(|n| m.world.list(&m.provider, &format!("odd/{n}"), odd)).collect();
        let lines: Vec<Line> = if outcomes.is_empty() {
            vec![Line { offer: &offers[0], ..m.line(total) }]
        } else {
            (0..16).map(|n| Line { offer: &offers[n % offers.len()], ..m.line(part) }).collect()
        };
        let group = m.group(&lines);
        m.settle(&[group]).ok();
        outcomes.push((m.earned(), m.fees(), m.funds(), m.state().settled_pico.get(), m.state().fee_pico.get()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[test]
fn each_provider_gets_the_floor_steps_of_its_own_lines() {
    let mut m = Market::open();
    let rival = m.world.provider();
    // 0.4, 0.5, 0.1 and 2.5 µUSDC in turn: the sums are 0.4, 0.9, 1.0 and 3.5.
    let ours = m.world.list(&m.provider, "tenths", price(100_000, 0, 0, 0));
    let theirs = m.world.list(&rival, "tenths", price(100_000, 0, 0, 0));
    let line = |offer, tokens| Line { offer, ..m.line(usage(1, tokens, 0, 0)) };
    let group = m.group(&[line(&ours, 4), line(&ours, 5), line(&theirs, 1), line(&ours, 25)]);
    m.settle(&[group]).ok();
    assert_eq!((m.earned(), m.world.balance(&rival.token)), (MicroUsdc(2), MicroUsdc(1)));
}

#[test]
fn a_key_s_fee_is_rounded_down_in_each_group() {
    let mut m = Market::open();
    let other = m.world.authorize(&m.vault, 1, boundless());
    let pico = m.world.list(&m.provider, "pico", price(1, 0, 0, 0));
    // 5 % of 19 pico is 0.95: nothing, for each key by itself.
    let line = |key, tokens| Line { key, offer: &pico, ..m.line(usage(1, tokens, 0, 0)) };
    let groups = [m.group(&[line(&m.key, 19), line(&other, 19)])];
    m.settle(&groups).ok();
    assert_eq!((m.state().settled_pico.get(), m.state().fee_pico.get()), (38, 0));
    let line = |key, tokens| Line { key, offer: &pico, ..m.line(usage(1, tokens, 0, 0)) };
    let groups = [m.group(&[line(&m.key, 20), line(&other, 39)])];
    m.settle(&groups).ok();
    assert_eq!((m.state().settled_pico.get(), m.state().fee_pico.get()), (97, 2));
    assert_eq!(m.state().keys[1].settled_pico.get(), 19 + 39 + 1);
}

#[test]
fn the_largest_usage_at_the_highest_price_is_exact() {
    let mut m = Market::open();
    let dear = m.world.list(&m.provider, "dear", price(MAX_PRICE, MAX_PRICE, MAX_PRICE, 0));
    m.world.deposit(&m.vault, MicroUsdc(u64::MAX / 2));
    let all = u32::MAX;
    let group = m.group(&[Line { offer: &dear, ..m.line(usage(1, all, all, all)) }]);
    let before = m.state();
    m.settle(&[group]).ok();
    let charge = 3 * u128::from(all) * u128::from(MAX_PRICE);
    assert_eq!(m.state().settled_pico.get(), charge);
    let (paid, fee) = expected_moves(&before, &m.state());
    assert_eq!(u128::from(paid.0), charge / 1_000_000);
    assert_eq!((m.earned(), m.fees()), (paid, fee));
}

#[test]
fn a_charge_no_balance_could_hold_is_refused() {
    let mut m = Market::open();
    let dear = m.world.list(&m.provider, "dear", price(0, 0, 0, MAX_PRICE));
    // 4.3·10^9 requests at a million dollars each are 4.3·10^21 µUSDC.
    let group = m.group(&[Line { offer: &dear, ..m.line(usage(u32::MAX, 0, 0, 0)) }]);
    m.settle(&[group]).err(SteamError::AmountOverflow);
    m.world.edit_vault(&m.vault.address, |vault| vault.receipts_settled = u64::MAX);
    let group = m.charge(usage(1, 1, 0, 0));
    m.settle(&[group]).err(SteamError::AmountOverflow);
}

#[test]
fn money_is_conserved_over_many_vaults_and_keys() {
    let mut m = Market::open();
    let (rich, rich_key) = m.neighbour();
    let rival = m.world.provider();
    let theirs = m.world.list(&rival, "odd", price(123_457, 65_537, 7_654_321, 3));
    for n in 1..6 {
        let first = m.group(&[m.line(usage(n, 13 * n, n, 7)), Line { offer: &theirs, ..m.line(usage(1, n, 5, n)) }]);
        let second = m.world.group(
            &rich,
            &[Line { key: &rich_key, offer: &theirs, version: theirs.version, long: false, usage: usage(n, 3, 5, 7) }],
        );
        m.settle(&[first, second]).ok();
    }
    let states = [m.state(), m.world.vault(&rich.address)];
    let floor = |pico: u128| (pico / 1_000_000) as u64;
    let spent: u64 = states.iter().map(|vault| floor(vault.settled_pico.get()) + floor(vault.fee_pico.get())).sum();
    let held = m.funds().0 + m.world.balance(&rich.token).0;
    assert_eq!(held + spent, 2 * usdc(100).0);
    assert_eq!(m.earned().0 + m.world.balance(&rival.token).0 + m.fees().0, spent);
}

#[test]
fn the_fee_is_the_relayer_s_current_one_or_its_previous_within_grace() {
    let mut m = Market::open();
    let settle = |m: &mut Market, fee_bps| {
        let mut group = m.charge(usage(1, 10, 0, 0));
        group.fee_bps = fee_bps;
        let authorized = MicroUsdc(m.state().keys[0].settled_pico.get() as u64 / 1_000_000 + 1_000);
        group.vouchers[0].1 = m.world.sign(&m.vault, &m.key, authorized);
        m.settle(&[group])
    };
    settle(&mut m, 500).ok();
    for wrong in [0, 499, 501, 2_000, u16::MAX] {
        settle(&mut m, wrong).err(SteamError::FeeMismatch);
    }
    // What `update_relayer` would write: a rise to 7 %.
    let now = m.world.now();
    let at = state::Deadline { time: now.time, slot: now.slot };
    let next_from = at.after(DELAYS.fee_notice);
    m.world.edit::<state::Relayer>(&m.relayer.address, |relayer| {
        let current_until = next_from.after(DELAYS.price_grace);
        relayer.fee = FeeSchedule { next: 700, has_next: true, next_from, current_until, ..relayer.fee };
    });
    m.world.almost_pass(DELAYS.fee_notice);
    settle(&mut m, 700).err(SteamError::FeeMismatch);
    m.world.advance(1, 1);
    settle(&mut m, 700).ok();
    settle(&mut m, 500).ok();
    m.world.pass(DELAYS.price_grace);
    settle(&mut m, 500).err(SteamError::FeeMismatch);
    settle(&mut m, 700).ok();
}

#[test]
fn a_vault_that_cannot_pay_is_skipped_and_the_others_settle() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let total = 2_000_100 + 2_000_100 / 20;
    let poor = m.world.open_vault(&m.relayer);
    let poor_key = m.world.authorize(&poor, 0, boundless());
    m.world.deposit(&poor, MicroUsdc(total - 1));

    let million = usage(1, 1_000_000, 0, 0);
    let line = |key| Line { key, offer: &m.offer, version: m.offer.version, long: false, usage: million };
    let groups =
        [m.charge(million), m.world.group(&neighbour, &[line(&key)]), m.world.group(&poor, &[line(&poor_key)])];
    let (account, token) = (m.world.account(&poor.address), m.world.account(&poor.token));
    let done = m.settle(&groups).ok();
    assert_eq!(done.events::<Settled>().len(), 2);
    let [event] = &done.events::<Skipped>()[..] else { panic!("one vault is skipped") };
    assert_eq!((event.vault, event.seq, event.total), (poor.address, 1, total));
    // To the byte.
    assert_eq!((m.world.account(&poor.address), m.world.account(&poor.token)), (account, token));
    assert_eq!(m.earned(), MicroUsdc(2 * 2_000_100));

    // One µUSDC more and the same group settles, alone: the others are applied already.
    m.world.deposit(&poor, MicroUsdc(1));
    m.settle(&groups).ok();
    assert_eq!((m.world.balance(&poor.token), m.world.vault(&poor.address).settle_seq), (MicroUsdc(0), 1));
    assert_eq!(m.earned(), MicroUsdc(3 * 2_000_100));
}

#[test]
fn a_frozen_vault_is_skipped_and_the_others_settle() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let line = Line { key: &key, ..m.line(usage(1, 10, 0, 0)) };
    let groups = [m.charge(usage(1, 10, 0, 0)), m.world.group(&neighbour, &[line])];
    let token = m.vault.token;
    m.world.freeze(&token);
    let (account, frozen) = (m.world.account(&m.vault.address), m.world.account(&token));
    let done = m.settle(&groups).ok();
    assert_eq!((done.events::<Settled>().len(), done.events::<Skipped>().len()), (1, 1));
    assert_eq!((m.world.account(&m.vault.address), m.world.account(&token)), (account, frozen));
    m.world.thaw(&token);
    m.settle(&groups).ok();
    assert_eq!(m.state().settle_seq, 1);
}

#[test]
fn a_group_skipped_needs_no_valid_voucher() {
    // Nothing it could spend is there; its signature is checked when it is.
    let mut m = Market::open();
    let poor = m.world.open_vault(&m.relayer);
    let key = m.world.authorize(&poor, 0, boundless());
    let mut group = m.world.group(&poor, &[Line { key: &key, ..m.line(usage(1, 1_000, 0, 0)) }]);
    group.vouchers[0].1.signature = [0; 64];
    let done = m.settle(std::slice::from_ref(&group)).ok();
    assert_eq!(done.events::<Skipped>().len(), 1);
    m.world.deposit(&poor, usdc(1));
    m.settle(&[group]).err(SteamError::VoucherSignature);
}
