//! What fits into a transaction, and what it costs: measured on what the relayer builds.

use steam::settle::form::Form;
use steam_protocol::units::MicroUsdc;
use steam_tests::cost::{Kind, MAX_UNITS_PER_VAULT, listed, settlement};
use steam_tests::{Line, Market, usage};

#[test]
fn a_vault_costs_no_more_than_its_bound_in_every_form() {
    for shape in [(1, 1, 1, 1, Kind::V0), (3, 2, 1, 1, Kind::V0), (6, 6, 1, 1, Kind::Table), (16, 6, 1, 1, Kind::V1)] {
        let cost = settlement(shape);
        assert!(cost.units <= MAX_UNITS_PER_VAULT * cost.vaults as u64, "{cost:?}");
    }
}

#[test]
fn each_form_holds_its_vaults_to_the_byte() {
    assert_eq!(settlement((3, 2, 1, 1, Kind::V0)).bytes, 1_178);
    assert_eq!(settlement((6, 6, 1, 1, Kind::Table)).bytes, 1_192);
    assert_eq!(settlement((16, 6, 1, 1, Kind::V1)).bytes, 4_073);
}

#[test]
fn a_proof_of_membership_costs_its_steps() {
    let free = settlement((1, 1, 1, 1, Kind::V0));
    for (providers, steps) in [(1, 0), (8, 3), (64, 6)] {
        let (units, bytes) = listed(providers);
        assert_eq!(bytes, free.bytes + 2 + 32 * steps);
        assert!(units <= MAX_UNITS_PER_VAULT, "{units} with {providers} providers");
    }
}

#[test]
fn a_further_voucher_costs_no_more_than_its_verification_and_its_share() {
    let [one, two, four] = [1, 2, 4].map(|keys| settlement((1, 1, keys, keys, Kind::V0)));
    for (more, keys) in [(two, 2), (four, 4)] {
        let each = (more.units - one.units) / (keys - 1);
        assert!(each <= 16_000, "{each} for each of {keys}");
    }
}

#[test]
fn as_many_payments_as_the_relayer_batches_run() {
    // 40 transfers, whose logs are all there; each vault pays nine providers and the fee.
    let cost = settlement((4, 9, 1, 9, Kind::V1));
    assert!(cost.logs < 10_000, "{cost:?}");
}

#[test]
fn a_table_that_is_not_what_was_said_fails_and_moves_nothing() {
    // Its addresses in another order: every index names another account.
    let mut m = Market::open();
    let accounts: Vec<_> = (0..4).map(|_| m.neighbour()).collect();
    let groups: Vec<_> = accounts
        .iter()
        .map(|(vault, key)| m.world.group(vault, &[Line { key, ..m.line(usage(1, 1_000_000, 0, 0)) }]))
        .collect();
    let Form::Table(mut said) = m.world.lookup_table(&m.relayer, &groups) else { panic!("no table") };
    let before: Vec<_> = accounts.iter().map(|(vault, _)| m.world.balance(&vault.token)).collect();
    for _ in 0..said.addresses.len() - 1 {
        said.addresses.rotate_left(1);
        m.world.settle_as(&m.relayer, &groups, &Form::Table(said.clone())).refusal();
    }
    let after: Vec<_> = accounts.iter().map(|(vault, _)| m.world.balance(&vault.token)).collect();
    assert_eq!((before, m.earned(), m.fees()), (after, MicroUsdc(0), MicroUsdc(0)));
    assert!(accounts.iter().all(|(vault, _)| m.world.vault(&vault.address).settle_seq == 0));
    said.addresses.rotate_left(1);
    m.world.settle_as(&m.relayer, &groups, &Form::Table(said)).ok();
}

#[test]
fn a_batch_of_twenty_four_groups_fits_the_program_s_memory() {
    // The heap gives nothing back, and is 32 KiB whatever is asked for. Half the groups void their seq, so that the
    // other half fits the transaction.
    let mut m = Market::open();
    let accounts: Vec<_> = (0..24).map(|_| m.neighbour()).collect();
    let group = |n: usize| {
        let (vault, key) = &accounts[n];
        let line = Line { key, ..m.line(usage(1, 1_000, 0, 0)) };
        m.world.group(vault, if n.is_multiple_of(2) { std::slice::from_ref(&line) } else { &[] })
    };
    let groups: Vec<_> = (0..24).map(group).collect();
    let done = m.world.settle_v1(&m.relayer, &groups).ok();
    assert!(accounts.iter().all(|(vault, _)| m.world.vault(&vault.address).settle_seq == 1));
    assert_eq!(m.earned(), MicroUsdc(12 * 2_100));
    assert!(done.units <= 12 * MAX_UNITS_PER_VAULT, "{}", done.units);
}
