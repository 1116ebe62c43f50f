//! Closing a vault, and opening another in its place.

use anchor_lang::error::ErrorCode;
use anchor_lang::prelude::Pubkey;
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::VaultClosed;
use steam_tests::world::{DELAYS, FUNDS, boundless};
use steam_tests::{Market, nobody, usage, usdc};

const ALL: MicroUsdc = MicroUsdc(u64::MAX);

fn purse(m: &mut Market) -> Pubkey {
    let owner = m.vault.owner.pubkey();
    m.world.token_account(&owner)
}

/// Asks for everything and waits.
fn unlock(m: &mut Market) {
    m.world.request_withdraw(&m.vault, ALL).ok();
    m.world.pass(DELAYS.withdraw_delay);
}

fn lamports(m: &Market, address: &Pubkey) -> u64 {
    m.world.account(address).map_or(0, |account| account.lamports)
}

#[test]
fn a_closed_vault_leaves_nothing_behind() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let generation = m.state().generation;
    unlock(&mut m);
    let (vault, token, payer) = (m.vault.address, m.vault.token, m.world.payer.pubkey());
    let rent = lamports(&m, &vault) + lamports(&m, &token);
    let before = lamports(&m, &payer);
    let done = m.world.close_vault(&m.vault, &purse).ok();
    let [event] = &done.events::<VaultClosed>()[..] else { panic!("one event") };
    assert_eq!((event.vault, event.generation), (vault, generation));
    assert_eq!((event.destination, event.amount), (purse, FUNDS.0));
    assert_eq!(m.world.balance(&purse), FUNDS);
    assert!(m.world.account(&vault).is_none() && m.world.account(&token).is_none());
    // The rent went back to who paid it, who also paid this transaction's two signatures.
    assert_eq!(lamports(&m, &payer), before + rent - 2 * 5_000);
}

#[test]
fn a_vault_that_was_emptied_closes_without_a_second_delay() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    unlock(&mut m);
    m.world.execute_withdraw(&m.vault, &purse).ok();
    // What comes afterwards takes a request and its delay again.
    m.world.deposit(&m.vault, usdc(1));
    m.world.close_vault(&m.vault, &purse).err(SteamError::NoWithdrawal);
    unlock(&mut m);
    let all = [
        steam::instructions::execute_withdraw(&m.vault.owner.pubkey(), &m.relayer.address, &m.world.mint, &purse),
        m.world.close_instruction(&m.vault, &purse),
    ];
    let owner = m.vault.owner.insecure_clone();
    m.world.run(&all, &[&owner]).ok();
    assert_eq!(m.world.balance(&purse), usdc(101));
    assert!(m.world.account(&m.vault.address).is_none());
}

#[test]
fn a_vault_closes_only_after_waiting_for_everything() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    m.world.close_vault(&m.vault, &purse).err(SteamError::NoWithdrawal);
    for amount in [FUNDS, MicroUsdc(u64::MAX - 1)] {
        m.world.request_withdraw(&m.vault, amount).ok();
        m.world.pass(DELAYS.withdraw_delay);
        m.world.close_vault(&m.vault, &purse).err(SteamError::CloseNeedsAll);
    }
    m.world.request_withdraw(&m.vault, ALL).ok();
    m.world.almost_pass(DELAYS.withdraw_delay);
    // (a second early, a slot early), (on time, a slot early), (a second early, on time)
    for (seconds, slots) in [(0, 0), (1, 0), (-1, 1)] {
        m.world.advance(seconds, slots);
        m.world.close_vault(&m.vault, &purse).err(SteamError::WithdrawalLocked);
    }
    m.world.advance(1, 0);
    m.world.close_vault(&m.vault, &purse).ok();
}

#[test]
fn a_pause_does_not_keep_a_vault_open() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    unlock(&mut m);
    m.world.pause().ok();
    m.world.close_vault(&m.vault, &purse).ok();
}

#[test]
fn only_its_owner_closes_a_vault() {
    let mut m = Market::open();
    unlock(&mut m);
    let thief = m.world.keypair();
    let loot = m.world.token_account(&thief.pubkey());
    let mut close = m.world.close_instruction(&m.vault, &loot);
    close.accounts[0].pubkey = thief.pubkey();
    m.world.run(&[close], &[&thief]).err(SteamError::NotOwner);
}

#[test]
fn rent_and_money_go_where_they_belong() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    unlock(&mut m);
    let owner = m.vault.owner.insecure_clone();
    let close = m.world.close_instruction(&m.vault, &purse);
    let mut greedy = close.clone();
    greedy.accounts[1].pubkey = nobody("greedy");
    m.world.run(&[greedy], &[&owner]).err(SteamError::NotRentPayer);

    let (neighbour, _) = m.neighbour();
    let mut poached = close;
    poached.accounts[3].pubkey = neighbour.token;
    m.world.run(&[poached], &[&owner]).err(SteamError::VaultTokenMismatch);

    let other = nobody("other mint");
    m.world.issue_mint(&other, 6);
    let foreign = m.world.token_account_of(&nobody("bank"), &other);
    m.world.close_vault(&m.vault, &foreign).err(SteamError::InvalidDestination);
}

#[test]
fn a_frozen_vault_stays_open_and_keeps_its_request() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    unlock(&mut m);
    let token = m.vault.token;
    m.world.freeze(&token);
    // The token program: account is frozen.
    m.world.close_vault(&m.vault, &purse).code(17);
    m.world.thaw(&token);
    m.world.close_vault(&m.vault, &purse).ok();
}

#[test]
fn a_vault_opened_in_the_transaction_that_closed_the_last_is_another() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let first = m.state().generation;
    // A group that settled, and what was signed for it.
    let old = m.charge(usage(1, 1_000, 0, 0));
    m.settle(std::slice::from_ref(&old)).ok();
    unlock(&mut m);

    let (owner, key) = (m.vault.owner.insecure_clone(), m.key.keypair.insecure_clone());
    let relayer = m.relayer.address;
    let all = [
        m.world.close_instruction(&m.vault, &purse),
        steam::instructions::open_vault(&owner.pubkey(), &m.world.payer.pubkey(), &relayer, &m.world.mint),
        steam::instructions::authorize_key(&owner.pubkey(), &owner.pubkey(), &relayer, &key.pubkey(), 0, boundless()),
    ];
    m.world.run(&all, &[&owner, &key]).ok();
    m.world.deposit(&m.vault, usdc(100));
    let state = m.state();
    assert_eq!((state.generation, state.settle_seq, state.epochs), (m.world.now().slot, 0, 1));
    assert!(state.generation > first);
    // The same vault, slot, epoch and sequence number, signed by the same key: but for another generation.
    m.settle(&[old]).err(SteamError::VoucherSignature);
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.settle(&[group]).ok();
    // And it cannot be closed again at once.
    m.world.close_vault(&m.vault, &purse).err(SteamError::NoWithdrawal);
}

#[test]
fn no_vault_closes_in_the_slot_it_was_opened_in() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let vault = m.world.open_vault(&m.relayer);
    // The next vault would have the same generation.
    m.world.close_vault(&vault, &purse).err(SteamError::GenerationNotOver);
    m.world.advance(0, 1);
    m.world.close_vault(&vault, &purse).ok();
}

#[test]
fn what_is_sent_to_a_closed_vault_comes_back_by_opening_it() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    unlock(&mut m);
    m.world.close_vault(&m.vault, &purse).ok();
    let address = m.vault.address;
    m.world.token_account(&address);
    m.world.deposit(&m.vault, usdc(3));
    let owner = m.vault.owner.insecure_clone();
    m.world.try_open_vault(&owner, &m.relayer.address).ok();
    unlock(&mut m);
    m.world.close_vault(&m.vault, &purse).ok();
    assert_eq!(m.world.balance(&purse).0, FUNDS.0 + usdc(3).0);
}

#[test]
fn a_closed_vault_is_left_out() {
    let mut m = Market::open();
    let purse = purse(&mut m);
    let (neighbour, key) = m.neighbour();
    let closed = m.charge(usage(1, 1_000, 0, 0));
    let line = steam_tests::Line {
        key: &key,
        offer: &m.offer,
        version: m.offer.version,
        long: false,
        usage: usage(1, 2_000, 0, 0),
    };
    let group = m.world.group(&neighbour, &[line]);
    unlock(&mut m);
    m.world.close_vault(&m.vault, &purse).ok();
    m.settle(&[closed, group.clone()]).anchor_err(ErrorCode::AccountOwnedByWrongProgram);
    m.settle(&[group]).ok();
}
