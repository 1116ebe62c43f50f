//! Leaving: what an owner must wait for, and that nothing else is in the way.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::{WithdrawalCancelled, WithdrawalExecuted, WithdrawalRequested};
use steam_router::state::{self, Status};
use steam_tests::world::{DELAYS, FUNDS};
use steam_tests::{Market, nobody, usage, usdc};

const ALL: MicroUsdc = MicroUsdc(u64::MAX);

fn purse(m: &mut Market) -> Pubkey {
    let owner = m.vault.owner.pubkey();
    m.world.token_account(&owner)
}

#[test]
fn an_owner_withdraws_after_the_delay_in_time_and_in_slots() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let done = m.world.request_withdraw(&m.vault, usdc(40)).ok();
    assert_eq!(done.events::<WithdrawalRequested>()[0].unlock_at, m.state().unlock_at);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    m.world.almost_pass(DELAYS.withdraw_delay);
    // (a second early, a slot early), (on time, a slot early), (a second early, on time)
    for (seconds, slots) in [(0, 0), (1, 0), (-1, 1)] {
        m.world.advance(seconds, slots);
        m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    }
    m.world.advance(1, 0);
    let done = m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!(done.events::<WithdrawalExecuted>()[0].amount, usdc(40).0);
    assert_eq!((m.world.balance(&purse), m.funds()), (usdc(40), usdc(60)));
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::NoWithdrawal);
}

#[test]
fn a_new_request_replaces_the_old_and_restarts_the_clock() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    m.world.almost_pass(DELAYS.withdraw_delay);
    m.world.request_withdraw(&m.vault, usdc(2)).ok();
    m.world.advance(1, 1);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    m.world.almost_pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!(m.world.balance(&purse), usdc(2));
}

#[test]
fn a_request_can_be_taken_back() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.cancel_withdraw(&m.vault).err(SteamError::NoWithdrawal);
    m.world.request_withdraw(&m.vault, MicroUsdc(0)).err(SteamError::ZeroAmount);
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    let done = m.world.cancel_withdraw(&m.vault).ok();
    assert_eq!(done.events::<WithdrawalCancelled>()[0].amount, usdc(1).0);
    m.world.pass(DELAYS.withdraw_delay);
    m.world.execute_withdraw(&m.vault, &purse).err(SteamError::NoWithdrawal);
    m.world.cancel_withdraw(&m.vault).err(SteamError::NoWithdrawal);
}

#[test]
fn what_leaves_is_what_is_there() {
    for (asked, leaves) in [(ALL, FUNDS), (usdc(1_000), FUNDS), (MicroUsdc(FUNDS.0 - 1), MicroUsdc(FUNDS.0 - 1))] {
        let mut m = Market::open();
        let purse = purse(&mut m);
        m.world.request_withdraw(&m.vault, asked).ok();
        m.world.pass(DELAYS.withdraw_delay);
        m.world.execute_withdraw(&m.vault, &purse).ok();
        assert_eq!(m.world.balance(&purse), leaves, "of {asked}");
        assert_eq!(m.state().pending_withdrawal, 0);
    }
}

#[test]
fn what_was_served_before_settles_before_the_money_leaves() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.request_withdraw(&m.vault, ALL).ok();
    m.world.almost_pass(DELAYS.withdraw_delay);
    let group = m.charge(usage(1, 1_000_000, 0, 0));
    m.settle(&[group]).ok();
    m.world.advance(1, 1);
    let left = m.funds();
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!((m.world.balance(&purse), m.funds()), (left, MicroUsdc(0)));
}

#[test]
fn neither_the_relayer_s_status_nor_its_keys_keep_an_owner() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    for status in [Status::Suspended, Status::Retired] {
        m.world.edit::<state::Relayer>(&m.relayer.address, |relayer| relayer.status = status);
        let vault = m.world.open_vault(&m.relayer);
        m.world.deposit(&vault, usdc(1));
        m.world.request_withdraw(&m.vault, usdc(1)).ok();
        m.world.pass(DELAYS.withdraw_delay);
        m.world.execute_withdraw(&m.vault, &purse).ok();
    }
    assert_eq!(m.world.balance(&purse), usdc(2));
}

#[test]
fn the_money_goes_to_another_account_of_the_dollar() {
    let mut m = Market::open();
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    let other = nobody("other mint");
    m.world.issue_mint(&other, 6);
    let foreign = m.world.token_account_of(&nobody("bank"), &other);
    m.world.execute_withdraw(&m.vault, &foreign).err(SteamError::InvalidDestination);
    let itself = m.vault.token;
    m.world.execute_withdraw(&m.vault, &itself).anchor_err(ErrorCode::ConstraintDuplicateMutableAccount);
    let friend = m.world.token_account(&nobody("friend"));
    m.world.execute_withdraw(&m.vault, &friend).ok();
    assert_eq!(m.world.balance(&friend), usdc(1));
}

#[test]
fn money_leaves_the_vault_s_own_account_only() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let (neighbour, _) = m.neighbour();
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    let (owner, mint) = (m.vault.owner.pubkey(), m.world.mint);
    let mut execute = steam::instructions::execute_withdraw(&owner, &m.relayer.address, &mint, &purse);
    execute.accounts[2].pubkey = neighbour.token;
    let owner = m.vault.owner.insecure_clone();
    m.world.run(&[execute], &[&owner]).err(SteamError::VaultTokenMismatch);
}

#[test]
fn a_frozen_vault_cannot_be_emptied_and_keeps_its_request() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.request_withdraw(&m.vault, usdc(1)).ok();
    m.world.pass(DELAYS.withdraw_delay);
    let token = m.vault.token;
    m.world.freeze(&token);
    // The token program: account is frozen.
    m.world.execute_withdraw(&m.vault, &purse).code(17);
    m.world.thaw(&token);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    assert_eq!(m.world.balance(&purse), usdc(1));
}
