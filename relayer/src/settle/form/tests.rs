//! What fits a transaction of each form, to the byte.

use super::*;
use crate::ledger::{SealedLine, StoredVoucher};
use proptest::prelude::*;
use steam_protocol::units::{MicroUsdc, Usage};

fn at(n: u32) -> Pubkey {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Pubkey::new_from_array(bytes)
}

fn key() -> Keypair {
    Keypair::new_from_array([3; 32])
}

fn parties() -> SettlementAccounts {
    SettlementAccounts {
        program: steam_router::ID,
        config: at(1_001),
        relayer: at(1_002),
        settler: key().pubkey(),
        fee_token: at(1_003),
        mint: at(1_004),
    }
}

/// A group of the vault of this number: one line for each offer, one voucher for each slot.
fn group(vault: u32, slots: u8, offers: &[u32]) -> SealedGroup {
    let voucher = StoredVoucher { authorized: MicroUsdc(1), request_hash: [0; 32], signature: [0; 64] };
    let line = |(n, offer): (usize, &u32)| SealedLine {
        slot: n as u8 % slots.max(1),
        epoch: 1,
        provider: at(3_000 + offer / 2).to_bytes(), // two offers a provider
        offer: at(2_000 + offer).to_bytes(),
        version: 1,
        long: false,
        usage: Usage::default(),
    };
    SealedGroup {
        vault: at(vault),
        generation: 9,
        seq: 1,
        receipts: 1,
        fee_bps: 0,
        hash: [0; 32],
        vouchers: (0..slots).map(|slot| (slot, voucher)).collect(),
        lines: offers.iter().enumerate().map(line).collect(),
        memberships: Vec::new(),
    }
}

/// Vaults with one voucher and one charge each, over offers of different providers.
fn groups(vaults: u32, offers: u32) -> Vec<SealedGroup> {
    (0..vaults).map(|n| group(n, 1, &[2 * (n % offers)])).collect()
}

fn weigh(groups: &[SealedGroup]) -> Vec<Weight> {
    groups.iter().map(|group| Weight::of(&parties(), group)).collect()
}

/// A table of everything that these groups and all settlements name.
fn table(groups: &[SealedGroup]) -> Form {
    let shared = parties().named().into_iter().filter(|key| *key != parties().settler);
    let addresses = shared.chain(weigh(groups).iter().flat_map(|w| w.accounts().collect::<Vec<_>>())).collect();
    Form::Table(LookupTable { address: at(5), addresses })
}

fn bytes(form: &Form, groups: &[SealedGroup]) -> Vec<u8> {
    let budget = Budget { units: 1_000, price: 7 };
    let message = form.settlement(&parties(), &[0; 32], groups, budget, [0; 32]).unwrap();
    Signed::new(&message, &key()).bytes
}

#[test]
fn each_form_holds_as_many_vaults_as_it_should() {
    for (vaults, offers, form, expected) in
        [(3, 2, Form::Plain, 1_178), (6, 6, table(&groups(6, 6)), 1_192), (16, 6, Form::V1, 4_073)]
    {
        let groups = groups(vaults, offers);
        assert_eq!(bytes(&form, &groups).len(), expected, "{} {vaults}/{offers}", form.name());
        assert!(form.fits(&parties(), &weigh(&groups)), "{}", form.name());
        let more = self::groups(vaults + 1, offers);
        let form = if matches!(form, Form::Table(_)) { table(&more) } else { form };
        assert!(!form.fits(&parties(), &weigh(&more)), "{}", form.name());
    }
}

#[test]
fn a_transaction_of_many_offers_is_bound_by_its_accounts() {
    // 24 groups of void seqs take few bytes, and their accounts with 9 offers' come to 64 with the program's two.
    let mut groups: Vec<SealedGroup> = (0..24).map(|n| group(n, 0, &[])).collect();
    groups[0] = group(0, 1, &[0, 2, 4]);
    let measure = Form::V1.measure(&parties(), &weigh(&groups));
    assert_eq!((measure.accounts, measure.bytes), (61, bytes(&Form::V1, &groups).len()));
    groups[0] = group(0, 1, &[0, 2, 4, 6, 8]);
    assert_eq!(Form::V1.measure(&parties(), &weigh(&groups)).accounts, 65);
    assert!(!Form::V1.fits(&parties(), &weigh(&groups)));
    groups.truncate(23);
    assert!(Form::V1.fits(&parties(), &weigh(&groups)));
}

#[test]
fn a_transaction_of_many_payments_is_bound_by_its_logs() {
    // Each of four vaults owes nine providers and the fee; a fifth would cut the logs, though all else has room.
    let offers: Vec<u32> = (0..9).map(|n| 2 * n).collect();
    let groups: Vec<SealedGroup> = (0..5).map(|n| group(n, 1, &offers)).collect();
    let weights = weigh(&groups);
    assert!(Form::V1.fits(&parties(), &weights[..4]));
    let five = Form::V1.measure(&parties(), &weights);
    assert!(five.bytes <= MAX_TRANSACTION_V1 && five.accounts <= MAX_ACCOUNTS);
    assert!(!Form::V1.fits(&parties(), &weights));
}

#[test]
fn no_more_groups_than_the_format_can_count_go_into_a_transaction() {
    let groups: Vec<SealedGroup> = (0..25).map(|n| group(n, 0, &[])).collect();
    assert_eq!(Form::V1.pack(&parties(), &weigh(&groups)), [24, 1]);
}

#[test]
fn groups_are_packed_in_their_order_into_few_transactions() {
    let groups = groups(18, 6);
    let weights = weigh(&groups);
    assert_eq!(Form::V1.pack(&parties(), &weights), [16, 2]);
    assert_eq!(table(&groups).pack(&parties(), &weights), [6, 6, 6]);
    assert_eq!(Form::Plain.pack(&parties(), &weights).iter().sum::<usize>(), 18);
    assert_eq!(Form::Plain.pack::<Weight>(&parties(), &[]), Vec::<usize>::new());
    // A group too large for any transaction stands alone: simulating it says so.
    let large = group(1, 8, &(0..16).map(|n| 2 * n).collect::<Vec<_>>());
    assert_eq!(Form::Plain.pack(&parties(), &weigh(&[large.clone(), large])), [1, 1]);
}

#[test]
fn the_priority_fee_of_version_1_is_what_version_0_would_pay() {
    assert_eq!(Budget { units: 200_000, price: 1_000 }.priority_fee(), 200);
    assert_eq!(Budget { units: 1, price: 1 }.priority_fee(), 1);
    assert_eq!(Budget { units: 0, price: 9 }.priority_fee(), 0);
    assert_eq!(Budget { units: u32::MAX, price: u64::MAX }.priority_fee(), u64::MAX);
}

#[test]
fn a_stored_transaction_tells_its_form() {
    let groups = groups(2, 1);
    for (form, v1, looks_up) in [(Form::Plain, false, false), (table(&groups), false, true), (Form::V1, true, false)] {
        let bytes = bytes(&form, &groups);
        assert_eq!((is_v1(&bytes), uses_table(&bytes)), (v1, looks_up), "{}", form.name());
        let budget = Budget { units: 1_000, price: 7 };
        let message = form.settlement(&parties(), &[0; 32], &groups, budget, [0; 32]).unwrap();
        assert_eq!(message_of(&bytes), Some(message));
    }
    assert_eq!(message_of(&[]), None);
    assert_eq!(message_of(&[1, 2, 3]), None);
}

#[test]
fn version_1_sets_every_limit_and_the_fee_in_its_message() {
    let VersionedMessage::V1(message) = Form::V1
        .settlement(&parties(), &[0; 32], &groups(1, 1), Budget { units: 30_000, price: 1_000 }, [0; 32])
        .unwrap()
    else {
        panic!("another version")
    };
    assert_eq!(message.config.compute_unit_limit, Some(30_000));
    assert_eq!(message.config.priority_fee, Some(30));
    assert_eq!(message.config.loaded_accounts_data_size_limit, Some(LOADED_BYTES));
    assert_eq!(message.instructions.len(), 1, "no compute budget instructions");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_size_of_a_transaction_is_what_is_computed(
        shapes in prop::collection::vec((0_u8..=8, prop::collection::vec(0_u32..12, 0..=16)), 1..12),
        known in prop::collection::vec(any::<bool>(), 256),
    ) {
        let groups: Vec<SealedGroup> =
            shapes.iter().enumerate().map(|(n, (slots, offers))| group(n as u32, *slots, offers)).collect();
        let Form::Table(mut some) = table(&groups) else { unreachable!() };
        let mut known = known.into_iter().cycle();
        some.addresses.retain(|_| known.next() == Some(true));
        for form in [Form::Plain, table(&groups), Form::Table(some), Form::V1] {
            let measure = form.measure(&parties(), &weigh(&groups));
            // Beyond 64 addresses version 1 cannot be written at all.
            if form != Form::V1 || measure.accounts <= MAX_ACCOUNTS {
                prop_assert_eq!(measure.bytes, bytes(&form, &groups).len(), "{}", form.name());
            }
        }
    }
}
