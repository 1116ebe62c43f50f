//! What fits into a transaction, and what it costs: measured on what the relayer builds.

use steam_protocol::units::MicroUsdc;
use steam_tests::cost::{MAX_UNITS_PER_VAULT, listed, settlement};
use steam_tests::{Line, Market, usage};

const PACKET: usize = 1_232;
const VERSION_1: usize = 4_096;

#[test]
fn a_vault_costs_no_more_than_its_bound() {
    for (vaults, offers) in [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)] {
        let cost = settlement(vaults, offers, 1, 0);
        assert!(cost.units <= MAX_UNITS_PER_VAULT * vaults as u64, "{cost:?}");
        assert!(cost.bytes <= PACKET, "{cost:?}");
    }
}

#[test]
fn a_packet_holds_three_vaults_over_two_offers() {
    assert_eq!(settlement(3, 2, 1, 0).bytes, 1_178);
}

#[test]
fn a_proof_of_membership_costs_its_steps() {
    let free = settlement(1, 1, 1, 0);
    for (providers, steps) in [(1, 0), (8, 3), (64, 6)] {
        let (units, bytes) = listed(providers);
        assert_eq!(bytes, free.bytes + 2 + 32 * steps);
        assert!(units <= MAX_UNITS_PER_VAULT, "{units} with {providers} providers");
    }
}

#[test]
fn a_further_voucher_costs_no_more_than_its_verification_and_its_share() {
    let (one, two, four) = (settlement(1, 1, 1, 0), settlement(1, 1, 2, 0), settlement(1, 1, 4, 0));
    for (more, keys) in [(two, 2), (four, 4)] {
        let each = (more.units - one.units) / (keys - 1);
        assert!(each <= 16_000, "{each} for each of {keys}");
    }
}

#[test]
fn version_1_holds_sixteen_vaults_over_six_offers() {
    let cost = settlement(16, 6, 1, 1);
    assert!(cost.bytes <= VERSION_1, "{cost:?}");
    assert!(cost.units <= MAX_UNITS_PER_VAULT * 16, "{cost:?}");
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
