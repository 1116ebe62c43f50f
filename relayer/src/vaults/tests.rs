//! Admission, rule by rule: each test fails if its rule is deleted.

use super::*;
use crate::chain::{KeySnapshot, Pubkey};
use crate::clock::Clock;
use crate::ledger::incidents::WrittenOff;
use crate::ledger::partitions::Share;
use crate::ledger::{Agreement, ChargeId, IncidentReport, Ledger, LedgerError, Loaded, RecentRequest, SealedGroup};
use crate::vaults::{Identity, Vaults};
use ed25519_dalek::SigningKey;
use std::sync::Arc;
use steam_protocol::units::Price;

const NOW: i64 = 1_000;

fn snapshot() -> VaultSnapshot {
    VaultSnapshot {
        address: Pubkey::new_from_array([1; 32]),
        owner: Pubkey::new_from_array([2; 32]),
        generation: 7,
        slot: 100,
        token: Pubkey::new_from_array([3; 32]),
        balance: MicroUsdc(1_000),
        keys: vec![KeySnapshot {
            key: [4; 32],
            epoch: 1,
            expires: 5_000,
            limit_total: MicroUsdc(900),
            max_price: Price::default(),
            max_fee_bps: 100,
            ..KeySnapshot::default()
        }],
        ..VaultSnapshot::default()
    }
}

fn account(change: impl FnOnce(&mut VaultSnapshot)) -> VaultAccount {
    let mut snapshot = snapshot();
    change(&mut snapshot);
    let mut account = VaultAccount::new(&snapshot, LoadedVault::default(), std::iter::empty(), 1);
    account.update(&snapshot, NOW);
    account
}

fn key() -> KeyRef {
    KeyRef { vault: Pubkey::new_from_array([1; 32]), generation: 7, slot: 0, epoch: 1, key: [4; 32] }
}

fn signed(authorized: u64) -> Consent {
    Consent::Voucher { authorized: MicroUsdc(authorized), signature: [0; 64] }
}

fn bearer() -> Consent {
    Consent::Bearer(steam_protocol::key::SessionKey::from_seed(&[9; 32]))
}

fn hold(account: &mut VaultAccount, consent: &Consent, hash: u8, micro: u64) -> Result<(), Refusal> {
    account.reserve(&key(), consent, [hash; 32], (MicroUsdc(micro).pico(), 50), NOW).map(drop)
}

fn spend(account: &mut VaultAccount, hash: u8, held: u64, used: u64) {
    hold(account, &bearer(), hash, held).unwrap();
    account.charge(&key(), [hash; 32], MicroUsdc(held).pico(), MicroUsdc(used).pico());
}

#[test]
fn holds_and_charges_come_off_the_balance_and_a_released_hold_comes_back() {
    let mut account = account(|s| s.balance = MicroUsdc(100));
    hold(&mut account, &bearer(), 1, 60).unwrap();
    let refused = hold(&mut account, &bearer(), 2, 41).unwrap_err();
    assert!(matches!(refused, Refusal::Funds { available: MicroUsdc(40), needed: MicroUsdc(41) }), "{refused}");
    hold(&mut account, &bearer(), 2, 40).unwrap();
    account.release(&key(), [1; 32], MicroUsdc(60).pico());
    account.charge(&key(), [2; 32], MicroUsdc(40).pico(), MicroUsdc(30).pico());
    assert_eq!(account.available(), MicroUsdc(70).pico());
    assert_eq!((account.held(), account.unsettled()), (Pico::ZERO, MicroUsdc(30).pico()));
}

#[test]
fn a_pending_withdrawal_and_a_frozen_account_are_not_available() {
    let mut account = account(|s| (s.balance, s.pending_withdrawal) = (MicroUsdc(100), MicroUsdc(70)));
    assert!(matches!(hold(&mut account, &bearer(), 1, 31), Err(Refusal::Funds { .. })));
    hold(&mut account, &bearer(), 1, 30).unwrap();
    let mut frozen = self::account(|s| s.frozen = true);
    assert!(matches!(hold(&mut frozen, &bearer(), 1, 1), Err(Refusal::Funds { .. })));
}

#[test]
fn a_vault_with_a_history_is_sold_nothing_until_it_was_compared() {
    let mut account = account(|s| s.settle_seq = 1);
    let refused = hold(&mut account, &bearer(), 1, 1).unwrap_err();
    assert!(matches!(refused, Refusal::VaultUnavailable(VaultUnavailable::Unclear)), "{refused}");
    account.resume();
    hold(&mut account, &bearer(), 1, 1).unwrap();
}

#[test]
fn nothing_is_held_while_withdrawals_may_be_carried_out_that_a_copy_does_not_know() {
    let mut account = account(|_| ());
    account.agreed([Agreement::unknown(snapshot().address, 101)]);
    let refused = hold(&mut account, &bearer(), 1, 1).unwrap_err();
    assert!(matches!(refused, Refusal::VaultUnavailable(VaultUnavailable::Recovering)), "{refused}");
    account.update(&VaultSnapshot { slot: 102, ..snapshot() }, NOW);
    hold(&mut account, &bearer(), 1, 1).unwrap();
}

#[test]
fn a_settlement_moves_a_sum_from_unsettled_to_settled_in_one_snapshot() {
    let mut account = account(|s| s.balance = MicroUsdc(100));
    spend(&mut account, 1, 50, 30);
    account.sealed(1, &Totals::from([(1, MicroUsdc(30).pico())]));
    spend(&mut account, 2, 20, 5);
    assert_eq!(account.unsettled(), MicroUsdc(35).pico());

    let mut next = snapshot();
    (next.slot, next.settle_seq, next.balance) = (101, 1, MicroUsdc(70));
    next.keys[0].settled = MicroUsdc(30).pico();
    account.update(&next, NOW);
    assert_eq!(account.unsettled(), MicroUsdc(5).pico());
    assert_eq!(account.available(), MicroUsdc(65).pico());

    let older = VaultSnapshot { slot: 99, balance: MicroUsdc(9_999), ..snapshot() };
    account.update(&older, NOW);
    assert_eq!(account.available(), MicroUsdc(65).pico(), "an older reading must not win");
}

#[test]
fn a_voided_group_is_unsettled_again() {
    let mut account = account(|_| {});
    spend(&mut account, 1, 50, 30);
    account.sealed(1, &Totals::from([(1, MicroUsdc(30).pico())]));
    account.unsealed(1);
    let next = VaultSnapshot { slot: 101, settle_seq: 1, ..snapshot() };
    account.update(&next, NOW);
    assert_eq!(account.unsettled(), MicroUsdc(30).pico());
}

#[test]
fn a_key_is_bounded_by_its_total_limit_with_what_is_settled_unsettled_and_held() {
    let mut account = account(|s| s.keys[0].settled = MicroUsdc(500).pico());
    spend(&mut account, 1, 100, 100);
    hold(&mut account, &bearer(), 2, 200).unwrap();
    let refused = hold(&mut account, &bearer(), 3, 101).unwrap_err();
    assert!(matches!(refused, Refusal::KeyLimit { available: MicroUsdc(100), needed: MicroUsdc(101) }), "{refused}");
    hold(&mut account, &bearer(), 3, 100).unwrap();
}

#[test]
fn a_window_counts_everything_unsettled_and_starts_anew_only_by_the_chains_clock() {
    let window = |s: &mut VaultSnapshot| {
        let key = &mut s.keys[0];
        (key.window_seconds, key.window_limit) = (100, MicroUsdc(50));
        (key.window_start, key.window_spent) = (NOW - 99, MicroUsdc(20).pico());
    };
    let mut account = account(window);
    spend(&mut account, 1, 10, 10);
    let refused = hold(&mut account, &bearer(), 2, 21).unwrap_err();
    assert!(matches!(refused, Refusal::WindowLimit { available: MicroUsdc(20), needed: MicroUsdc(21) }), "{refused}");
    let mut next = snapshot();
    window(&mut next);
    next.slot = 101;
    account.update(&next, NOW + 1);
    hold(&mut account, &bearer(), 2, 40).unwrap();
    assert!(matches!(hold(&mut account, &bearer(), 3, 1), Err(Refusal::WindowLimit { .. })));
}

#[test]
fn a_voucher_covers_what_is_spent_held_and_asked_for_whatever_the_order_of_arrival() {
    let mut account = account(|s| s.keys[0].settled = MicroUsdc(10).pico());
    spend(&mut account, 1, 20, 20);
    let refused = hold(&mut account, &signed(79), 2, 50).unwrap_err();
    assert!(matches!(refused, Refusal::Authorized { needed: MicroUsdc(80), got: MicroUsdc(79) }), "{refused}");
    // The voucher for both requests arrives first; the one that was signed before it is covered by it.
    hold(&mut account, &signed(130), 3, 50).unwrap();
    hold(&mut account, &signed(80), 2, 50).unwrap();
    assert!(matches!(hold(&mut account, &signed(130), 4, 1), Err(Refusal::Authorized { .. })));
}

#[test]
fn a_request_counts_once_while_it_runs_and_after_it_was_charged() {
    let mut account = account(|_| {});
    hold(&mut account, &signed(10), 1, 10).unwrap();
    assert!(matches!(hold(&mut account, &signed(100), 1, 10), Err(Refusal::Replay { .. })));
    account.charge(&key(), [1; 32], MicroUsdc(10).pico(), MicroUsdc(5).pico());
    assert!(matches!(hold(&mut account, &signed(100), 1, 10), Err(Refusal::Replay { .. })));
    account.forget_before(NOW + REMEMBER_SECONDS);
    assert!(matches!(hold(&mut account, &signed(100), 1, 10), Err(Refusal::Replay { .. })));
    account.forget_before(NOW + REMEMBER_SECONDS + 1);
    hold(&mut account, &signed(100), 1, 10).unwrap();
    account.forget(&key(), [1; 32]);
    hold(&mut account, &signed(100), 1, 10).unwrap();
    // A request that came to nothing may be sent again.
    hold(&mut account, &signed(100), 2, 10).unwrap();
    account.release(&key(), [2; 32], MicroUsdc(10).pico());
    hold(&mut account, &signed(100), 2, 10).unwrap();
}

#[test]
fn a_charge_of_which_nobody_can_tell_stays_owed_and_one_that_was_not_kept_comes_back() {
    let left = |kept: Result<ChargeId, &LedgerError>| {
        let mut account = account(|_| {});
        hold(&mut account, &signed(100), 1, 10).unwrap();
        account.charge(&key(), [1; 32], MicroUsdc(10).pico(), MicroUsdc(5).pico());
        crate::vaults::hold::ended(&mut account, (&key(), [1; 32]), (MicroUsdc(5).pico(), false), kept);
        (account.available(), hold(&mut account, &signed(200), 1, 10).is_ok())
    };
    assert_eq!(left(Err(&LedgerError::Unknown("the server went away".into()))), (MicroUsdc(995).pico(), false));
    assert_eq!(left(Ok(1)), (MicroUsdc(995).pico(), false));
    assert_eq!(left(Err(&LedgerError::Busy)), (MicroUsdc(1_000).pico(), true));
}

#[test]
fn a_key_must_be_known_in_force_and_of_this_generation() {
    type Change = fn(&mut VaultSnapshot);
    type Expected = fn(&Refusal) -> bool;
    let cases: [(Change, Expected); 4] = [
        (|s| s.keys[0].revoked_at = 1, |r| matches!(r, Refusal::KeyRevoked)),
        (|s| s.keys[0].expires = NOW, |r| matches!(r, Refusal::KeyExpired)),
        (|s| s.keys[0].epoch = 2, |r| matches!(r, Refusal::UnknownKey)),
        (|s| s.generation = 8, |r| matches!(r, Refusal::UnknownKey)),
    ];
    for (change, expected) in cases {
        let refused = hold(&mut account(change), &bearer(), 1, 1).unwrap_err();
        assert!(expected(&refused), "{refused}");
    }
    let account = account(|_| {});
    assert!(matches!(account.key(&[5; 32], NOW), Err(Refusal::UnknownKey)));
    assert_eq!(account.key(&[4; 32], NOW).unwrap().0, key());
}

#[test]
fn a_fee_above_the_keys_limit_and_a_halted_vault_take_no_request() {
    let mut account = account(|_| {});
    let above = account.reserve(&key(), &bearer(), [1; 32], (Pico(1), 101), NOW);
    assert!(matches!(above, Err(Refusal::FeeAboveKeyLimit { fee_bps: 101, max_fee_bps: 100 })));
    account.halt();
    assert!(matches!(hold(&mut account, &bearer(), 1, 1), Err(Refusal::VaultUnavailable(VaultUnavailable::Halted))));
    account.resume();
    hold(&mut account, &bearer(), 1, 1).unwrap();
}

/// What key 1 owes in micro-dollars, in sealed groups or not sealed.
fn owed(sums: &[(Option<u32>, u64)]) -> Unsettled {
    let mut unsettled = Unsettled::default();
    for (seq, amount) in sums {
        unsettled.charge(1, MicroUsdc(*amount).pico());
        if let Some(seq) = seq {
            unsettled.seal(*seq, &Totals::from([(1, MicroUsdc(*amount).pico())]));
        }
    }
    unsettled
}

/// A relayer's vaults, none of which the chain has shown yet, with what the ledger knows of them.
fn vaults(loaded: Loaded) -> (tempfile::TempDir, Vaults) {
    let files = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&files.path().join("steam.db"), &[0; 32], &[0; 32]).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
    let receipt_key = SigningKey::from_bytes(&[5; 32]);
    let identity = Identity { domain: [0; 32], relayer: Pubkey::default(), key_id: 0, receipt_key };
    (files, Vaults::new(identity, ledger, clock, loaded))
}

#[test]
fn what_happens_to_a_vault_before_the_chain_has_shown_it_is_not_forgotten() {
    let snapshot = snapshot();
    let loaded = LoadedVault { unsettled: owed(&[(None, 3), (None, 8), (Some(1), 4)]), ..LoadedVault::default() };
    let vault = (snapshot.address, snapshot.generation);
    let (_files, vaults) = vaults(Loaded { vaults: HashMap::from([(vault, loaded)]), ..Loaded::default() });
    let group = |seq| SealedGroup::empty(vault.0, vault.1, seq);
    let totals = Totals::from([(1, MicroUsdc(8).pico())]);
    // The first group is voided, so that its charges are owed when it is settled; what is sealed next is not, once it is.
    vaults.unsealed(&group(1));
    vaults.unsealed(&group(1));
    vaults.sealed(&group(2), &totals);
    let off = WrittenOff { vault: vault.0, generation: vault.1, epoch: 1, amount: MicroUsdc(1).pico() };
    vaults.apply_incidents(IncidentReport { written_off: vec![off], ..IncidentReport::default() });
    let unsettled = |seq| {
        vaults.update(
            &[VaultSnapshot { settle_seq: seq, slot: snapshot.slot + u64::from(seq), ..snapshot.clone() }],
            NOW,
            50,
        );
        vaults.sums().unsettled
    };
    assert_eq!(unsettled(1), MicroUsdc(3 + 8 + 4 - 1).pico());
    assert_eq!(unsettled(2), MicroUsdc(3 + 4 - 1).pico());
}

#[test]
fn numbers_and_cumulative_sums_go_on_where_the_ledger_left_off() {
    let key_total = crate::ledger::LoadedKey { cumulative: MicroUsdc(30).pico(), authorized: MicroUsdc(40) };
    let loaded = LoadedVault {
        next_number: 5,
        keys: HashMap::from([(1, key_total)]),
        unsettled: owed(&[(None, 3), (Some(2), 4)]),
    };
    let recent = [RecentRequest {
        vault: Pubkey::new_from_array([1; 32]),
        epoch: 1,
        request_hash: [8; 32],
        started_ms: NOW * 1_000,
        charge: 4,
    }];
    let mut account = VaultAccount::new(&snapshot(), loaded, recent.iter(), 1);
    account.update(&snapshot(), NOW);
    assert_eq!(account.unsettled(), MicroUsdc(7).pico());
    assert!(matches!(hold(&mut account, &bearer(), 8, 1), Err(Refusal::Replay { .. })));
    assert_eq!(account.charge_of(&key(), [8; 32]), Some(4), "by which its receipt is found");
    hold(&mut account, &bearer(), 9, 10).unwrap();
    let numbered = account.charge(&key(), [9; 32], MicroUsdc(10).pico(), MicroUsdc(10).pico());
    assert_eq!((numbered.number, numbered.cumulative), (5, MicroUsdc(40).pico()));
    // A charge that could not be made durable is not owed, but its number and its place in the sum are gone.
    account.uncharge(&key(), MicroUsdc(10).pico());
    assert_eq!(account.unsettled(), MicroUsdc(7).pico());
}

#[test]
fn what_was_open_at_the_start_or_came_back_does_not_wait() {
    let line = OwedLine { slot: 0, epoch: 1, provider: [5; 32], offer: [6; 32], version: 1, long: false, fee_bps: 50 };
    let mut fresh = account(|_| ());
    spend(&mut fresh, 1, 10, 5);
    fresh.owes(line);
    let dust = |account: &VaultAccount| account.dust(MicroUsdc(1), 50, NOW).map(|dust| dust.lines.len());
    assert_eq!(dust(&fresh), Some(1));
    let totals = Totals::from([(1, MicroUsdc(5).pico())]);
    fresh.sealed(1, &totals);
    spend(&mut fresh, 2, 10, 5);
    fresh.owes(OwedLine { version: 2, ..line });
    assert_eq!(dust(&fresh), Some(1), "what was sealed is owed no more");
    fresh.unsealed(1);
    assert_eq!(dust(&fresh), None, "of what a voided group gives back nothing is known");
    let loaded = LoadedVault { unsettled: owed(&[(None, 5)]), ..LoadedVault::default() };
    assert_eq!(dust(&VaultAccount::new(&snapshot(), loaded, std::iter::empty(), 1)), None);
    let mut many = account(|_| ());
    spend(&mut many, 1, 10, 5);
    (0..1_000).for_each(|version| many.owes(OwedLine { version, ..line }));
    assert_eq!(dust(&many), None, "so many lines are no dust");
}

#[test]
fn of_a_share_of_the_vaults_nothing_is_held_on_others_and_all_are_known() {
    let (_files, vaults) = vaults(Loaded::default());
    let share = Share { partition: 1, of: 3 };
    let vaults = Arc::new(vaults.sharing(share, Arc::default()));
    let snapshots: Vec<VaultSnapshot> = (1..=30)
        .map(|n| {
            let mut snapshot = VaultSnapshot {
                address: Pubkey::new_from_array([n; 32]),
                owner: Pubkey::new_from_array([100 + n; 32]),
                ..snapshot()
            };
            (snapshot.keys[0].key, snapshot.keys[0].expires) = ([n; 32], i64::MAX);
            snapshot
        })
        .collect();
    vaults.update(&snapshots, NOW, 50);
    let mut own = 0;
    for snapshot in &snapshots {
        let (vault, key) = (snapshot.address, snapshot.keys[0].key);
        let directory = vaults.directory();
        assert_eq!((directory.of_key(&key), directory.of_owner(&snapshot.owner)), (Some(vault), Some(vault)));
        match vaults.key(&key, None) {
            Ok((key, _)) => {
                assert!(share.has(vault.as_array()));
                vaults.reserve(&key, bearer(), [1; 32], MicroUsdc(1).pico(), NOW).unwrap();
                own += 1;
            }
            Err(refused) => {
                assert!(matches!(refused, Refusal::UnknownVault) && !share.has(vault.as_array()));
                assert!(vaults.show(&vault).is_none());
            }
        }
    }
    assert!((1..30).contains(&own) && vaults.addresses().len() == own);
}
