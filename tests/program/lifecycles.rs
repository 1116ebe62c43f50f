//! Lives of vaults, keys and prices in a real bank, where time passes slot by slot.

use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::state::{KeyGrant, Prices};
use steam_tests::world::{DELAYS, FUNDS, MODEL, PRICE, boundless, link};
use steam_tests::{Line, Market, World, usage, usdc};

#[test]
fn a_withdrawal_takes_its_delay() {
    let mut m = Market::in_bank();
    let owner = m.vault.owner.pubkey();
    let purse = m.world.token_account(&owner);
    m.world.request_withdraw(&m.vault, usdc(10)).ok();
    m.world.almost_pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    // Asked again, it starts anew; taken back, there is nothing to wait for.
    m.world.request_withdraw(&m.vault, usdc(20)).ok();
    m.world.advance(1, 1);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    m.world.cancel_withdraw(&m.vault).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::NoWithdrawal);
    m.world.request_withdraw(&m.vault, MicroUsdc(u64::MAX)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!((m.world.balance(&purse), m.funds()), (FUNDS, MicroUsdc(0)));
}

#[test]
fn a_withdrawal_needs_seconds_and_slots() {
    let mut m = Market::in_bank();
    let owner = m.vault.owner.pubkey();
    let purse = m.world.token_account(&owner);
    m.world.request_withdraw(&m.vault, usdc(10)).ok();
    m.world.advance(1_000_000, 0);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    m.world.advance(0, DELAYS.withdraw_delay.slots.into());
    m.world.execute_withdraw(&m.vault, &purse).ok();
    m.world.request_withdraw(&m.vault, usdc(10)).ok();
    m.world.advance(0, 10_000);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    m.world.advance(DELAYS.withdraw_delay.seconds.into(), 0);
    m.world.execute_withdraw(&m.vault, &purse).ok();
}

#[test]
fn a_price_rises_with_notice_and_settles_within_grace() {
    let mut m = Market::in_bank();
    let higher = Prices { output: 2 * PRICE.output, ..PRICE };
    let quoted = usage(1, 0, 0, 1_000);
    m.world.put_price(&m.provider, MODEL, higher).ok();
    let early = m.group(&[Line { version: m.offer.version + 1, ..m.line(quoted) }]);
    m.settle(&[early]).err(SteamError::PriceFuture);
    let old = m.charge(quoted);
    m.settle(&[old]).ok();
    assert_eq!(m.earned(), MicroUsdc(8_100));

    m.world.pass(DELAYS.price_notice);
    let new = m.group(&[Line { version: m.offer.version + 1, ..m.line(quoted) }]);
    m.settle(&[new]).ok();
    assert_eq!(m.earned(), MicroUsdc(8_100 + 16_100));
    let old = m.charge(quoted);
    m.settle(&[old]).ok();
    assert_eq!(m.earned(), MicroUsdc(8_100 + 16_100 + 8_100));

    m.world.pass(DELAYS.price_grace);
    let old = m.charge(quoted);
    m.settle(&[old]).err(SteamError::PriceOutdated);
}

#[test]
fn a_key_spends_window_by_window_until_it_is_revoked() {
    let mut m = Market::within(
        World::in_bank(),
        KeyGrant { window_seconds: 600, window_limit: 5_000, limit_total: 16_000, ..boundless() },
    );
    // 2,000 µUSDC, 100 for the request, 105 for the relayer.
    let thousand = usage(1, 1_000, 0, 0);
    for _ in 0..2 {
        for _ in 0..2 {
            let group = m.charge(thousand);
            m.settle(&[group]).ok();
        }
        let group = m.charge(thousand);
        m.settle(&[group]).err(SteamError::KeyWindowExceeded);
        m.world.advance(600, 1_000);
    }
    let group = m.charge(thousand);
    m.settle(&[group]).ok();
    m.world.advance(590, 1_000);
    m.world.revoke(&m.vault, 0, None).ok();
    m.world.advance(20, 10);
    let group = m.charge(thousand);
    m.settle(&[group]).ok();
    // The window would have ended by now, and the total has room.
    let group = m.charge(thousand);
    m.settle(&[group]).err(SteamError::KeyWindowExceeded);
    assert_eq!(m.state().keys[0].settled_pico.get(), 6 * 2_205_000_000);
}

#[test]
fn a_revoked_key_has_its_grace_and_then_makes_room() {
    let mut m = Market::in_bank();
    let thousand = usage(1, 1_000, 0, 0);
    let next = m.world.keypair();
    m.world.revoke(&m.vault, 0, None).ok();
    m.world.almost_pass(DELAYS.revoke_grace);
    let group = m.charge(thousand);
    m.settle(&[group]).ok();
    m.world.try_authorize(&m.vault, 0, &next, boundless()).err(SteamError::KeySlotInUse);
    m.world.advance(1, 1);
    let late = m.charge(thousand);
    m.settle(&[late]).err(SteamError::KeyClosed);
    m.world.try_authorize(&m.vault, 0, &next, boundless()).ok();
    assert_eq!((m.state().keys[0].key, m.state().keys[0].epoch), (next.pubkey(), 2));
}

#[test]
fn an_agreed_revocation_needs_no_grace() {
    let mut m = Market::in_bank();
    let settler = m.relayer.settler.insecure_clone();
    let late = m.charge(usage(1, 1_000, 0, 0));
    m.world.revoke(&m.vault, 0, Some(&settler)).ok();
    m.settle(&[late]).err(SteamError::KeyClosed);
    let next = m.world.keypair();
    m.world.try_authorize(&m.vault, 0, &next, boundless()).ok();
}

#[test]
fn a_pause_passes_and_what_was_served_before_settles_after() {
    let mut m = Market::in_bank();
    // Quoted, then everything that can happen at once happens: a rise, a revocation, a withdrawal, a pause.
    let served = m.charge(usage(1, 1_000_000, 0, 0));
    let owner = m.vault.owner.pubkey();
    let purse = m.world.token_account(&owner);
    m.world.put_price(&m.provider, MODEL, Prices { input: 2 * PRICE.input, ..PRICE }).ok();
    m.world.revoke(&m.vault, 0, None).ok();
    m.world.request_withdraw(&m.vault, MicroUsdc(u64::MAX)).ok();
    m.world.pause().ok();
    m.settle(std::slice::from_ref(&served)).err(SteamError::Paused);
    m.world.pass(DELAYS.max_pause);
    m.world.pause().err(SteamError::PauseCooldown);
    // A settle interval later it is still in time, at the price quoted.
    m.world.pass(DELAYS.settle_interval);
    m.settle(&[served]).ok();
    assert_eq!(m.earned(), MicroUsdc(2_000_100));
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!(m.world.balance(&purse).0, FUNDS.0 - m.earned().0 - m.fees().0);
}

#[test]
fn a_vault_lives_from_its_first_dollar_to_its_last() {
    let mut m = Market::in_bank();
    let mut head = [0; 32];
    for interval in 1..=5 {
        let group = m.charge(usage(interval, 1_000 * interval, 77, 333));
        m.settle(std::slice::from_ref(&group)).ok();
        m.settle(std::slice::from_ref(&group)).ok();
        head = link(&head, &group);
        m.world.pass(DELAYS.settle_interval);
    }
    let state = m.state();
    assert_eq!((state.settle_seq, state.settle_hash, state.receipts_settled), (5, head, 15));
    let owner = m.vault.owner.pubkey();
    let purse = m.world.token_account(&owner);
    let bank = m.world.token_account(&steam_tests::nobody("bank"));
    m.world.request_withdraw(&m.vault, MicroUsdc(u64::MAX)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    m.world.withdraw_earnings(&m.provider, &bank, MicroUsdc(u64::MAX)).ok();
    m.world.withdraw_fees(&m.relayer, &bank, MicroUsdc(u64::MAX)).ok();
    assert_eq!(m.world.balance(&purse).0 + m.world.balance(&bank).0, FUNDS.0);
    assert_eq!((m.funds(), m.earned(), m.fees()), (MicroUsdc(0), MicroUsdc(0), MicroUsdc(0)));
    // Empty, but open: a void takes the next place.
    let void = m.group(&[]);
    m.settle(&[void]).ok();
    assert_eq!(m.state().settle_seq, 6);
}
