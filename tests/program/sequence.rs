//! No group of charges applies twice, whatever is sent again, reordered or forked.

use solana_signer::Signer;
use steam::ledger::SealedGroup;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::events::Settled;
use steam_tests::world::link;
use steam_tests::{Line, Market, usage};

#[test]
fn a_group_sent_again_changes_nothing() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.settle(std::slice::from_ref(&group)).ok();
    let (account, earned, funds) = (m.world.account(&m.vault.address), m.earned(), m.funds());
    for _ in 0..2 {
        let done = m.settle(std::slice::from_ref(&group)).ok();
        assert!(done.events::<Settled>().is_empty());
    }
    assert_eq!((m.world.account(&m.vault.address), m.earned(), m.funds()), (account, earned, funds));
}

#[test]
fn the_same_transaction_sent_again_is_refused_by_the_network() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    let bytes = m.world.settlement(&m.relayer, &[group]);
    m.world.send_bytes(&bytes).ok();
    m.world.send_bytes(&bytes).runtime_err("AlreadyProcessed");
    assert_eq!(m.state().settle_seq, 1);
}

#[test]
fn the_same_batch_twice_in_one_transaction_applies_once() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    let settle = m.world.settle_instruction(&m.relayer, &[group]);
    let (settler, key) = (m.relayer.settler.insecure_clone(), m.relayer.settler.pubkey());
    let done = m.world.run_paid_by(&key, &[settle.clone(), settle], &[&settler]).ok();
    assert_eq!(done.events::<Settled>().len(), 1);
    assert_eq!((m.state().settle_seq, m.earned()), (1, MicroUsdc(2_100)));
}

#[test]
fn groups_in_a_row_settle_in_one_transaction_in_their_order_only() {
    let mut m = Market::open();
    let first = m.charge(usage(1, 1_000, 0, 0));
    let mut second = first.clone();
    second.seq = 2;
    second.vouchers[0].1 = m.world.sign(&m.vault, &m.key, MicroUsdc(2 * 2_205));
    let settle = |group: &SealedGroup| m.world.settle_instruction(&m.relayer, std::slice::from_ref(group));
    let (first, second) = (settle(&first), settle(&second));
    let (settler, key) = (m.relayer.settler.insecure_clone(), m.relayer.settler.pubkey());
    m.world.run_paid_by(&key, &[second.clone(), first.clone()], &[&settler]).err(SteamError::SeqGap);
    assert_eq!(m.state().settle_seq, 0);
    m.world.run_paid_by(&key, &[first, second], &[&settler]).ok();
    assert_eq!((m.state().settle_seq, m.earned()), (2, MicroUsdc(2 * 2_100)));
}

#[test]
fn two_batches_with_the_same_group_apply_it_once() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let shared = m.charge(usage(1, 1_000, 0, 0));
    let other = m.world.group(&neighbour, &[Line { key: &key, ..m.line(usage(1, 10, 0, 0)) }]);
    m.settle(std::slice::from_ref(&shared)).ok();
    let earned = m.earned();
    let done = m.settle(&[shared, other]).ok();
    let [event] = &done.events::<Settled>()[..] else { panic!("only the other applies") };
    assert_eq!(event.vault, neighbour.address);
    assert_eq!((m.state().settle_seq, m.earned().0 - earned.0), (1, event.paid));
}

#[test]
fn a_fork_of_the_ledger_does_not_apply_at_a_seq_that_is_taken() {
    let mut m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    let forked = m.charge(usage(7, 7_000, 0, 0));
    m.settle(std::slice::from_ref(&group)).ok();
    m.settle(&[forked]).ok();
    assert_eq!((m.state().settle_hash, m.state().receipts_settled), (link(&[0; 32], &group), 1));
}

#[test]
fn no_group_is_left_out() {
    let mut m = Market::open();
    let mut group = m.charge(usage(1, 1_000, 0, 0));
    for seq in [2, 3, 1_000, u32::MAX] {
        group.seq = seq;
        m.settle(std::slice::from_ref(&group)).err(SteamError::SeqGap);
    }
    // Before the first there is nothing: applied, so to speak.
    group.seq = 0;
    m.settle(std::slice::from_ref(&group)).ok();
    assert_eq!((m.state().settle_seq, m.earned()), (0, MicroUsdc(0)));
}

#[test]
fn a_void_group_takes_its_place_and_moves_nothing() {
    let mut m = Market::open();
    let (account, funds) = (m.state(), m.funds());
    let void = m.group(&[]);
    let done = m.settle(std::slice::from_ref(&void)).ok();
    let [event] = &done.events::<Settled>()[..] else { panic!("one event") };
    assert_eq!((event.seq, event.receipts, event.paid, event.fee), (1, 0, 0, 0));
    let state = m.state();
    assert_eq!((state.settle_seq, state.settle_hash), (1, link(&account.settle_hash, &void)));
    assert_eq!((state.receipts_settled, state.settled_pico, m.funds()), (0, account.settled_pico, funds));
    // What was at its seq before comes too late; what follows settles.
    let next = m.charge(usage(1, 1_000, 0, 0));
    assert_eq!(next.seq, 2);
    m.settle(&[next]).ok();
}

#[test]
fn a_void_group_claims_nothing() {
    let mut m = Market::open();
    let mut void = m.group(&[]);
    void.receipts = 1;
    m.settle(std::slice::from_ref(&void)).err(SteamError::ReceiptCount);
    void.receipts = 0;
    void.vouchers = vec![(0, m.world.sign(&m.vault, &m.key, MicroUsdc(1)))];
    m.settle(std::slice::from_ref(&void)).err(SteamError::VoucherUnused);
    // Its fee is nobody's, so it does not matter.
    void.vouchers.clear();
    void.fee_bps = u16::MAX;
    m.settle(&[void]).ok();
}

#[test]
fn a_charge_of_nothing_is_no_void() {
    let mut m = Market::open();
    let group = m.charge(usage(0, 0, 0, 0));
    m.settle(&[group]).err(SteamError::ReceiptCount);
}

#[test]
fn a_frozen_vault_is_not_voided() {
    let mut m = Market::open();
    let token = m.vault.token;
    m.world.freeze(&token);
    let void = m.group(&[]);
    m.settle(&[void]).ok();
    // Skipped like any other group.
    assert_eq!(m.state().settle_seq, 0);
}

#[test]
fn the_last_seq_is_the_last() {
    let mut m = Market::open();
    m.world.edit_vault(&m.vault.address, |vault| vault.settle_seq = u32::MAX - 1);
    let last = m.charge(usage(1, 1_000, 0, 0));
    m.settle(std::slice::from_ref(&last)).ok();
    let earned = m.earned();
    m.settle(&[last]).ok();
    assert_eq!((m.state().settle_seq, m.earned()), (u32::MAX, earned));
}
